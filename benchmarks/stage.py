"""Where a part of the bench plays: the cores, MLflow, a folder, and how much is to be measured."""

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
    """Seconds of each sample, how often it is tried at most where others had its core, and rounds.

    `lock` is a file to hold the lock of while a sample is taken.
    """

    seconds: int
    rounds: int
    lock: Path | None = None
    tries: int = 3

    @property
    def brief(self) -> "Plan":
        """Half of it, for what is reported without a target."""
        return replace(self, seconds=max(1, self.seconds // 2), rounds=max(1, self.rounds // 2))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep other benches that use the same lock out meanwhile."""
        if self.lock is None:
            yield
            return
        with self.lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class Stage:
    """What every part is given; `stack` ends what it starts."""

    cores: Cores
    plan: Plan
    mlflow_url: str
    folder: Path
    stack: ExitStack
    console: Console

    def say(self, text: str) -> None:
        """Tell whoever waits."""
        self.console.print(f"[bold cyan]==>[/] {text}")

    @contextmanager
    def scene(self) -> Iterator["Stage"]:
        """The same stage; what is started on it ends with the scene."""
        with ExitStack() as stack:
            yield replace(self, stack=stack)


@contextmanager
def open_stage(plan: Plan, console: Console) -> Iterator[Stage]:
    """A stage with a new MLflow server. Raises BenchError where the machine will not do."""
    wrk.require()
    cores = Cores.take()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        mlflow = stack.enter_context(running(start_mlflow(folder / "mlflow")))
        # wrk has the same core, and must not wait for it.
        process.step_back(mlflow.process.pid)
        yield Stage(cores, plan, mlflow.url, folder, stack, console)
