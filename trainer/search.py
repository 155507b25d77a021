"""A search over one candidate's parameters, each trial a child run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from mlflow.entities import Dataset as DatasetEntity

from trainer.candidates import Candidate
from trainer.data import Dataset
from trainer.evaluation import HEADLINE, cross_validated, rank
from trainer.tag_names import CANDIDATE
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
class Trials:
    """What the trials of one candidate share; `reached` is called with each trial's result."""

    candidate: Candidate
    train: Dataset
    entity: DatasetEntity
    effort: Effort
    seed: int
    tags: dict[str, str]
    reached: Callable[[str], None]

    def run(self, parent: Run, number: int, parameters: dict[str, Any]) -> Trial:
        """Cross-validate one point, and log it as a child run of `parent`."""
        name = f"{self.candidate.name} trial {number}"
        tags = {**self.tags, CANDIDATE: self.candidate.name}
        with Run.start(parent.client, parent.experiment_id, name, tags, parent) as run:
            pipeline = self.candidate.build(self.seed, self.train.columns).set_params(**parameters)
            metrics = cross_validated(pipeline, self.train, folds=self.effort.folds, seed=self.seed)
            logged = {**parameters, "seed": self.seed, "folds": self.effort.folds}
            run.log(parameters=logged, metrics=metrics)
            run.log_dataset(self.entity)
        name, title = HEADLINE[self.train.problem.task]
        mean, spread = metrics[f"cv_{name}_mean"], metrics[f"cv_{name}_std"]
        self.reached(f"trial {number} of {self.effort.trials}: {title} {mean:.4f} ± {spread:.4f}")
        return Trial(parameters, metrics)


# Makes a candidate's run, or opens the one with this id again.
OpenRun = Callable[[str | None], Run]


class Search(Protocol):
    """A way to choose the points of a candidate's trials, in this process alone or in several."""

    def best(self, trials: Trials, open_run: OpenRun) -> tuple[Run, Trial] | str:
        """Run the trials as children of one run, and return that run, still open, and the best trial.

        A text says why another process registers this candidate.
        """

    def finished(self, candidate: Candidate) -> None:
        """The candidate is registered, or never will be."""

    def close(self) -> None:
        """Give back the candidates that this process should have registered, and did not."""


class RandomSearch:
    """Random points that depend only on the seed, one after another in this process."""

    def best(self, trials: Trials, open_run: OpenRun) -> tuple[Run, Trial] | str:
        """See `Search`."""
        points = trials.candidate.sample(trials.effort.trials, trials.seed)
        run = open_run(None)
        with run.failing():
            found = [trials.run(run, number, point) for number, point in enumerate(points, start=1)]
        return run, max(found, key=lambda trial: rank(trial.metrics))

    def finished(self, candidate: Candidate) -> None:
        """See `Search`."""

    def close(self) -> None:
        """See `Search`."""
