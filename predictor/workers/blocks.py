"""Blocks: memory that the supervisor and its workers share, with a block of counts for each.

It has no name and no file that could be left behind: it is handed on as a descriptor, and goes when
the last process that has it goes.
"""

import mmap
import os
import tempfile

from predictor.counting.counts import BLOCK_BYTES, Counts


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
