"""What all parts of a benchmark share: cores, MLflow server, folder, and the measurement plan."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import process, wrk
from benchmarks.cores import Cores
from demo.processes import running, start_mlflow


@dataclass(frozen=True)
class Plan:
    """Seconds of each sample, number of rounds, and maximum attempts for a disturbed sample.

    `lock` is a file that is locked while a sample is measured.
    """

    seconds: int
    rounds: int
    lock: Path | None = None
    tries: int = 3

    @property
    def brief(self) -> "Plan":
        """A plan with half the seconds and rounds, for figures without a target."""
        return replace(self, seconds=max(1, self.seconds // 2), rounds=max(1, self.rounds // 2))

    @property
    def of_tails(self) -> "Plan":
        """A plan with half the seconds and three times the rounds, for ratios of 99th percentiles.

        A disturbance of a few milliseconds changes the percentile of its round, but not the median of many rounds.
        """
        return replace(self, seconds=max(1, self.seconds // 2), rounds=3 * self.rounds)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock, so that no other benchmark with the same lock measures."""
        if self.lock is None:
            yield
            return
        with self.lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class BenchContext:
    """Shared resources of the parts; `stack` stops the servers that a part starts."""

    cores: Cores
    plan: Plan
    mlflow_url: str
    folder: Path
    stack: ExitStack
    console: Console

    def print_step(self, text: str) -> None:
        """Print a line of progress."""
        self.console.print(f"[bold cyan]==>[/] {text}")

    @contextmanager
    def scope(self) -> Iterator["BenchContext"]:
        """A copy of the context whose servers stop at the end of the block."""
        with ExitStack() as stack:
            yield replace(self, stack=stack)


@contextmanager
def open_context(plan: Plan, console: Console) -> Iterator[BenchContext]:
    """Start an MLflow server for a run. Raises BenchError without wrk or a second core."""
    wrk.require()
    cores = Cores.take()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        mlflow = stack.enter_context(running(start_mlflow(folder / "mlflow")))
        # wrk runs on the same core and must not wait for MLflow.
        process.lower_priority(mlflow.process.pid)
        yield BenchContext(cores, plan, mlflow.url, folder, stack, console)
