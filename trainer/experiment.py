"""One candidate from search to a logged model: fit, evaluate, export, compare. One MLflow run."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import pandas as pd
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils import mlflow_tags
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from exporters.errors import ExportError
from exporters.export import Export, export
from exporters.metadata import Settings
from exporters.metrics import Evaluation, detail, score
from exporters.parity import ParityReport
from trainer import artifact, evaluation, operating_point, plots, provenance
from trainer.annotation import experiment_description
from trainer.candidates import Candidate
from trainer.data import HELD_OUT_SEED, HELD_OUT_SHARE, Dataset, Split, split
from trainer.errors import TrainerError
from trainer.operating_point import SENSITIVITY, OperatingPoint
from trainer.search import Effort, RandomSearch, Search, Trial, Trials
from trainer.tag_names import CANDIDATE, PARITY
from trainer.tracking import Run, dataset_entity

Exporter = Callable[[Any, pd.DataFrame, Settings], Export]
EXAMPLE_ROWS = 2
FOLDER = "evaluation"
"""The folder of a run's tables and pictures."""
# Beside the trials: evaluation, export with parity, upload.
OTHER_STEPS = 3


@dataclass(frozen=True)
class Evaluated:
    """A fitted pipeline's predictions for the held-out rows, its operating point, and the features' importance.

    Only a binary task has an operating point.
    """

    held_out: Evaluation
    point: OperatingPoint | None
    importance: pd.DataFrame


@dataclass(frozen=True)
class Logged:
    """A candidate that passed the parity check; its MLflow model is at `source`."""

    candidate: Candidate
    run_id: str
    metrics: dict[str, float]
    seconds: float
    source: str
    export: Export
    evaluated: Evaluated


@dataclass(frozen=True)
class Failed:
    """A candidate whose run ended FAILED, with the reason and the metrics reached before."""

    candidate: Candidate
    run_id: str
    metrics: dict[str, float]
    seconds: float
    failure: ExportError
    evaluated: Evaluated


@dataclass(frozen=True)
class Elsewhere:
    """A candidate that another process registers, and why."""

    candidate: Candidate
    reason: str


Outcome = Logged | Failed | Elsewhere


