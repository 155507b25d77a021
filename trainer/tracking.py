"""One MLflow run, written by an explicit client with few requests."""

import contextlib
import json
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils import mlflow_tags

from trainer.data import Dataset

# MLflow takes 100 parameters in one request, and 1,000 values of all kinds.
BATCH = 100
METRICS_BATCH = 700


class Run:
    """A run that is open inside `with`, and ends FINISHED, KILLED on Ctrl-C, or FAILED.

    A failed run carries the error's message in the tag `failure`.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.run_id = run_id

    @classmethod
    def start(
        cls,
        client: MlflowClient,
        experiment_id: str,
        name: str,
        tags: Mapping[str, str],
        parent: "Run | None" = None,
    ) -> Self:
        """Create a run, as a child of `parent` if there is one."""
        under = {mlflow_tags.MLFLOW_PARENT_RUN_ID: parent.run_id} if parent else {}
        run = client.create_run(experiment_id, tags={**tags, **under}, run_name=name)
        return cls(client, experiment_id, run.info.run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if error is None:
            self.client.set_terminated(self.run_id, "FINISHED")
        else:
            self._fail(error)

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Inside `with`, an error ends the run as it does in the run's own; else the run stays open."""
        try:
            yield
        except BaseException as error:
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        interrupted = isinstance(error, KeyboardInterrupt)
        # The server may be down; the original error is raised anyway.
        with contextlib.suppress(MlflowException):
            self.log(tags={"failure": str(error) or type(error).__name__})
            self.client.set_terminated(self.run_id, "KILLED" if interrupted else "FAILED")

    def log(
        self,
        *,
        parameters: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log parameters, metrics and tags, in as few requests as MLflow's limits allow."""
        values = self._metrics(metrics or {})
        params = [Param(name, str(value)) for name, value in (parameters or {}).items()]
        for start in range(BATCH, len(params), BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + BATCH])
        self._log_metrics(values[METRICS_BATCH:])
        self.client.log_batch(
            self.run_id,
            metrics=values[:METRICS_BATCH],
            params=params[:BATCH],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )

    def log_dataset(self, entity: DatasetEntity) -> None:
        """Log the rows that the run trains on as its input."""
        context = [InputTag(mlflow_tags.MLFLOW_DATASET_CONTEXT, "training")]
        self.client.log_inputs(self.run_id, [DatasetInput(entity, context)])

    def log_model(self, model_id: str, metrics: Mapping[str, float]) -> None:
        """Make a logged model this run's output, and give it the run's metrics."""
        self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])
        self._log_metrics(self._metrics(metrics, model_id))

    def log_files(self, folder: Path, to: str) -> None:
        """Upload everything in `folder` to the run's folder `to`."""
        self.client.log_artifacts(self.run_id, str(folder), to)

    def log_json(self, value: Mapping[str, Any], name: str) -> None:
        """Upload one JSON artifact."""
        self.client.log_text(self.run_id, json.dumps(value, indent=2), name)

    def _log_metrics(self, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), METRICS_BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + METRICS_BATCH])

    def _metrics(self, values: Mapping[str, float], model_id: str | None = None) -> list[Metric]:
        now = int(time.time() * 1000)
        return [
            Metric(name, value, now, step=0, model_id=model_id, run_id=self.run_id)
            for name, value in values.items()
        ]


def dataset_entity(dataset: Dataset) -> DatasetEntity:
    """MLflow's description of a dataset: name, digest, source, columns and rows."""
    with warnings.catch_warnings():
        # MLflow advises on columns of integers; here, a column with gaps is float64.
        warnings.filterwarnings("ignore", "Hint: Inferred schema", UserWarning)
        described = from_pandas(
            dataset.frame(),
            source=CodeDatasetSource({"loaded_from": dataset.source}),
            targets=dataset.problem.target,
            name=dataset.name,
            digest=dataset.digest,
        )
        return DatasetEntity(**described.to_dict())
