"""The progress bar of a training, and its leaderboard."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from trainer.candidates import Candidate
from trainer.experiment import Experiment, Failed, Logged

COLUMNS = {
    "test ROC-AUC": "test_roc_auc",
    "accuracy": "test_accuracy",
    "sens.": "test_sensitivity",
    "spec.": "test_specificity",
}


@dataclass(frozen=True)
class Registered:
    """A logged candidate and its version number."""

    logged: Logged
    version: str


def run_all(
    experiment: Experiment, candidates: Sequence[Candidate], console: Console
) -> Iterable[Logged | Failed]:
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


def leaderboard(results: Sequence[Registered | Failed]) -> Table:
    """The results as a table, best cross-validated ROC-AUC first."""
    table = Table(title="Leaderboard", box=box.SIMPLE, padding=0)
    table.add_column("candidate", no_wrap=True)
    table.add_column("version", justify="right")
    table.add_column("CV ROC-AUC", justify="right", no_wrap=True)
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    for result in sorted(results, key=_standing, reverse=True):
        table.add_row(*_row(result))
    return table


def _standing(result: Registered | Failed) -> float:
    return _of(result).metrics.get("cv_roc_auc_mean", -1.0)


def _row(result: Registered | Failed) -> list[str]:
    of = _of(result)
    return [
        of.candidate.name,
        result.version if isinstance(result, Registered) else "failed",
        f"{of.metrics['cv_roc_auc_mean']:.3f} ± {of.metrics['cv_roc_auc_std']:.3f}",
        *(f"{of.metrics[name]:.4f}" for name in COLUMNS.values()),
    ]


def _of(result: Registered | Failed) -> Logged | Failed:
    return result.logged if isinstance(result, Registered) else result
