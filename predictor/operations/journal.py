"""Journal: the latest events, in the form for clients of `/events`."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from approvals.standing import Standing
from predictor import events
from predictor.errors import NoStream
from predictor.events import Event
from predictor.model_version import ModelVersion

_MAX_REASON_LENGTH = 2000  # characters, because the journal is in memory


@dataclass(frozen=True)
class StreamEvent:
    """An event for clients. `payload` is a JSON object; versions are as in `GET /model`."""

    name: str
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, event: events.Event) -> "StreamEvent | None":
        """The event for clients; None for events of keys, and for an unchanged response of the registry."""
        found = _name_and_payload(event)
        return cls(found[0], {**found[1], "at": iso(time.time())}) if found else None


def _name_and_payload(event: events.Event) -> tuple[str, dict[str, Any]] | None:
    if isinstance(event, events.KeysRead | events.KeysNotRead):
        return None
    if isinstance(event, events.RegistryAnswered | events.RegistryFailed):
        return _of_registry(event)
    if isinstance(event, events.CacheFailed):
        return "cache_not_written", {"reason": _short(event.reason), **_serving(event.serving)}
    if isinstance(event, events.ApprovalsChanged):
        return "approvals_changed", approvals(event)
    if isinstance(event, events.Swapped | events.ShadowChanged):
        return _of_swap(event)
    return _of_version(event)


def _of_registry(
    event: events.RegistryAnswered | events.RegistryFailed,
) -> tuple[str, dict[str, Any]] | None:
    if isinstance(event, events.RegistryFailed):
        payload = {"reason": _short(event.reason), **_serving(event.serving)}
        return (f"registry_{event.outcome}", payload) if event.first else None
    if not event.changed:
        return None
    if event.aspired is None:
        return "registry_names_none", {"reason": _short(event.no_version_reason)}
    desired = identity(event.aspired)
    return "registry_answered", {"desired": desired, "aspired": desired}


def _of_version(
    event: events.LoadStarted
    | events.LoadFailed
    | events.LoadSuperseded
    | events.InferenceTimedOut,
) -> tuple[str, dict[str, Any]]:
    payload: dict[str, Any] = {"version": identity(event.version)}
    match event:
        case events.InferenceTimedOut(_, times):
            return "inference_timed_out", {**payload, "times": times}
        case events.LoadStarted():
            return "load_started", payload
        case events.LoadSuperseded():
            return "load_superseded", payload
        case events.LoadFailed(_, stage, reason, attempts, retry_seconds, serving):
            payload |= {"stage": stage, "reason": _short(reason), "attempts": attempts}
            return "load_failed", {**payload, "retry_seconds": retry_seconds, **_serving(serving)}


def _of_swap(event: events.Swapped | events.ShadowChanged) -> tuple[str, dict[str, Any]]:
    if isinstance(event, events.ShadowChanged):
        return "shadow_changed", {
            "state": event.state, "reason": event.reason and _short(event.reason),
            "model_version": event.version, "digest": event.digest, "run_id": event.run_id,
        }  # fmt: skip
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


def approvals(event: events.ApprovalsChanged) -> dict[str, Any]:
    """The approvals of the desired and of the serving version, as in `GET /model` and `GET /events`."""
    return {
        "required": event.required,
        "desired": _standing(*event.desired) if event.desired else None,
        "serving": _standing(*event.serving) if event.serving else None,
    }


def _standing(version: ModelVersion, standing: Standing) -> dict[str, Any]:
    return {
        **identity(version),
        "approved_by": [*standing.approved_by],
        "rejected": [_short(reason) for reason in standing.rejected],
        "missing": [*standing.missing],
        "sufficient": standing.sufficient,
        "expires_at": iso(standing.expires.timestamp()) if standing.expires else None,
    }


def _short(reason: str) -> str:
    return reason[:_MAX_REASON_LENGTH]


def identity(version: ModelVersion) -> dict[str, str]:
    """A version as in `GET /model` and `GET /events`."""
    return {"model_name": version.name, "model_version": version.version, "run_id": version.run_id}


def iso(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601, in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


_MAX_NUMBER_LENGTH = 15  # digits


def full(readers: int) -> NoStream:
    """The error for a client beyond the maximum number of readers."""
    return NoStream(f"{readers} clients read events already; try again later")


class Journal:
    """The last `kept` events, numbered from 1, for at most `max_readers` readers at a time.

    `worker` is the number of this process, if there are several. `count` is called with the number of readers
    when it changes. `wait` returns after `silence_seconds` without an event.
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
        # It distinguishes the numbers of this process from those of other processes.
        self._mark = secrets.token_hex(4)
        self._events: deque[StreamEvent] = deque(maxlen=kept)
        self._last = 0
        self._wakeup = asyncio.Event()
        self._readers = 0

    @property
    def last(self) -> int:
        """The number of the latest event; 0 before the first."""
        return self._last

    @property
    def before_first(self) -> int:
        """The number before that of the oldest event that is kept."""
        return self._last - len(self._events)

    def observe(self, event: Event) -> None:
        """Record an event. Call it on the event loop's thread."""
        if isinstance(event, events.KeysRead):
            self.wake()  # streams with a removed key have to end
        if found := StreamEvent.of(event):
            self._events.append(found)
            self._last += 1
            self.wake()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count as a reader within the `with` block. Raises NoStream for too many readers, or during a stop."""
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
        """The events after that number; None if some of them are no longer kept."""
        missing = self._last - place
        if not 0 <= missing <= len(self._events):
            return None
        tail = list(self._events)[len(self._events) - missing :]
        return list(enumerate(tail, place + 1))

    @property
    def wakeup(self) -> asyncio.Event:
        """The next wake-up, for `wait`: it is set by the next event or `wake`."""
        return self._wakeup

    async def wait(self, place: int, wakeup: asyncio.Event) -> bool:
        """Wait for an event after that number or for this wake-up; False if neither comes in time."""
        if self._last > place or self.closed:
            return True
        try:
            async with asyncio.timeout(self._silence_seconds):
                return await wakeup.wait()
        except TimeoutError:
            return False

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        self.wake()

    def id_of(self, place: int) -> str:
        """The id of an event. A client that reconnects sends it, to continue after that event."""
        return f"{self._mark}-{place}"

    def place_of(self, given: str | None) -> int | None:
        """The number in an id; None for an id of another process."""
        mark, _, number = (given or "").partition("-")
        ours = mark == self._mark and number.isascii() and number.isdecimal()
        return int(number) if ours and len(number) <= _MAX_NUMBER_LENGTH else None

    def wake(self) -> None:
        """Wake every reader, whether there are new events or not."""
        wakeup, self._wakeup = self._wakeup, asyncio.Event()
        wakeup.set()
