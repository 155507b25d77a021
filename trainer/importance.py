"""The permutation importance of features, read from the versions' runs."""

import csv
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trainer.mlflow_server import mlflow_border
from trainer.registry import RegisteredModel, Version
from trainer.terminal import Row

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


def table(registry: RegisteredModel, number: str | None, top: int) -> tuple[Row, list[Row]]:
    """The features with the largest mean share over one version, or over all: headings and rows.

    Raises RegistryError.
    """
    versions = [registry.version(number)] if number else list(registry.versions().values())[::-1]
    found = [shares(registry, version) for version in versions if version.run_id]
    mean = {feature: sum(each[feature] for each in found) / len(found) for feature in found[0]}
    ranked = sorted(mean, key=lambda feature: mean[feature], reverse=True)[:top]
    names = [
        f"{version.number} {version.tags.get('candidate', '')}".strip() for version in versions
    ]
    rows: list[Row] = [
        [feature, f"{mean[feature]:.1%}", *(f"{each[feature]:.1%}" for each in found)]
        for feature in ranked
    ]
    return ["feature", "mean", *names], rows
