"""A registered model of its own for every test, on the real MLflow server."""

import itertools
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.shared import Server
from trainer.lifecycle import Lifecycle
from trainer.pointer import AliasPointer, StagePointer
from trainer.registry import RegisteredModel, connect, register

GOOD = {
    "test_roc_auc": 0.99,
    "test_sensitivity": 0.95,
    "test_specificity": 0.97,
    "test_accuracy": 0.96,
}
PROVEN = {"parity": "passed", "dataset_digest": "d1", "candidate": "logistic_regression"}


@dataclass(frozen=True)
class Shelf:
    """One registered model, and what MLflow's own client says and does about it."""

    client: MlflowClient
    name: str
    new_run: Callable[[dict[str, float]], tuple[str, str]]
    registry: RegisteredModel = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "registry", RegisteredModel(self.client, self.name))

    def add(self, metrics=None, tags=None):
        """Register one more version; return its number."""
        run_id, root = self.new_run(GOOD if metrics is None else metrics)
        return register(
            self.client,
            model_name=self.name,
            run_id=run_id,
            source=f"{root}/{next(_COUNTER)}",
            description="A version for a test.",
            tags=PROVEN if tags is None else tags,
        )

    def lifecycle(self, alias=None, who="tester@here"):
        pointer = AliasPointer(self.registry, alias) if alias else StagePointer(self.registry)
        return Lifecycle(self.registry, pointer, who)

    def set_stage(self, version, stage, *, archive=False):
        """What a person does in MLflow's own page."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.client.transition_model_version_stage(
                self.name, version, stage, archive_existing_versions=archive
            )

    def latest(self, stage="Production"):
        """The version that MLflow names for a stage, which is what the predictor asks."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            found = self.client.get_latest_versions(self.name, [stage])
        return str(found[0].version) if found else None

    def named(self, alias):
        """The version that MLflow names for an alias."""
        try:
            return str(self.client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException:
            return None

    def gates(self):
        """The tags of the registered model that are gates."""
        tags = self.client.get_registered_model(self.name).tags
        return {key: value for key, value in tags.items() if key.startswith("gate.")}

    def everything(self):
        """All that the registry holds about the model, to compare before and after."""
        model = self.client.get_registered_model(self.name)
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        return dict(model.aliases), {
            str(each.version): (each.current_stage, each.source, each.description, dict(each.tags))
            for each in versions
        }


_COUNTER = itertools.count()


@pytest.fixture(scope="session")
def mlflow_client(mlflow_server: Server) -> MlflowClient:
    """A client as the commands make it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
        return connect()


@pytest.fixture(scope="session")
def new_run(mlflow_client):
    """Runs with given metrics, by id and artifact URI; the same metrics give the same run, because runs are never changed."""
    experiment = mlflow_client.create_experiment(f"registry tests {os.getpid()}")
    known = {}

    def run_with(metrics):
        key = tuple(sorted(metrics.items()))
        if key not in known:
            run = mlflow_client.create_run(experiment)
            logged = [Metric(name, value, 0, 0) for name, value in metrics.items()]
            mlflow_client.log_batch(run.info.run_id, metrics=logged)
            mlflow_client.set_terminated(run.info.run_id)
            known[key] = run.info.run_id, run.info.artifact_uri
        return known[key]

    return run_with


@pytest.fixture
def shelf(mlflow_client, new_run, request) -> Shelf:
    """A registered model that no other test uses, without a version yet."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())
    return Shelf(mlflow_client, f"{name[:60]}-{os.getpid()}-{next(_COUNTER)}", new_run)


@pytest.fixture
def ward(shelf, mlflow_server, tmp_path, monkeypatch):
    """The commands of people with keys, on a model of this test; there are no people yet."""
    from tests.trainer import signing

    for name in signing.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.setenv("TRAINER_KEYS_FOLDER", str(tmp_path / "keys"))
    monkeypatch.setenv("TRAINER_PASSPHRASE", signing.WORDS)
    return signing.Ward(shelf, tmp_path, {})
