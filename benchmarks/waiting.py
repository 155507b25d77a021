"""How long a process had to wait for its core: a busy machine must not pass for a slow server."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import process


class Waiting:
    """Watches a server from when this is made."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._began = self._now()

    def share(self) -> float:
        """For what part of the time its first thread was ready to run, and others had the core.

        What its own other threads ran is not counted against others, so it is a lower bound.
        """
        seconds, waited, own = (
            now - then for now, then in zip(self._now(), self._began, strict=True)
        )
        return max(0.0, waited - own) / seconds

    def _now(self) -> tuple[float, float, float]:
        """Seconds since some time, those that the first thread waited, those that the rest ran."""
        ran, waited = _schedule(Path(f"/proc/{self._server}/task/{self._server}"))
        rest = process.cpu_nanoseconds(self._server) / 1e9 - ran
        return time.monotonic(), waited, rest


def of_all_threads(pid: int) -> float:
    """Seconds that the threads of a process have waited for a core since they began, in all."""
    return sum(_schedule(task)[1] for task in Path(f"/proc/{pid}/task").iterdir())


def _schedule(task: Path) -> Sequence[float]:
    """Seconds that a thread ran, and that it waited for a core."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(field) / 1e9 for field in (task / "schedstat").read_text().split()[:2]]
    return (0.0, 0.0)
