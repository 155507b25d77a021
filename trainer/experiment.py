"""One candidate from search to a logged model: fit, evaluate, export, compare. One MLflow run."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
from mlflow.entities import Dataset as DatasetEntity
from mlflow.tracking import MlflowClient
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from exporters.errors import ExportError
from exporters.parity import ParityReport, compare
from exporters.rows import parity_rows
from exporters.sklearn_onnx import OnnxExport, export
from exporters.training_data import TrainingData
from trainer import artifact, evaluation, plots, provenance
from trainer.annotation import parity_tags
from trainer.candidates import Candidate
from trainer.data import HELD_OUT_SEED, HELD_OUT_SHARE, POSITIVE, Dataset, Split, split
from trainer.errors import UntrustedTypesError
from trainer.measurements import DESCRIPTIONS
from trainer.search import Effort, Search
from trainer.tracking import Run, dataset_entity

Exporter = Callable[[Any, pd.DataFrame, str, TrainingData], OnnxExport]
EXAMPLE_ROWS = 2
# Beside the trials: evaluation, export with parity, upload.
OTHER_STEPS = 3


@dataclass(frozen=True)
class Logged:
    """A candidate that passed the parity check; its MLflow model is at `source`."""

    candidate: Candidate
    run_id: str
    metrics: dict[str, float]
    seconds: float
    source: str
    export: OnnxExport
    parity: ParityReport


@dataclass(frozen=True)
class Failed:
    """A candidate whose run ended FAILED, with the reason and the metrics reached before."""

    candidate: Candidate
    run_id: str
    metrics: dict[str, float]
    seconds: float
    failure: ExportError | UntrustedTypesError


@dataclass(frozen=True)
class Experiment:
    """The shared parameters and data of all candidates of one training."""

    client: MlflowClient
    experiment_id: str
    dataset: Dataset
    rows: Split
    entity: DatasetEntity
    tags: Mapping[str, str]
    effort: Effort
    seed: int
    exporter: Exporter = export

    @classmethod
    def prepare(
        cls, client: MlflowClient, name: str, dataset: Dataset, effort: Effort, seed: int
    ) -> Self:
        """Find or create the MLflow experiment, split the rows, and record the provenance of the code."""
        known = client.get_experiment_by_name(name)
        return cls(
            client=client,
            experiment_id=known.experiment_id if known else client.create_experiment(name),
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

    def run(self, candidate: Candidate, reached: Callable[[str], None]) -> Logged | Failed:
        """Train one candidate; `reached` is called with the result of each step.

        What no other candidate shares, a failed export, is returned; anything else is raised, after the
        run was marked failed.
        """
        started = time.monotonic()
        tags = {**self.tags, "candidate": candidate.name}
        run = Run.start(self.client, self.experiment_id, candidate.name, tags)
        metrics: dict[str, float] = {}
        try:
            # So few rows are faster on one thread than shared between several.
            with run, threadpool_limits(1):
                pipeline = self._fit(candidate, run, metrics, reached)
                self._evaluate(candidate, run, pipeline)
                reached(f"test ROC-AUC {metrics['test_roc_auc']:.4f}")
                exported, parity = self._export(run, pipeline)
                reached(
                    f"parity on {parity.rows:,} rows, difference {parity.largest_difference:.0e}"
                )
                example = self.rows.test.features.head(EXAMPLE_ROWS)
                model = artifact.TrainedModel(candidate.name, pipeline, exported, example)
                source = artifact.log(run, model, metrics)
                reached("model uploaded")
        except (ExportError, UntrustedTypesError) as failure:
            return Failed(candidate, run.run_id, metrics, time.monotonic() - started, failure)
        seconds = time.monotonic() - started
        return Logged(candidate, run.run_id, metrics, seconds, source, exported, parity)

    def _fit(
        self,
        candidate: Candidate,
        run: Run,
        metrics: dict[str, float],
        reached: Callable[[str], None],
    ) -> Any:
        """Search, refit the best on all training rows, and add its metrics to `metrics`."""
        run.log_dataset(self.entity)
        search = Search(
            self.rows.train, self.entity, self.effort, self.seed, dict(self.tags), reached
        )
        best = search.best(candidate, run)
        pipeline = candidate.build(self.seed).set_params(**best.parameters)
        pipeline.fit(self.rows.train.features, self.rows.train.diagnosis)
        test = evaluation.score(pipeline, self.rows.test.features, self.rows.test.diagnosis)
        metrics.update(best.metrics)
        metrics.update({f"test_{name}": value for name, value in test.items()})
        run.log(parameters=self._parameters(pipeline), metrics=metrics)
        return pipeline

    def _evaluate(self, candidate: Candidate, run: Run, pipeline: Any) -> None:
        """Upload pictures and tables of the held-out rows to the folder `evaluation`."""
        test = self.rows.test
        probability = evaluation.malignant_probability(pipeline, test.features)
        confusion = evaluation.confusion(test, pipeline.predict(test.features))
        weights = evaluation.importance(
            pipeline, test, repeats=self.effort.importance_repeats, seed=self.seed
        )
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "evaluation"
            folder.mkdir()
            plots.draw(folder, candidate.title, test, probability, confusion)
            plots.draw_importance(folder, candidate.title, weights)
            confusion.to_csv(folder / "confusion_matrix.csv")
            weights.to_csv(folder / "permutation_importance.csv", index=False)
            for name, table in evaluation.curves(test, probability).items():
                table.to_csv(folder / f"{name}.csv", index=False)
            run.log_files(Path(temporary))

    def _export(self, run: Run, pipeline: Any) -> tuple[OnnxExport, ParityReport]:
        """Export and compare; the report is logged before a failed one is raised as ParityError."""
        fitted_on = self.rows.train
        training = TrainingData(fitted_on.features, fitted_on.diagnosis, DESCRIPTIONS)
        exported = self.exporter(pipeline, self.rows.test.features, POSITIVE, training)
        rows = parity_rows(pipeline, self.dataset.features, seed=self.seed)
        parity = compare(pipeline, exported.content, rows)
        run.log_json({"onnx_sha256": exported.sha256, **parity.as_dict()}, "parity.json")
        run.log(tags={"onnx_sha256": exported.sha256, **parity_tags(parity)})
        parity.require()
        return exported, parity

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
            "train_rows": len(self.rows.train.diagnosis),
            "test_rows": len(self.rows.test.diagnosis),
        }
