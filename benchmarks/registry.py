"""A registered model on a real MLflow server, and what each of its versions must answer."""

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
_TOLERANCE = 1e-6  # ONNX Runtime adds several rows up in another order than one, in float32


@dataclass(frozen=True)
class Published:
    """Versions 1, 2, … of one registered model; `files` are their ONNX files.

    `truth` has the records, and what each version answers to them.
    """

    url: str
    truth: Truth
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The registered model's."""
        return self.truth.model_name

    @property
    def settings(self) -> dict[str, str]:
        """What makes a predictor follow it."""
        return {
            "MLFLOW_TRACKING_URI": self.url,
            "PREDICTOR_MODEL_URI": f"models:/{self.name}@{_ALIAS}",
        }

    def promote(self, version: int) -> None:
        """Have the registry name this version."""
        client = MlflowClient(self.url, self.url)
        client.set_registered_model_alias(self.name, _ALIAS, str(version))


def publish(url: str, folder: Path, title: str, models: Sequence[Model]) -> Published:
    """Register these as the versions of one model, and promote the first.

    Args:
        url: the MLflow server's address.
        folder: where their ONNX files go too.
        title: what the model is called; its registered name is made from it.
        models: at least one; all take the same records.
    """
    name = re.sub(r"\W+", "-", title.lower())
    files = [_log(url, folder, name, model) for model in models]
    records = models[0].records
    references = tuple(reference_of(file, records) for file in files)
    published = Published(url, Truth(name, records, references, _TOLERANCE), tuple(files))
    published.promote(1)
    return published


@contextmanager
def _run() -> Iterator[None]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_experiment("benchmarks")
    with mlflow.start_run():
        yield


def _log(url: str, folder: Path, name: str, model: Model) -> Path:
    mlflow.set_tracking_uri(url)
    # It tells of every step, on both.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), _run():
        mlflow.onnx.log_model(
            onnx.load_from_string(model.export.content), name="model",
            registered_model_name=name, pip_requirements=[], await_registration_for=None,
        )  # fmt: skip
    file = folder / f"{name}-{model.export.sha256[:8]}.onnx"
    file.write_bytes(model.export.content)
    return file
