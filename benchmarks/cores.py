"""Core assignment: one for the measured server, one for wrk, MLflow and the benchmark itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.errors import BenchError


@dataclass(frozen=True)
class Cores:
    """The numbers of two cores of this machine."""

    server: int
    clients: int

    @classmethod
    def take(cls) -> "Cores":
        """Take the first two allowed cores, and move this process to the clients' core.

        Raises BenchError if only one core is allowed.
        """
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:  # noqa: PLR2004
            raise BenchError("two cores are needed: one for the server, one for wrk")
        cores = cls(*allowed[:2])
        os.sched_setaffinity(0, {cores.clients})
        return cores

    @contextmanager
    def pin_children_to_server(self) -> Iterator[None]:
        """Run child processes that start in this block on the server's core."""
        os.sched_setaffinity(0, {self.server})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.clients})

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Run this process, and children that start in this block, on both cores."""
        os.sched_setaffinity(0, {self.server, self.clients})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.clients})
