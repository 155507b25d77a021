"""Which core the measured server has, and which one wrk, MLflow and the bench itself share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.errors import BenchError


@dataclass(frozen=True)
class Cores:
    """Two cores of this machine, by number."""

    server: int
    clients: int

    @classmethod
    def take(cls) -> "Cores":
        """The first two that this process may use; it moves to the clients' core itself.

        Raises BenchError where there is but one.
        """
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:  # noqa: PLR2004
            raise BenchError("two cores are needed: one for the server, one for wrk")
        cores = cls(*allowed[:2])
        os.sched_setaffinity(0, {cores.clients})
        return cores

    @contextmanager
    def of_the_server(self) -> Iterator[None]:
        """What is started meanwhile runs on the server's core, with every thread it makes."""
        os.sched_setaffinity(0, {self.server})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.clients})
