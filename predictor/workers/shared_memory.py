"""What the supervisor passes to its workers: descriptors, and memory with a block of counts for each."""

import json
import mmap
import os
import tempfile
from dataclasses import asdict, dataclass

from predictor.metrics.counts import BLOCK_BYTES, Counts


def create(workers: int) -> int:
    """The descriptor of new memory for so many workers and their supervisor."""
    size = (workers + 1) * BLOCK_BYTES
    if hasattr(os, "memfd_create"):
        memory = os.memfd_create("mlflow-hotswap")
    else:
        with tempfile.TemporaryFile() as file:
            memory = os.dup(file.fileno())
    os.ftruncate(memory, size)
    return memory


class Blocks:
    """The counts of each worker, by its index, and of the supervisor."""

    def __init__(self, memory: int) -> None:
        """`memory` is a descriptor that `create` made, here or in the supervisor."""
        whole = memoryview(mmap.mmap(memory, 0))
        self._blocks = [
            whole[start : start + BLOCK_BYTES] for start in range(0, len(whole), BLOCK_BYTES)
        ]

    def worker(self, index: int) -> Counts:
        """A worker's counts: for itself to write, for others to read."""
        return Counts(self._blocks[index])

    def siblings(self, index: int) -> list[Counts]:
        """The counts of all other workers."""
        return [self.worker(i) for i in range(len(self._blocks) - 1) if i != index]

    def supervisor(self) -> Counts:
        """The supervisor's counts."""
        return Counts(self._blocks[-1])


@dataclass(frozen=True)
class WorkerArguments:
    """A worker's arguments. They are one command-line argument, so that a list of processes shows them.

    `listener`, `memory` and `line` are descriptors; `since` is when the schedule of polls began, in
    seconds of the monotonic clock.
    """

    worker: int
    workers: int
    listener: int
    memory: int
    since: float
    line: int = -1

    @classmethod
    def read(cls, text: str) -> "WorkerArguments":
        """Read what `str` wrote."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))
