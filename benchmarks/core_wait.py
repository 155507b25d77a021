"""How long a process waited for its core: it tells a busy machine from a slow server."""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks import process


class CoreWait:
    """Measures a server's wait for its core, from the creation of this object."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._began = self._now()

    def share(self) -> float:
        """The share of the time that the main thread was ready while another program used its core.

        It is a lower bound: the CPU time of the server's other threads is subtracted.
        """
        seconds, waited, own = (
            now - then for now, then in zip(self._now(), self._began, strict=True)
        )
        return max(0.0, waited - own) / seconds

    def _now(self) -> tuple[float, float, float]:
        """Monotonic time, wait of the main thread and CPU time of the other threads, in seconds."""
        ran, waited = _schedule(Path(f"/proc/{self._server}/task/{self._server}"))
        rest = process.cpu_nanoseconds(self._server) / 1e9 - ran
        return time.monotonic(), waited, rest


def waited_seconds(pid: int) -> float:
    """Seconds that all threads of a process have waited for a core since their start."""
    return sum(_schedule(task)[1] for task in Path(f"/proc/{pid}/task").iterdir())


def _schedule(task: Path) -> Sequence[float]:
    """Seconds that a thread ran, and seconds that it waited for a core."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(field) / 1e9 for field in (task / "schedstat").read_text().split()[:2]]
    return (0.0, 0.0)
