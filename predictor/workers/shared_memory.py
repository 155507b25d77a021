"""Shared memory for counts, and the arguments that the supervisor passes to a worker."""

import json
import mmap
import os
import tempfile
from dataclasses import asdict, dataclass

from predictor.metrics.counts import BLOCK_BYTES, Counts


def create(workers: int) -> int:
    """Create memory for the counts of workers and supervisor. Return its descriptor."""
    size = (workers + 1) * BLOCK_BYTES
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("mlflow-hotswap")
    else:
        with tempfile.TemporaryFile() as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, size)
    return memory


class Blocks:
    """The blocks of counts in shared memory: one for each worker, and one for the supervisor."""

    def __init__(self, memory: int) -> None:
        """`memory` is the descriptor from `create`."""
        whole = memoryview(mmap.mmap(memory, 0))
        self._blocks = [
            whole[start : start + BLOCK_BYTES] for start in range(0, len(whole), BLOCK_BYTES)
        ]

    def worker(self, index: int) -> Counts:
        """The counts of a worker. Only that worker may write them."""
        return Counts(self._blocks[index])

    def siblings(self, index: int) -> list[Counts]:
        """The counts of all other workers."""
        return [self.worker(i) for i in range(len(self._blocks) - 1) if i != index]

    def supervisor(self) -> Counts:
        """The supervisor's counts."""
        return Counts(self._blocks[-1])


@dataclass(frozen=True)
class WorkerArguments:
    """The arguments of a worker process, passed as one JSON text on its command line.

    `listener`, `memory` and `line` (a socket to the supervisor) are descriptors; `since` is the start of the
    poll schedule, in seconds of the monotonic clock.
    """

    worker: int
    workers: int
    listener: int
    memory: int
    since: float
    line: int = -1

    @classmethod
    def read(cls, text: str) -> "WorkerArguments":
        """Parse the text that `str` makes."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))
