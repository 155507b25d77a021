"""Threads: a few of them, and a bound on what waits for one."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_LEAST = 2  # one that a computation holds must not hold up all others
_MOST = 4  # each holds a batch's rows in memory


class Threads:
    """Runs work beside the event loop. `used` of at most `most` pieces are waiting or running."""

    def __init__(self, name: str, most: int | None = None) -> None:
        """Without `most`, as many as there are threads: then no work waits for another."""
        threads = max(_LEAST, min(_MOST, _cores()))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.most = most or threads
        self.used = 0

    @property
    def free(self) -> int:
        """How many more pieces of work may be given."""
        return self.most - self.used

    def submit(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Start `work`, or let it wait for a thread. The caller looks at `free` first."""
        self.used += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: object) -> None:
        self.used -= 1


def _cores() -> int:
    """Those that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
