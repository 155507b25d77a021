"""The latest events, as clients of `/events` get them."""

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

_MAX_REASON_LENGTH = 2000  # characters; the journal is in memory


@dataclass(frozen=True)
class StreamEvent:
    """One event for clients. `payload` is JSON: texts, numbers, null, and versions as in `GET /model`."""

    name: str
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, event: events.Event) -> "StreamEvent | None":
        """The event for clients; None for an unchanged response of the registry, and for events of keys."""
        found = _name_and_payload(event)
        return cls(found[0], {**found[1], "at": iso(time.time())}) if found else None


def _name_and_payload(event: events.Event) -> tuple[str, dict[str, Any]] | None:
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
        payload = {"reason": _short(event.reason), **_serving(event.serving)}
        return (f"registry_{event.outcome}", payload) if event.first else None
    if not event.changed:
        return None
    if event.aspired is None:
        return "registry_names_none", {"reason": _short(event.none_reason)}
    desired = identity(event.aspired)
    return "registry_answered", {"desired": desired, "aspired": desired}


def _of_load(
    event: events.LoadStarted | events.LoadFailed | events.LoadSuperseded,
) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {"version": identity(event.version)}
    match event:
        case events.LoadStarted():
            return "load_started", payload
        case events.LoadSuperseded():
            return "load_superseded", payload
        case events.LoadFailed(_, stage, reason, attempts, retry_seconds, serving):
            payload |= {"stage": stage, "reason": _short(reason), "attempts": attempts}
            return "load_failed", {**payload, "retry_seconds": retry_seconds, **_serving(serving)}


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
    return reason[:_MAX_REASON_LENGTH]


def identity(version: ModelVersion) -> dict[str, str]:
    """A version as `GET /model` and `GET /events` name it."""
    return {"model_name": version.name, "model_version": version.version, "run_id": version.run_id}


def iso(seconds: float) -> str:
    """ISO 8601, in UTC with milliseconds, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


_MAX_NUMBER_LENGTH = 15  # digits


def full(readers: int) -> NoStream:
    """The error for one more client than this number of readers."""
    return NoStream(f"{readers} clients read events already; try again later")


class Journal:
    """The last `kept` events, in the order of their numbers, for at most `max_readers` at a time.

    `worker` is the number of this process, if there are several. `count` is called with the number of readers
    when it changes. Readers wake up after `silence_seconds` without an event.
    """

    def __init__(
        self,
        max_readers: int = 100,
        *,
        count: Callable[[int], None] = lambda _: None,
        worker: int | None = None,
        kept: int = 256,
        silence_seconds: float = 15,
    ) -> None:
        self.worker = worker
        self.closed = False
        self._max_readers = max_readers
        self._count = count
        self._silence_seconds = silence_seconds
        # It distinguishes this process's numbers from those of an earlier process or another worker.
        self._mark = secrets.token_hex(4)
        self._events: deque[StreamEvent] = deque(maxlen=kept)
        self._last = 0
        self._more = asyncio.Event()
        self._readers = 0

    @property
    def last(self) -> int:
        """The number of the latest event; 0 before the first."""
        return self._last

    def observe(self, event: Event) -> None:
        """Record an event. Call it on the event loop's thread."""
        if isinstance(event, events.KeysRead):
            self.wake()  # a stream whose key was removed has to end
        if found := StreamEvent.of(event):
            self._events.append(found)
            self._last += 1
            self.wake()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count as a reader meanwhile. Raises NoStream if there are too many, or while the service stops."""
        if self.closed:
            raise NoStream("the service stops; ask another replica")
        if self._readers >= self._max_readers:
            raise full(self._readers)
        self._readers += 1
        self._count(self._readers)
        try:
            yield
        finally:
            self._readers -= 1
            self._count(self._readers)

    def after(self, place: int) -> list[tuple[int, StreamEvent]] | None:
        """The events after that number; None if some of them are not kept any more."""
        missing = self._last - place
        if not 0 <= missing <= len(self._events):
            return None
        tail = list(self._events)[len(self._events) - missing :]
        return list(enumerate(tail, place + 1))

    @property
    def moment(self) -> asyncio.Event:
        """Now, for `more`: any later event ends its wait."""
        return self._more

    async def more(self, place: int, moment: asyncio.Event) -> bool:
        """Wait for an event after that number, or a `wake` after that moment; False for neither in time."""
        if self._last > place or self.closed:
            return True
        try:
            async with asyncio.timeout(self._silence_seconds):
                return await moment.wait()
        except TimeoutError:
            return False

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        self.wake()

    def id_of(self, place: int) -> str:
        """The id of an event; a client that reconnects sends it to continue from there."""
        return f"{self._mark}-{place}"

    def place_of(self, given: str | None) -> int | None:
        """The number in an id; None for an id of another process."""
        mark, _, number = (given or "").partition("-")
        ours = mark == self._mark and number.isascii() and number.isdecimal()
        return int(number) if ours and len(number) <= _MAX_NUMBER_LENGTH else None

    def wake(self) -> None:
        """Wake every reader, whether there are new events or not."""
        waited, self._more = self._more, asyncio.Event()
        waited.set()