@dataclass(frozen=True)
class Experiment:
    """The shared parameters and data of all candidates of one training.

    `sensitivity` is the share of the positive rows that an operating point must find.
    """

    client: MlflowClient
    experiment_id: str
    dataset: Dataset
    rows: Split
    entity: DatasetEntity
    tags: Mapping[str, str]
    effort: Effort
    seed: int
    sensitivity: float = SENSITIVITY
    exporter: Exporter = export
    search: Search = field(default_factory=RandomSearch)

    @classmethod
    def prepare(
        cls, client: MlflowClient, name: str, dataset: Dataset, effort: Effort, seed: int
    ) -> Self:
        """Find or create the MLflow experiment, split the rows, and record the provenance of the code."""
        return cls(
            client=client,
            experiment_id=_experiment(client, name, experiment_description(dataset)),
            dataset=dataset,
            rows=split(dataset),
            entity=dataset_entity(dataset),
            tags=provenance.tags(),
            effort=effort,
            seed=seed,
        )

    @property
    def steps(self) -> int:
        """The number of calls of `reached` for one successful candidate."""
        return self.effort.trials + OTHER_STEPS

    def run(self, candidate: Candidate, reached: Callable[[str], None]) -> Outcome:
        """Train one candidate; `reached` is called with the result of each step.

        What no other candidate shares, a failed export, is returned; anything else is raised, after the
        run was marked failed.
        """
        started = time.monotonic()
        trials = Trials(
            candidate,
            self.rows.train,
            self.entity,
            self.effort,
            self.seed,
            dict(self.tags),
            reached,
        )
        metrics: dict[str, float] = {}
        # So few rows are faster on one thread than shared between several.
        with threadpool_limits(1):
            found = self.search.best(trials, partial(self._open, candidate))
            if isinstance(found, str):
                return Elsewhere(candidate, found)
            run, best = found
            try:
                with run:
                    pipeline, point = self._fit(candidate, run, best, metrics)
                    evaluated = self._evaluate(run, pipeline, point)
                    name, title = evaluation.HEADLINE[self.dataset.problem.task]
                    decided = "" if point is None else f"; {point}"
                    reached(f"test {title} {metrics[f'test_{name}']:.4f}{decided}")
                    exported = self._export(run, pipeline, point)
                    parity = exported.parity
                    difference = f"{parity.largest_difference:.0e}"
                    reached(f"parity on {parity.rows:,} rows, difference {difference}")
                    example = self.rows.test.features.head(EXAMPLE_ROWS)
                    source = artifact.log(run, candidate.name, exported, example, metrics)
                    reached("model uploaded")
            except ExportError as failure:
                seconds = time.monotonic() - started
                return Failed(candidate, run.run_id, metrics, seconds, failure, evaluated)
        seconds = time.monotonic() - started
        return Logged(candidate, run.run_id, metrics, seconds, source, exported, evaluated)

    def draw(self, run_id: str, title: str, evaluated: Evaluated) -> None:
        """Upload pictures of the held-out rows to the run's folder `evaluation`.

        They are drawn last, because their title names the registered version.
        """
        run = Run(self.client, self.experiment_id, run_id)
        measure = evaluation.IMPORTANCE_MEASURE[evaluated.held_out.task]
        with tempfile.TemporaryDirectory() as temporary:
            plots.draw(Path(temporary), title, evaluated.held_out, evaluated.point)
            plots.draw_importance(Path(temporary), title, evaluated.importance, measure)
            run.log_files(Path(temporary), FOLDER)

    def _open(self, candidate: Candidate, run_id: str | None) -> Run:
        """The candidate's run: a new one, or the one with this id."""
        if run_id is not None:
            return Run(self.client, self.experiment_id, run_id)
        tags = {**self.tags, CANDIDATE: candidate.name}
        run = Run.start(self.client, self.experiment_id, candidate.name, tags)
        run.log_dataset(self.entity)
        return run

    def _fit(
        self, candidate: Candidate, run: Run, best: Trial, metrics: dict[str, float]
    ) -> tuple[Any, OperatingPoint | None]:
        """Fit the best trial's pipeline to all training rows, and add its metrics to `metrics`."""
        pipeline = candidate.build(self.seed, self.dataset.columns).set_params(**best.parameters)
        pipeline.fit(self.rows.train.features, self.rows.train.target)
        held_out = self._held_out(pipeline)
        point = self._operating_point(pipeline, held_out)
        test = {**score(held_out), **detail(held_out)}
        metrics.update(best.metrics)
        metrics.update({f"test_{name}": value for name, value in test.items()})
        if point is not None:
            metrics.update(point.metrics())
            run.log(tags={"operating_point": str(point)})
        run.log(parameters=self._parameters(pipeline), metrics=metrics)
        return pipeline, point

    def _held_out(self, pipeline: Any) -> Evaluation:
        test = self.rows.test
        return evaluation.evaluate(pipeline, test.features, test.target, test.problem)

    def _operating_point(self, pipeline: Any, held_out: Evaluation) -> OperatingPoint | None:
        """Chosen out of fold on the training rows, and measured on the held-out ones."""
        if held_out.task != "binary":
            return None
        train, positive = self.rows.train, held_out.positive
        point = operating_point.choose(
            pipeline, train.features, train.target, positive,
            sensitivity=self.sensitivity, folds=self.effort.folds, seed=self.seed,
        )  # fmt: skip
        return point.measured(held_out.probability(positive), held_out.actual)

    def _evaluate(self, run: Run, pipeline: Any, point: OperatingPoint | None) -> Evaluated:
        """Upload tables of the held-out rows to the folder `evaluation`."""
        test = self.rows.test
        held_out = self._held_out(pipeline)
        weights = evaluation.importance(
            pipeline, test, repeats=self.effort.importance_repeats, seed=self.seed
        )
        written = {
            **evaluation.tables(held_out),
            "held_out_predictions": evaluation.held_out_predictions(held_out, test.rows),
            "permutation_importance": weights,
        }
        with tempfile.TemporaryDirectory() as temporary:
            for name, table in written.items():
                table.to_csv(Path(temporary) / f"{name}.csv", index=False)
            run.log_files(Path(temporary), FOLDER)
        return Evaluated(held_out, point, weights)

    def _export(self, run: Run, pipeline: Any, point: OperatingPoint | None) -> Export:
        """Export and compare; the report is logged before a failed one is raised as ParityError."""
        fitted_on = self.rows.train
        settings = Settings(
            labels=fitted_on.target,
            positive_class=fitted_on.problem.positive,
            descriptions=fitted_on.descriptions,
            page=fitted_on.page,
            further_rows=self.rows.test.features,
            operating_point=None if point is None else point.as_metadata(),
            out_of_fold=None if point is None else point.scores,
            seed=self.seed,
            failed=lambda report: _log_parity(run, report),
        )
        exported = self.exporter(pipeline, fitted_on.features, settings)
        _log_parity(run, exported.parity)
        run.log(tags=artifact.version_tags(exported))
        return exported

    def _parameters(self, pipeline: Any) -> dict[str, Any]:
        """All parameters of the pipeline and of the training, not only the searched ones."""
        settings = pipeline.get_params().items()
        plain = (str, int, float, tuple, type(None))
        return {
            **{name: value for name, value in settings if isinstance(value, plain)},
            "seed": self.seed,
            "held_out_seed": HELD_OUT_SEED,
            "held_out_share": HELD_OUT_SHARE,
            "trials": self.effort.trials,
            "folds": self.effort.folds,
            "importance_repeats": self.effort.importance_repeats,
            **({"sensitivity": self.sensitivity} if self.dataset.problem.task == "binary" else {}),
            "train_rows": len(self.rows.train.target),
            "test_rows": len(self.rows.test.target),
        }


def _log_parity(run: Run, report: ParityReport) -> None:
    run.log_json(report.as_dict(), "parity.json")
    run.log(tags={PARITY: "passed" if report.passed else "failed"})


def _experiment(client: MlflowClient, name: str, description: str) -> str:
    """The experiment's id; it is created with this description if it is missing."""
    try:
        return client.create_experiment(name, tags={mlflow_tags.MLFLOW_RUN_NOTE: description})
    except MlflowException as error:
        # Another process may have created it meanwhile. Other errors are raised by the second request.
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        if known.lifecycle_stage == LifecycleStage.DELETED:
            raise TrainerError(
                f"the experiment {name!r} is deleted; restore it in MLflow, or choose --experiment"
            ) from error
        return known.experiment_id
