"""A registered model with several versions on a real server, and the pointer to its desired version."""

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

TRAINED_MODEL = "breast-cancer"  # the name that `python -m trainer train` registers
_RECORDS = 8


@dataclass(frozen=True)
class StressModel:
    """A copy of the trained versions 1, 2, … under another registered name."""

    client: MlflowClient
    name: str
    originals: tuple[ModelVersion, ...]
    _made: list[int] = field(default_factory=list)

    @classmethod
    def copy(cls, url: str, name: str) -> "StressModel":
        """Register a server's trained versions again, in their order."""
        client = MlflowClient(url, url)
        found = client.search_model_versions(f"name = '{TRAINED_MODEL}'")
        originals = sorted(found, key=lambda version: int(version.version))[:5]
        client.create_registered_model(name)
        model = cls(client, name, tuple(originals))
        for _ in originals:
            model.add()
        return model

    def add(self) -> int:
        """Register one more version, from the originals in turn; return its number."""
        number = 1 + len(self._made)  # MLflow uses no number twice
        original = self.originals[(number - 1) % len(self.originals)]
        source = str(original.source)
        made = self.client.create_model_version(
            self.name, source, original.run_id, tags=original.tags,
            # It is ready at once; MLflow requires the id in addition to a logged model's source.
            await_creation_for=0, model_id=source.removeprefix("models:/"),
        )  # fmt: skip
        self._made.append(number)
        if int(made.version) != number:
            raise ValueError(f"expected version {number}, MLflow created {made.version}")
        return number

    def delete(self, version: int) -> None:
        """Delete a version; the files stay, because the original uses them, too."""
        self.client.delete_model_version(self.name, str(version))

    def truth(self) -> Truth:
        """The expected answers of each version for the records on which they differ most."""
        rows = data.load().features
        records = [{str(k): float(v) for k, v in row.items()} for _, row in rows.iterrows()]
        files = [self._file(str(n)) for n in range(1, 1 + len(self.originals))]
        truth = Truth(self.name, tuple(records), tuple(reference_of(f, records) for f in files))
        picked = sorted(range(len(records)), key=truth.difference, reverse=True)[:_RECORDS]
        return truth.only(picked)

    def _file(self, version: str) -> Path:
        uri = f"{self.client.get_model_version_download_uri(self.name, version)}/model.onnx"
        return Path(download_artifacts(artifact_uri=uri, tracking_uri=self.client.tracking_uri))


class Pointer(Protocol):
    """A way to select the desired version in the registry."""

    @property
    def model_uri(self) -> str:
        """The predictor's PREDICTOR_MODEL_URI."""

    def point_to(self, version: int) -> None:
        """Make this version the desired one; at no time is there none."""

    def delete(self, version: int, then: int) -> None:
        """Delete the desired version; `then` becomes the desired one."""


@dataclass(frozen=True)
class ByAlias:
    """Select the version by an alias."""

    model: StressModel

    @property
    def model_uri(self) -> str:
        """As Pointer."""
        return f"models:/{self.model.name}@production"

    def point_to(self, version: int) -> None:
        """As Pointer."""
        self.model.client.set_registered_model_alias(self.model.name, "production", str(version))

    def delete(self, version: int, then: int) -> None:
        """As Pointer. The alias moves first: MLflow deletes it with the version."""
        self.point_to(then)
        self.model.delete(version)


@dataclass(frozen=True)
class ByStage:
    """Select the version by the stage Production: its highest number is the desired one."""

    model: StressModel
    _production: set[int] = field(default_factory=set)

    @property
    def model_uri(self) -> str:
        """As Pointer."""
        return f"models:/{self.model.name}/Production"

    def point_to(self, version: int) -> None:
        """As Pointer."""
        if version not in self._production:
            self._move(version, "Production")
            self._production.add(version)
        for above in sorted((v for v in self._production if v > version), reverse=True):
            self._move(above, "Archived")
            self._production.discard(above)

    def delete(self, version: int, then: int) -> None:
        """As Pointer. The next highest number in Production is desired for a moment."""
        self.model.delete(version)
        self._production.discard(version)
        self.point_to(then)

    def _move(self, version: int, stage: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # stages are used on purpose
            self.model.client.transition_model_version_stage(self.model.name, str(version), stage)
