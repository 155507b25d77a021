"""A registered model on a real MLflow server, with the expected answers of each version."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import mlflow
import onnx
from mlflow import MlflowClient

from benchmarks.models import Model
from stress.reference import reference_of
from stress.truth import Truth

_ALIAS = "production"
_EXPERIMENT = "benchmarks"
_TOLERANCE = 1e-6  # ONNX Runtime sums in another order for several rows than for one (float32)


@dataclass(frozen=True)
class Published:
    """Versions 1, 2, … of one registered model; `files` are their ONNX files.

    `truth` has the records and each version's expected answers.
    """

    url: str
    truth: Truth
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The registered model's name."""
        return self.truth.model_name

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables for a predictor that follows this model."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "PREDICTOR_MODEL_URI": f"models:/{self.name}@{_ALIAS}",
        }

    def promote(self, version: int) -> None:
        """Set the alias to this version."""
        client = MlflowClient(self.url, self.url)
        client.set_registered_model_alias(self.name, _ALIAS, str(version))


def publish(url: str, folder: Path, title: str, models: Sequence[Model]) -> Published:
    """Register models as versions of one registered model, and promote the first.

    Args:
        url: the MLflow server's address.
        folder: gets a copy of the ONNX files.
        title: the registered name is derived from it.
        models: at least one; all have the same features.
    """
    name = re.sub(r"\W+", "-", title.lower())
    files = [_log(url, folder, name, model) for model in models]
    records = models[0].records
    references = tuple(reference_of(file, records) for file in files)
    published = Published(url, Truth(name, records, references, _TOLERANCE), tuple(files))
    published.promote(1)
    return published


@contextmanager
def _run(url: str) -> Iterator[None]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    client = mlflow.MlflowClient(url)
    found = client.get_experiment_by_name(_EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(_EXPERIMENT)
    with mlflow.start_run(experiment_id=experiment):
        yield


def _log(url: str, folder: Path, name: str, model: Model) -> Path:
    mlflow.set_tracking_uri(url)
    # MLflow prints each step to stdout and stderr.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), _run(url):
        mlflow.onnx.log_model(
            onnx.load_from_string(model.export.content), name="model",
            registered_model_name=name, pip_requirements=[], await_registration_for=None,
        )  # fmt: skip
    file = folder / f"{name}-{model.export.sha256[:8]}.onnx"
    file.write_bytes(model.export.content)
    return file
