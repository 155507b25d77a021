"""The state of a worker, shared through its block of counts, and the state of all workers as gauges show it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from predictor import clock
from predictor.events import ApprovalsChanged
from predictor.metrics import families
from predictor.metrics.counts import Counts
from predictor.model_version import ModelVersion

NONE = "none"


@dataclass(frozen=True)
class WorkerStatus:
    """The state of one worker. Versions are numbers, 0 for none.

    `identity` is the name, version, run and digest of the serving version. `answered_at` is when the registry
    last answered, `swapped_at` when the worker last swapped and `since` when its version took over, all in
    seconds of `clock.now`; 0 for never. `streams` is the number of clients of `/events`. `failed` is the
    version that could not be loaded, or whose computation was stopped. `approvals` is the number of valid
    approvals of the desired version; `approvals_expire` is when those of the serving version cease to be
    enough, in seconds since the epoch, 0 for never. `fleet` is whether there is a connection to NATS; None
    without a server for it. `shadow` is the version of the shadow, and whether it failed; None without one.
    """

    identity: tuple[str, str, str, str] | None = None
    aspired: int = 0
    answered_at: float = 0.0
    swapped_at: float = 0.0
    streams: int = 0
    since: float = 0.0
    failed: int = 0
    approvals: int = 0
    approvals_required: int = 0
    approvals_expire: float = 0.0
    fleet: bool | None = None
    record_bytes: float = 0.0
    record_seconds: float = 0.0
    shadow: tuple[int, bool] | None = None

    @property
    def version(self) -> int:
        """The number of the serving version."""
        return int(self.identity[1]) if self.identity else 0


def aspired(statuses: Sequence[WorkerStatus]) -> int:
    """The version that should serve, by the latest response of the registry to any worker."""
    return latest(statuses).aspired


def answered_at(statuses: Sequence[WorkerStatus]) -> float:
    """The oldest of the workers' last responses from the registry.

    Workers without a response are left out: they have just started, or `predictor_workers` shows them.
    """
    return min((each.answered_at for each in statuses if each.answered_at), default=0.0)


def representative(statuses: Sequence[WorkerStatus]) -> WorkerStatus:
    """The worker that the gauges show: if the workers differ, one that does not serve the desired version.

    Of several, one with the lowest version, so that a worker that serves nothing comes first.
    """
    desired = aspired(statuses)
    return min(statuses, key=lambda each: (each.version == desired, each.version))


def since(statuses: Sequence[WorkerStatus]) -> float:
    """When the representative version took over, at the first worker that serves it."""
    version = representative(statuses).version
    return min(each.since for each in statuses if each.version == version)


def failed(statuses: Sequence[WorkerStatus]) -> int:
    """The version that failed at some worker; the highest of several."""
    return max(each.failed for each in statuses)


def latest(statuses: Sequence[WorkerStatus]) -> WorkerStatus:
    """The worker with the latest response of the registry."""
    return max(statuses, key=lambda each: each.answered_at)


def workers(statuses: Sequence[WorkerStatus]) -> dict[str, int]:
    """The number of workers that serve each version, by its number as text, or `none`."""
    return dict(Counter(str(each.version or NONE) for each in statuses))


def streams(statuses: Sequence[WorkerStatus]) -> int:
    """The number of clients of `/events`, of all workers together."""
    return sum(each.streams for each in statuses)


def fleet(statuses: Sequence[WorkerStatus]) -> bool | None:
    """Whether all workers are connected to NATS; None without a server for it."""
    return min((each.fleet for each in statuses if each.fleet is not None), default=None)


def shadow(statuses: Sequence[WorkerStatus]) -> tuple[int, bool] | None:
    """The version of the shadow, and whether it failed at some worker; None without a shadow."""
    found = [each.shadow for each in statuses if each.shadow is not None]
    return (max(each[0] for each in found), any(each[1] for each in found)) if found else None


def swap_skew(statuses: Sequence[WorkerStatus], now: float) -> float:
    """Seconds between the first and the last worker's swap to the desired version.

    While some workers have not swapped, the time since the first swap.
    """
    desired = aspired(statuses)
    up_to_date = [each for each in statuses if each.version == desired]
    swapped = [each.swapped_at for each in up_to_date if each.swapped_at]
    if not swapped:
        return 0.0
    last = max(swapped) if len(up_to_date) == len(statuses) else now
    return last - min(swapped)


BEAT_SECONDS = 1.0

# Each is one number, written in one step, so that a reader never sees half of it.
_PID = "pid"  # 0 before it accepts requests, and after its end
_STARTS = "starts"  # the number of processes so far with this block
_BEATS = "beats"
_SERVING = "serving"  # the slot of the serving identity
_SWAPPED_AT = "swapped_at"
_SINCE = families.SINCE.name
_FAILED = families.FAILED.name
_DESIRED = families.DESIRED.name
_ANSWERED_AT = families.ANSWERED_AT.name
_STREAMS = families.STREAMS.name
_APPROVALS = families.APPROVALS.name
_APPROVALS_REQUIRED = families.APPROVALS_REQUIRED.name
_APPROVALS_EXPIRE = families.APPROVALS_EXPIRE.name
_FLEET = families.FLEET_CONNECTED.name  # 0 without a server, 1 not connected, 2 connected
_RECORD_BYTES = families.RECORD_BYTES.name
_RECORD_SECONDS = families.RECORD_SECONDS.name
_SHADOW = families.SHADOW_VERSION.name  # 0 without a shadow, else 1 more than its version
_SHADOW_FAILED = families.SHADOW_FAILED.name


class WorkerState:
    """Writes the state of one process to its block. First it clears the state of the previous process."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._first_aspired: ModelVersion | None = None
        self._answered = self._aspired_changed = False
        self._failed: ModelVersion | None = None
        for name in (
            _PID, _SERVING, _SWAPPED_AT, _DESIRED, _ANSWERED_AT, _STREAMS, _SINCE, _FAILED,
            _APPROVALS, _APPROVALS_REQUIRED, _APPROVALS_EXPIRE, _FLEET,
            _RECORD_BYTES, _RECORD_SECONDS, _SHADOW, _SHADOW_FAILED,
        ):  # fmt: skip
            self._set(name, 0)

    def registry_answered(self, aspired: ModelVersion | None) -> None:
        """Record that the registry named this version, or none."""
        if not self._answered:
            self._first_aspired, self._answered = aspired, True
        self._aspired_changed |= aspired != self._first_aspired
        self._set(_DESIRED, aspired.number if aspired else 0)
        self._set(_ANSWERED_AT, clock.now())
        if aspired != self._failed:
            self.failed(None)

    def failed(self, version: ModelVersion | None) -> None:
        """Record the failed version; None: there is no failure any more."""
        self._failed = version
        self._set(_FAILED, version.number if version else 0)

    def serves(self, version: ModelVersion | None, digest: str) -> None:
        """Record that another version, or none, serves from now on."""
        # The first load after a start is not a swap that the other workers make at the same time.
        self._set(_SWAPPED_AT, clock.now() if self._aspired_changed else 0)
        identity = (version.name, version.version, version.run_id, digest) if version else None
        self._set(_SERVING, self._counts.place(families.INFO.name, *identity) if identity else 0)
        self._set(_SINCE, clock.now() if version else 0)
        if version == self._failed:
            self.failed(None)

    def approvals(self, changed: ApprovalsChanged) -> None:
        """Record the approvals of the desired and of the serving version."""
        desired, serving = changed.desired, changed.serving
        expires = serving[1].expires if serving else None
        self._set(_APPROVALS, len(desired[1].approved_by) if desired else 0)
        self._set(_APPROVALS_REQUIRED, changed.required)
        self._set(_APPROVALS_EXPIRE, expires.timestamp() if expires else 0)

    def fleet(self, *, connected: bool) -> None:
        """Record whether there is a connection to NATS."""
        self._set(_FLEET, 1 + connected)

    def records_wait(self, size: int, seconds: float) -> None:
        """Record how many bytes of recorded rows wait for the writer, and for how long."""
        self._set(_RECORD_BYTES, size)
        self._set(_RECORD_SECONDS, seconds)

    def shadow(self, version: int, *, failed: bool) -> None:
        """Record the version of the shadow, 0 for none, and whether it cannot be compared because of a fault."""
        self._set(_SHADOW, 1 + version)
        self._set(_SHADOW_FAILED, failed)

    def streams(self, streams: int) -> None:
        """Record the number of clients of `/events`."""
        self._set(_STREAMS, streams)

    def _set(self, name: str, value: float) -> None:
        self._counts.slots[self._counts.place(name)] = value


