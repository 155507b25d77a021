"""Register a converted model as the next version, beside the run and the metrics of the original."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from exporters.export import Export
from exporters.mlflow_model import version_tags
from exporters.tags import CONVERTED_FROM
from trainer import artifact, provenance, tag_names
from trainer.errors import ModelNotFoundError
from trainer.model_source import Source
from trainer.registry import RegisteredModel, register
from trainer.tracking import Run

_EXAMPLE_ROWS = 5
_EQUAL = (CONVERTED_FROM, tag_names.ONNX_SHA256, tag_names.DATASET_DIGEST)


@dataclass(frozen=True)
class Converted:
    """An export of a model in MLflow. `metrics` and `measured_tags` are of held-out rows; empty without."""

    source: Source
    proven: Export
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured_tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def new_run(self) -> bool:
        """Whether the new version needs a run of its own."""
        return self.source.run is None or bool(self.metrics)

    @property
    def tags(self) -> dict[str, str]:
        """The original's tags without its own history, the export's, and where it was converted from."""
        own = (tag_names.DETAIL, *tag_names.TRANSITIONS, "mlflow.")
        original = self.source.tags.items()
        kept = {name: value for name, value in original if not name.startswith(own)}
        return {
            **_task(self.proven),
            **kept,
            **version_tags(self.proven),
            **self.measured_tags,
            CONVERTED_FROM: self.source.uri,
        }


def register_converted(client: MlflowClient, converted: Converted, model_name: str) -> str:
    """Log the export and register it as the next version of `model_name`; returns the version's number.

    The new version belongs to the run of the original, so that the gates of a promotion find its metrics.
    With metrics of its own, or without that run, it belongs to a new one: a run keeps what it measured.
    Raises RegistryError, and mlflow.MlflowException.
    """
    source, proven = converted.source, converted.proven
    example = proven.table.frame.head(_EXAMPLE_ROWS)
    with _run(client, converted) as run:
        uri = artifact.log(run, "model", proven, example, dict(converted.metrics))
        if not converted.metrics:
            _copy_metrics(run, source, uri)
        return register(
            client,
            model_name=model_name,
            run_id=run.run_id,
            source=uri,
            description=_description(source, proven),
            tags=converted.tags,
        )


def equal_version(client: MlflowClient, converted: Converted, model_name: str) -> str | None:
    """The highest version of `model_name` with this graph, from this original, measured on these rows; or None."""
    wanted = {name: converted.tags.get(name) for name in _EQUAL}
    with contextlib.suppress(ModelNotFoundError):
        for number, version in RegisteredModel(client, model_name).versions().items():
            if {name: version.tags.get(name) for name in _EQUAL} == wanted:
                return number
    return None


def _task(proven: Export) -> dict[str, str]:
    """The tag that decides which gates a promotion has by default; none for a clustering."""
    if not proven.task.labels:
        return {tag_names.TASK: "regression"}
    classes = len(proven.task.classes or ())
    return {tag_names.TASK: "binary" if classes == 2 else "multiclass"} if classes else {}  # noqa: PLR2004


def _description(source: Source, proven: Export) -> str:
    parity = proven.parity
    converted = (
        f"Converted from {source.uri}. The ONNX export agreed with the library on all {parity.rows:,} "
        f"rows; {parity.measure} differ by {parity.largest_difference:.1e} at most."
    )
    return f"{source.description}\n\n{converted}".strip()


@contextlib.contextmanager
def _run(client: MlflowClient, converted: Converted) -> Iterator[Run]:
    """The run of the original, which has ended and stays as it is; or a new one."""
    original = converted.source.run
    if original is not None and not converted.new_run:
        yield Run(client, original.info.experiment_id, original.info.run_id)
        return
    experiment_id = original.info.experiment_id if original else _default_experiment(client)
    name = f"convert {converted.source.uri}"
    with Run.start(client, experiment_id, name, provenance.tags("convert")) as run:
        yield run


def _default_experiment(client: MlflowClient) -> str:
    experiment = client.get_experiment_by_name("Default")
    return experiment.experiment_id if experiment else client.create_experiment("Default")


def _copy_metrics(run: Run, source: Source, uri: str) -> None:
    """Give the new logged model the original's own metrics.

    They keep step and time: then MLflow takes them for those that the run has, whose latest value stays.
    """
    model_id = uri.removeprefix("models:/")
    copied = [
        Metric(each.key, each.value, each.timestamp, each.step, model_id, run_id=run.run_id)
        for each in source.metrics
    ]
    if copied:
        run.client.log_batch(run.run_id, metrics=copied)
