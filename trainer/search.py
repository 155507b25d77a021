"""A random search over one candidate's parameters, each trial a child run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Dataset as DatasetEntity

from trainer.candidates import Candidate
from trainer.data import Dataset
from trainer.evaluation import cross_validated, rank
from trainer.tracking import Run


@dataclass(frozen=True)
class Effort:
    """The amount of work for one candidate."""

    trials: int
    folds: int
    importance_repeats: int


FULL = Effort(trials=10, folds=5, importance_repeats=10)
QUICK = Effort(trials=2, folds=3, importance_repeats=2)


@dataclass(frozen=True)
class Trial:
    """One point of the search with its cross-validated metrics."""

    parameters: dict[str, Any]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Search:
    """The data and settings of a search; `reached` is called with each trial's result."""

    train: Dataset
    entity: DatasetEntity
    effort: Effort
    seed: int
    tags: dict[str, str]
    reached: Callable[[str], None]

    def best(self, candidate: Candidate, parent: Run) -> Trial:
        """Try the sampled points one after another, log each under `parent`, and return the best."""
        points = candidate.sample(self.effort.trials, self.seed)
        trials = [
            self._try(candidate, parent, number, parameters)
            for number, parameters in enumerate(points, start=1)
        ]
        return max(trials, key=lambda trial: rank(trial.metrics))

    def _try(
        self, candidate: Candidate, parent: Run, number: int, parameters: dict[str, Any]
    ) -> Trial:
        name = f"{candidate.name} trial {number}"
        tags = {**self.tags, "candidate": candidate.name}
        with Run.start(parent.client, parent.experiment_id, name, tags, parent) as run:
            pipeline = candidate.build(self.seed).set_params(**parameters)
            metrics = cross_validated(pipeline, self.train, folds=self.effort.folds, seed=self.seed)
            logged = {**parameters, "seed": self.seed, "folds": self.effort.folds}
            run.log(parameters=logged, metrics=metrics)
            run.log_dataset(self.entity)
        mean, spread = metrics["cv_roc_auc_mean"], metrics["cv_roc_auc_std"]
        self.reached(f"trial {number} of {self.effort.trials}: ROC-AUC {mean:.4f} ± {spread:.4f}")
        return Trial(parameters, metrics)
