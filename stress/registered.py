"""A registered model of five versions on a real server, changed through MLflow's own client."""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion

from stress.reference import reference_of
from stress.truth import Truth
from trainer import data

TRAINED = "breast-cancer"  # what `python -m trainer train` registers
_RECORDS = 8


@dataclass(frozen=True)
class Registered:
    """One model, its trained versions registered again as 1, 2, … under a name of its own."""

    client: MlflowClient
    name: str
    originals: tuple[ModelVersion, ...]
    _made: list[int] = field(default_factory=list)

    @classmethod
    def copy(cls, url: str, name: str) -> "Registered":
        """Register the trained versions of a server once more, in their order."""
        client = MlflowClient(url, url)
        found = client.search_model_versions(f"name = '{TRAINED}'")
        originals = sorted(found, key=lambda version: int(version.version))[:5]
        client.create_registered_model(name)
        model = cls(client, name, tuple(originals))
        for _ in originals:
            model.add()
        return model

    def add(self) -> int:
        """Register one more version, from the original whose turn it is; its number."""
        number = 1 + len(self._made)  # MLflow gives no number twice
        original = self.originals[(number - 1) % len(self.originals)]
        source = str(original.source)
        made = self.client.create_model_version(
            self.name, source, original.run_id, tags=original.tags,
            # Ready when the server answers; and MLflow wants the id beside a logged model's source.
            await_creation_for=0, model_id=source.removeprefix("models:/"),
        )  # fmt: skip
        self._made.append(number)
        if int(made.version) != number:
            raise ValueError(f"version {number} was to be made, it became {made.version}")
        return number

    def delete(self, version: int) -> None:
        """Delete a version; its files stay, for they are the original's too."""
        self.client.delete_model_version(self.name, str(version))

    def truth(self) -> Truth:
        """What each version answers to the records on which they differ most."""
        rows = data.load().features
        records = [{str(k): float(v) for k, v in row.items()} for _, row in rows.iterrows()]
        files = [self._file(str(n)) for n in range(1, 1 + len(self.originals))]
        every = Truth(self.name, tuple(records), tuple(reference_of(f, records) for f in files))
        picked = sorted(range(len(records)), key=every.difference, reverse=True)[:_RECORDS]
        return every.only(picked)

    def _file(self, version: str) -> Path:
        uri = f"{self.client.get_model_version_download_uri(self.name, version)}/model.onnx"
        return Path(download_artifacts(artifact_uri=uri, tracking_uri=self.client.tracking_uri))


class Pointer(Protocol):
    """How the registry names the version that should serve."""

    @property
    def model_uri(self) -> str:
        """What the predictor follows."""

    def name(self, version: int) -> None:
        """Have the registry name this version; what it names meanwhile is a version too."""

    def delete(self, version: int, then: int) -> None:
        """Delete this version while it is named; from then on `then` is named."""


@dataclass(frozen=True)
class ByAlias:
    """An alias that is set to one version after another."""

    model: Registered

    @property
    def model_uri(self) -> str:
        """As Pointer."""
        return f"models:/{self.model.name}@production"

    def name(self, version: int) -> None:
        """As Pointer."""
        self.model.client.set_registered_model_alias(self.model.name, "production", str(version))

    def delete(self, version: int, then: int) -> None:
        """As Pointer. MLflow deletes a version's alias with it, which would stop the service."""
        self.name(then)
        self.model.delete(version)


@dataclass(frozen=True)
class ByStage:
    """The stage Production, in which the highest number is named; it is never empty."""

    model: Registered
    _production: set[int] = field(default_factory=set)

    @property
    def model_uri(self) -> str:
        """As Pointer."""
        return f"models:/{self.model.name}/Production"

    def name(self, version: int) -> None:
        """As Pointer."""
        if version not in self._production:
            self._move(version, "Production")
            self._production.add(version)
        for above in sorted((v for v in self._production if v > version), reverse=True):
            self._move(above, "Archived")
            self._production.discard(above)

    def delete(self, version: int, then: int) -> None:
        """As Pointer. The one beneath is named at once."""
        self.model.delete(version)
        self._production.discard(version)
        self.name(then)

    def _move(self, version: int, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # stages are followed by choice
            self.model.client.transition_model_version_stage(self.model.name, str(version), stage)
