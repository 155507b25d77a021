"""Where a part of the bench plays: the cores, MLflow, a folder, and how much is to be measured."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks.cores import Cores


@dataclass(frozen=True)
class Plan:
    """Seconds of each sample, and rounds; `lock` is a file to hold the lock of while one is taken."""

    seconds: int
    rounds: int
    lock: Path | None = None

    @property
    def brief(self) -> "Plan":
        """Half of it, for what is reported without a bar."""
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
