"""The progress bar of a training, and its leaderboard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from exporters.metrics import Task
from trainer.candidates import Candidate
from trainer.evaluation import HEADLINE, rank
from trainer.experiment import Experiment, Failed, Logged, Outcome
from trainer.terminal import Table, number, prose

COLUMNS: Mapping[Task, Mapping[str, str]] = {
    "binary": {
        "test ROC-AUC": "test_roc_auc",
        "accuracy": "test_accuracy",
        "sens.": "test_sensitivity",
        "spec.": "test_specificity",
    },
    "multiclass": {
        "test ROC-AUC": "test_roc_auc",
        "accuracy": "test_accuracy",
        "balanced": "test_balanced_accuracy",
        "F1": "test_f1",
    },
    "regression": {"test RMSE": "test_rmse", "MAE": "test_mae", "R²": "test_r2"},
}


@dataclass(frozen=True)
class Registered:
    """A logged candidate and its version number."""

    logged: Logged
    version: str


def run_all(
    experiment: Experiment, candidates: Sequence[Candidate], console: Console
) -> Iterable[Outcome]:
    """Run the candidates with a progress bar, and yield each result."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=experiment.steps * len(candidates))
        for number, candidate in enumerate(candidates, start=1):
            bar.update(task, description=f"{candidate.name} ({number} of {len(candidates)})")

            def reached(what: str, name: str = candidate.name) -> None:
                console.print(f"  {name}: {what}", highlight=False)
                bar.advance(task)

            yield experiment.run(candidate, reached)
            # A candidate that failed took fewer steps.
            bar.update(task, completed=experiment.steps * number)


def leaderboard(results: Sequence[Registered | Failed], task: Task) -> Table:
    """The results as a table, the best in cross-validation first."""
    columns = [
        prose("candidate", least=24),
        number("version"),
        number("cv", f"CV {HEADLINE[task][1]}"),
        *(
            number(name, heading, rank, "{:.4f}".format)
            for rank, (heading, name) in enumerate(COLUMNS[task].items())
        ),
    ]
    return Table(columns, [_row(each, task) for each in _ranked(results)])


def records(results: Sequence[Registered | Failed]) -> list[dict[str, Any]]:
    """The same for JSON, with all metrics; `version` is null for a candidate that failed."""
    return [
        {
            "candidate": _of(each).candidate.name,
            "version": each.version if isinstance(each, Registered) else None,
            "metrics": _of(each).metrics,
        }
        for each in _ranked(results)
    ]


def _ranked(results: Sequence[Registered | Failed]) -> list[Registered | Failed]:
    return sorted(results, key=lambda each: rank(_of(each).metrics), reverse=True)


def _row(result: Registered | Failed, task: Task) -> list[Any]:
    of, name = _of(result), HEADLINE[task][0]
    return [
        of.candidate.name,
        result.version if isinstance(result, Registered) else "failed",
        f"{of.metrics[f'cv_{name}_mean']:.3f} ± {of.metrics[f'cv_{name}_std']:.3f}",
        *(of.metrics[name] for name in COLUMNS[task].values()),
    ]


def _of(result: Registered | Failed) -> Logged | Failed:
    return result.logged if isinstance(result, Registered) else result
