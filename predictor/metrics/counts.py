"""Counts: numbers by key in one block of memory, with one writer and many readers.

The hot path only does `slots[place] += x`. If the block is shared memory, its counts survive the end of their
process: the next process with this block continues them, and other processes read them.

The block consists of slots of 8 bytes, all float64 (exact for whole numbers up to 2**53):

    used                              the number of slots with records; written after each record
    k, n, k slots of text, n values   one record: its key in JSON, padded with spaces; its values

Records are only appended. If a process ends while it appends, that record is lost, and earlier ones stay.
"""

import json
import mmap
from collections.abc import Iterator

from predictor.log_events import COUNTS_FULL

Key = tuple[str, ...]  # a name, then label values

_SLOT = 8  # bytes
_FIRST = 1  # the slot of the first record
_SPILL = (
    64  # slots at the end for keys without space of their own; the last one is 1 once there is one
)

BLOCK_BYTES = 8 << 20  # for some 2,000 versions of 50 classes; unused pages take no memory


class Counts:
    """One block. Only one thread of one process may write; any process may read."""

    def __init__(self, block: memoryview) -> None:
        """`block` is writable and a multiple of 8 bytes long; existing records are kept."""
        self.slots: memoryview[float] = block.cast("d")
        self._bytes = block
        self._places: dict[Key, tuple[int, int]] = {}
        self._read_to = _FIRST
        self._read_new_records()

    @classmethod
    def alone(cls) -> "Counts":
        """A block in the memory of this process."""
        return cls(memoryview(mmap.mmap(-1, BLOCK_BYTES)))

    def place(self, *key: str, size: int = 1) -> int:
        """The slot of the first of a key's `size` values; a new key starts with zeros."""
        if key not in self._places:
            self._read_new_records()
        found = self._places.get(key)
        return found[0] if found else self._append(key, size)

    def read(self) -> Iterator[tuple[Key, list[float]]]:
        """Every key with its present values."""
        self._read_new_records()
        for key, (place, size) in self._places.items():
            yield key, list(self.slots[place : place + size])

    def value(self, *key: str) -> float:
        """The value of a key; 0 if it has none yet."""
        if key not in self._places:
            self._read_new_records()
        found = self._places.get(key)
        return self.slots[found[0]] if found else 0.0

    def values(self, *key: str) -> list[float]:
        """All values of a key; empty if it has none yet."""
        if key not in self._places:
            self._read_new_records()
        place, size = self._places.get(key, (0, 0))
        return list(self.slots[place : place + size])

    def key_at(self, place: int) -> Key:
        """The key whose first value is in this slot."""
        self._read_new_records()
        return next(key for key, (first, _) in self._places.items() if first == place)

    @property
    def full(self) -> bool:
        """Whether some key had no space, in this process or in an earlier one with this block."""
        return bool(self.slots[-1])

    def _read_new_records(self) -> None:
        used = int(self.slots[0]) or _FIRST
        while self._read_to < used:
            at = self._read_to
            text, size = int(self.slots[at]), int(self.slots[at + 1])
            place = at + 2 + text
            key = json.loads(bytes(self._bytes[(at + 2) * _SLOT : place * _SLOT]))
            self._places[tuple(key)] = place, size
            self._read_to = place + size

    def _append(self, key: Key, size: int) -> int:
        text = json.dumps(key).encode()
        text += b" " * (-len(text) % _SLOT)
        at = self._read_to
        place = at + 2 + len(text) // _SLOT
        end = place + size
        if end > len(self.slots) - _SPILL:
            return self._spill(key)
        # A process that ended while it appended may have left bytes here.
        self._bytes[at * _SLOT : end * _SLOT] = bytes((end - at) * _SLOT)
        self.slots[at], self.slots[at + 1] = len(text) // _SLOT, size
        self._bytes[(at + 2) * _SLOT : place * _SLOT] = text
        self.slots[0] = self._read_to = end
        self._places[key] = place, size
        return place

    def _spill(self, key: Key) -> int:
        if not self.full:
            self.slots[-1] = 1
            COUNTS_FULL.log(first_not_counted=key, bytes=len(self._bytes))
        return len(self.slots) - _SPILL
