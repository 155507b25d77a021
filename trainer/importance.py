"""The permutation importance of features, read from the versions' runs."""

import contextlib
import csv
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from trainer import tag_names
from trainer.errors import RefusedByMlflowError, RegistryError
from trainer.mlflow_server import mlflow_border
from trainer.registry import RegisteredModel, Version
from trainer.terminal import Table, number, prose

ARTIFACT = "evaluation/permutation_importance.csv"


def shares(registry: RegisteredModel, version: Version) -> Mapping[str, float]:
    """Each feature's share of a version's importance, between 0 and 1.

    Importance is how much the error on the held-out rows grows when the feature's values are
    shuffled: the Brier score, or the mean squared error of a regression; a feature without which the version answers better counts as 0. Raises
    RegistryError where the run has no such table.
    """
    with (
        mlflow_border(registry.client, f"read {ARTIFACT} of run {version.run_id}"),
        tempfile.TemporaryDirectory() as folder,
    ):
        file = registry.client.download_artifacts(version.run_id, ARTIFACT, folder)
        with Path(file).open(newline="") as lines:
            means = {
                line["feature"]: max(0.0, float(line["mean"])) for line in csv.DictReader(lines)
            }
    whole = sum(means.values()) or 1.0
    return {feature: mean / whole for feature, mean in means.items()}


class Importance(NamedTuple):
    """The shares of one version's features."""

    number: str
    candidate: str
    shares: Mapping[str, float]

    @classmethod
    def of(cls, registry: RegisteredModel, version: Version) -> Self:
        """Raises RegistryError."""
        candidate = version.tags.get(tag_names.CANDIDATE, "")
        return cls(version.number, candidate, shares(registry, version))


def read(registry: RegisteredModel, number: str | None) -> list[Importance]:
    """The shares of one version, or of all that have such a table, the newest first. Raises RegistryError."""
    if number is not None:
        return [Importance.of(registry, registry.version(number))]
    found = []
    for version in registry.versions().values():
        with contextlib.suppress(RefusedByMlflowError):
            if version.run_id:
                found.append(Importance.of(registry, version))
    if not found:
        raise RegistryError(
            f"no version of {registry.model_name} has {ARTIFACT}, which a training logs"
        )
    return found


def table(found: Sequence[Importance], top: int) -> Table:
    """The features with the largest mean share over the versions that have them."""
    mean = {
        feature: statistics.fmean(e.shares[feature] for e in found if feature in e.shares)
        for feature in {feature: None for each in found for feature in each.shares}
    }
    ranked = sorted(mean, key=lambda feature: mean[feature], reverse=True)[:top]
    rows = [
        [feature, mean[feature], *(each.shares.get(feature) for each in found)]
        for feature in ranked
    ]
    share = "{:.1%}".format
    columns = [
        number(each.number, f"v{each.number}", rank, share, "versions")
        for rank, each in enumerate(found, start=1)
    ]
    return Table([prose("feature", least=32), number("mean", text=share), *columns], rows)


def legend(found: Iterable[Importance]) -> str:
    """Which candidate each version is."""
    names = ", ".join(f"v{each.number} {each.candidate}".strip() for each in found)
    return f"share of the importance, by version: {names}"