def begin(counts: Counts) -> None:
    """Record that this process accepts requests from now on."""
    counts.slots[counts.place(_STARTS)] += 1
    counts.slots[counts.place(_PID)] = os.getpid()


def end(counts: Counts) -> None:
    """Record that the process of this block accepts no more requests. Its counts stay."""
    counts.slots[counts.place(_PID)] = 0


def beat(counts: Counts) -> None:
    """Record that this process's event loop runs. Call it every BEAT_SECONDS."""
    counts.slots[counts.place(_BEATS)] += 1


def pid(counts: Counts) -> int:
    """The id of the process that accepts requests and counts them in this block; 0 for none."""
    return int(counts.value(_PID))


def starts(counts: Counts) -> int:
    """The number of processes so far that accepted requests with this block."""
    return int(counts.value(_STARTS))


def beats(counts: Counts) -> int:
    """A number that increases while the event loop runs."""
    return int(counts.value(_BEATS))


def status(counts: Counts) -> WorkerStatus:
    """The last recorded state of the process of this block."""
    serving, shadow = int(counts.value(_SERVING)), counts.value(_SHADOW)
    name, version, run_id, digest = counts.key_at(serving)[1:] if serving else ("", "", "", "")
    return WorkerStatus(
        identity=(name, version, run_id, digest) if serving else None,
        aspired=int(counts.value(_DESIRED)),
        answered_at=counts.value(_ANSWERED_AT),
        swapped_at=counts.value(_SWAPPED_AT),
        streams=int(counts.value(_STREAMS)),
        since=counts.value(_SINCE),
        failed=int(counts.value(_FAILED)),
        approvals=int(counts.value(_APPROVALS)),
        approvals_required=int(counts.value(_APPROVALS_REQUIRED)),
        approvals_expire=counts.value(_APPROVALS_EXPIRE),
        fleet=counts.value(_FLEET) > 1 if counts.value(_FLEET) else None,
        record_bytes=counts.value(_RECORD_BYTES),
        record_seconds=counts.value(_RECORD_SECONDS),
        shadow=(int(shadow) - 1, bool(counts.value(_SHADOW_FAILED))) if shadow else None,
    )
