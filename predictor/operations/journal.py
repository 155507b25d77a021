"""The last things that happened here, as clients of `/events` are told of them."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from predictor import events
from predictor.errors import NoStream
from predictor.events import Event
from predictor.model_version import ModelVersion

_LONGEST_REASON = 2000  # characters; a journal of such is kept in memory


@dataclass(frozen=True)
class Bulletin:
    """`payload` is JSON's: texts, numbers, null, and versions as `GET /model` shows them."""

    name: str
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, event: events.Event) -> "Bulletin | None":
        """What is told of an event; None where the registry said what it had said before.

        Keys are nothing that a version's readers have to know of.
        """
        found = _told(event)
        return cls(found[0], {**found[1], "at": iso(time.time())}) if found else None


def _told(event: events.Event) -> tuple[str, dict[str, Any]] | None:
    if isinstance(event, events.KeysRead | events.KeysNotRead):
        return None
    if isinstance(event, events.RegistryAnswered | events.RegistryFailed):
        return _of_registry(event)
    if isinstance(event, events.CacheFailed):
        return "cache_not_written", {"reason": _short(event.reason), **_serving(event.serving)}
    if isinstance(event, events.InferenceTimedOut):
        return "inference_timed_out", {"version": identity(event.version), "times": event.times}
    if isinstance(event, events.Swapped):
        return _of_swap(event)
    return _of_load(event)


def _of_registry(
    event: events.RegistryAnswered | events.RegistryFailed,
) -> tuple[str, dict[str, Any]] | None:
    if isinstance(event, events.RegistryFailed):
        told = {"reason": _short(event.reason), **_serving(event.serving)}
        return (f"registry_{event.outcome}", told) if event.first else None
    if not event.changed:
        return None
    if event.aspired is None:
        return "registry_names_none", {"reason": _short(event.none_reason)}
    desired = identity(event.aspired)
    return "registry_answered", {"desired": desired, "aspired": desired}


def _of_load(
    event: events.LoadStarted | events.LoadFailed | events.LoadSuperseded,
) -> tuple[str, dict[str, Any]]:
    told: dict[str, Any] = {"version": identity(event.version)}
    match event:
        case events.LoadStarted():
            return "load_started", told
        case events.LoadSuperseded():
            return "load_superseded", told
        case events.LoadFailed(_, stage, reason, attempts, retry_seconds, serving):
            told |= {"stage": stage, "reason": _short(reason), "attempts": attempts}
            return "load_failed", {**told, "retry_seconds": retry_seconds, **_serving(serving)}


def _of_swap(event: events.Swapped) -> tuple[str, dict[str, Any]]:
    previous = {"previous": identity(event.previous) if event.previous else None}
    if event.serving is None:
        return "stopped_serving", {**previous, "reason": event.reason}
    serving = {**identity(event.serving), "digest": f"sha256:{event.digest}"}
    seconds = round(event.load_seconds, 4)
    return "swapped", {
        "serving": serving, **previous, "reason": event.reason, "load_seconds": seconds,
    }  # fmt: skip


def _serving(version: ModelVersion | None) -> dict[str, Any]:
    return {"serving": identity(version) if version else None}


def _short(reason: str) -> str:
    return reason[:_LONGEST_REASON]


def identity(version: ModelVersion) -> dict[str, str]:
    """A version as `GET /model` and `GET /events` name it."""
    return {"model_name": version.name, "model_version": version.version, "run_id": version.run_id}


def iso(seconds: float) -> str:
    """A moment, in seconds since the epoch, in UTC with milliseconds (ISO 8601)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


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
        if isinstance(event, events.KeysRead):
            self.wake()  # a stream whose key was removed has to end
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
