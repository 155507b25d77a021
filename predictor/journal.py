"""Journal: the last things that happened here, and those who read on as more happens.

A reader is a place in it, and nothing else: one that is slow costs no memory. What it was too slow
for is gone, and it is told so.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from predictor.bulletin import Bulletin
from predictor.errors import NoStream
from predictor.events import Event

_LONGEST_NUMBER = 15  # digits


def full(readers: int) -> NoStream:
    """What one client more is told, where so many read already."""
    return NoStream(f"{readers} clients read events already; try again later")


class Journal:
    """Bulletins in the order of their numbers, the last `kept` of them, for `most_readers` at a time.

    `worker` is the number of this process, where several serve. `count` hears how many readers there
    are whenever that changes. After `silence_seconds` without news a reader is woken all the same.
    """

    def __init__(
        self,
        most_readers: int = 100,
        *,
        count: Callable[[int], None] = lambda _: None,
        worker: int | None = None,
        kept: int = 256,
        silence_seconds: float = 15,
    ) -> None:
        self.worker = worker
        self.closed = False
        self._most_readers = most_readers
        self._count = count
        self._silence_seconds = silence_seconds
        # What a process before this one numbered, or another worker, is told apart by it.
        self._mark = secrets.token_hex(4)
        self._bulletins: deque[Bulletin] = deque(maxlen=kept)
        self._last = 0
        self._more = asyncio.Event()
        self._readers = 0

    @property
    def last(self) -> int:
        """The number of the latest bulletin; 0 for none yet."""
        return self._last

    def observe(self, event: Event) -> None:
        """Write down what happened. On the event loop's thread."""
        if bulletin := Bulletin.of(event):
            self._bulletins.append(bulletin)
            self._last += 1
            self.wake()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Be one of those who read. Raises NoStream where there are too many, or at the end."""
        if self.closed:
            raise NoStream("the service stops; ask another replica")
        if self._readers >= self._most_readers:
            raise full(self._readers)
        self._readers += 1
        self._count(self._readers)
        try:
            yield
        finally:
            self._readers -= 1
            self._count(self._readers)

    def after(self, place: int) -> list[tuple[int, Bulletin]] | None:
        """What came after the bulletin of that number; None where some of it is gone."""
        missing = self._last - place
        if not 0 <= missing <= len(self._bulletins):
            return None
        tail = list(self._bulletins)[len(self._bulletins) - missing :]
        return list(enumerate(tail, place + 1))

    @property
    def moment(self) -> asyncio.Event:
        """Now, for `more`: whatever happens from here on ends its wait."""
        return self._more

    async def more(self, place: int, moment: asyncio.Event) -> bool:
        """Wait until there is more than that number, or `wake` since that moment; False for silence."""
        if self._last > place or self.closed:
            return True
        try:
            async with asyncio.timeout(self._silence_seconds):
                return await moment.wait()
        except TimeoutError:
            return False

    def close(self) -> None:
        """Let every reader end."""
        self.closed = True
        self.wake()

    def id_of(self, place: int) -> str:
        """What a client may come back with, to read on from there."""
        return f"{self._mark}-{place}"

    def place_of(self, given: str | None) -> int | None:
        """The place that `id_of` gave; None for what is not of this process."""
        mark, _, number = (given or "").partition("-")
        ours = mark == self._mark and number.isascii() and number.isdecimal()
        return int(number) if ours and len(number) <= _LONGEST_NUMBER else None

    def wake(self) -> None:
        """Let every reader look again, whether there is more or not."""
        waited, self._more = self._more, asyncio.Event()
        waited.set()
