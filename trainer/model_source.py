"""A model in MLflow, named by a URI: who made it, its tags, and its files."""

import contextlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import LifecycleStage, Metric, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.utils.models import get_model_name_and_version
from mlflow.tracking import MlflowClient
from mlflow.utils import mlflow_tags

from trainer.errors import RefusedByMlflowError, TrainerError
from trainer.mlflow_server import mlflow_border
from trainer.registry import LOGGED_MODEL
from trainer.terminal import printable

_FORMS = (
    "models:/NAME/VERSION, models:/NAME/STAGE, models:/NAME@ALIAS, models:/m-ID of a logged model, "
    "or runs:/RUN/PATH"
)


@dataclass(frozen=True)
class Source:
    """A model: a registered version, a logged model, or a folder of a run.

    `uri` names it for good: a stage or an alias is replaced by its version. `model_name` is None without a
    registered version. `run` is None if it is unknown or deleted. `registered_by` is empty if the server
    does not know it. `metrics` are those of a logged model, which count more than the run's.
    """

    uri: str
    title: str
    model_name: str | None = None
    run: Run | None = None
    registered_by: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()

    @property
    def made_by(self) -> str:
        """Who registered and logged it, as far as MLflow knows, for people."""
        known = [f"registered by {self.registered_by}"] if self.registered_by else []
        if self.run is not None:
            user = self.run.data.tags.get(mlflow_tags.MLFLOW_USER) or self.run.info.user_id
            by = f", which is tagged as {user}'s" if user else ""
            known.append(f"logged in the run {self.run.info.run_id}{by}")
        return printable("; ".join(known) or "MLflow does not know who made it")


def find(client: MlflowClient, uri: str) -> Source:
    """The model that a URI names. Raises TrainerError, and RegistryError if MLflow does not have it."""
    with mlflow_border(client, f"read {uri}"):
        if uri.startswith(LOGGED_MODEL):
            return _logged_model(client, uri)
        if uri.startswith("models:/"):
            return _registered(client, uri)
        if uri.startswith("runs:/") and uri.count("/") > 1:
            run_id = uri.removeprefix("runs:/").partition("/")[0]
            return Source(uri, uri, run=_run(client, run_id))
    raise TrainerError(f"{uri!r} is not the URI of a model in MLflow: give {_FORMS}")


def download(client: MlflowClient, source: Source, folder: Path) -> Path:
    """Copy the model's files into `folder`; returns where they are. Loads nothing. Raises TrainerError."""
    uri = client.tracking_uri
    try:
        path = download_artifacts(
            source.uri, dst_path=str(folder), tracking_uri=uri, registry_uri=uri
        )
    except Exception as error:  # each artifact store has its own errors
        detail = printable(" ".join(str(error).split()))[:300]
        raise TrainerError(
            f"the files of {source.title} cannot be downloaded ({detail}); check that they still exist, "
            "and that this machine has the driver and the credentials of their store"
        ) from error
    return Path(path)


def _registered(client: MlflowClient, uri: str) -> Source:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of stages
            name, number = get_model_name_and_version(client, uri)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        if "Invalid model URI" in str(error.message) or "Not a proper models" in str(error.message):
            raise TrainerError(f"{uri!r} is not the URI of a model: give {_FORMS}") from error
        raise
    found = client.get_model_version(name, number)
    source = found.source or ""
    return Source(
        uri=f"models:/{name}/{number}",
        title=f"version {number} of {name}",
        model_name=name,
        run=_run(client, found.run_id),
        registered_by=found.user_id or "",
        description=found.description or "",
        tags=dict(found.tags),
        metrics=_metrics(client, source) if source.startswith(LOGGED_MODEL) else (),
    )


def _logged_model(client: MlflowClient, uri: str) -> Source:
    found = client.get_logged_model(uri.removeprefix("models:/"))
    return Source(
        uri=uri,
        title=f"the logged model {uri}",
        run=_run(client, found.source_run_id),
        metrics=tuple(found.metrics or ()),
    )


def _metrics(client: MlflowClient, source: str) -> tuple[Metric, ...]:
    with contextlib.suppress(MlflowException):  # the logged model is deleted
        return tuple(client.get_logged_model(source.removeprefix("models:/")).metrics or ())
    return ()


def _run(client: MlflowClient, run_id: str | None) -> Run | None:
    if not run_id:
        return None
    with contextlib.suppress(RefusedByMlflowError), mlflow_border(client, f"read run {run_id}"):
        run = client.get_run(run_id)
        return run if run.info.lifecycle_stage == LifecycleStage.ACTIVE else None
    return None
