"""The state of one worker, as it writes it into its block of counts, and the state of several as metrics show it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from predictor import clock
from predictor.metrics import families
from predictor.metrics.counts import Counts
from predictor.model_version import ModelVersion

NONE = "none"


@dataclass(frozen=True)
class WorkerStatus:
    """One worker's. Versions are numbers, 0 for none.

    `identity` is name, version, run and digest of what serves. `answered_at`
    is when the registry last answered, `swapped_at` when it last swapped and `since` when its version
    took over: moments of `clock.now`, which all processes share; 0 for never. `streams` is how many
    clients it tells of events; `failed` the version whose load failed last and is tried again.
    """

    identity: tuple[str, str, str, str] | None = None
    aspired: int = 0
    answered_at: float = 0.0
    swapped_at: float = 0.0
    streams: int = 0
    since: float = 0.0
    failed: int = 0

    @property
    def version(self) -> int:
        """The version that serves."""
        return int(self.identity[1]) if self.identity else 0


def aspired(statuses: Sequence[WorkerStatus]) -> int:
    """The registry's latest word, whichever worker heard it."""
    return max(statuses, key=lambda each: each.answered_at).aspired


def answered_at(statuses: Sequence[WorkerStatus]) -> float:
    """When the worker that has waited longest for a word of the registry last had one.

    One that was never answered yet is left out: it has just started, or `predictor_workers` tells.
    """
    return min((each.answered_at for each in statuses if each.answered_at), default=0.0)


def shown(statuses: Sequence[WorkerStatus]) -> WorkerStatus:
    """The worker whose version stands for all: where they differ, one that the registry did not name.

    Of several such the lowest version, so that one that serves nothing is seen before all others.
    """
    named = aspired(statuses)
    return min(statuses, key=lambda each: (each.version == named, each.version))


def since(statuses: Sequence[WorkerStatus]) -> float:
    """When the version that is shown took over, at the first of the workers that serve it."""
    version = shown(statuses).version
    return min(each.since for each in statuses if each.version == version)


def failed(statuses: Sequence[WorkerStatus]) -> int:
    """The version that some worker cannot make ready, the highest where there are several."""
    return max(each.failed for each in statuses)


def workers(statuses: Sequence[WorkerStatus]) -> dict[str, int]:
    """How many serve each version, by its number as text, or `none`."""
    return dict(Counter(str(each.version or NONE) for each in statuses))


def streams(statuses: Sequence[WorkerStatus]) -> int:
    """How many clients are told of events, by all together."""
    return sum(each.streams for each in statuses)


def skew(statuses: Sequence[WorkerStatus], now: float) -> float:
    """Seconds between the first and the last worker's swap to the version that the registry named.

    While some have not swapped, the time that the first has been ahead of them.
    """
    named = aspired(statuses)
    arrived = [each for each in statuses if each.version == named]
    swapped = [each.swapped_at for each in arrived if each.swapped_at]
    if not swapped:
        return 0.0
    last = max(swapped) if len(arrived) == len(statuses) else now
    return last - min(swapped)


BEAT_SECONDS = 1.0

# Each is one number, which is written in one step: nobody reads half of it.
_PID = "pid"  # 0 until it takes requests, and once it has ended
_STARTS = "starts"  # how many processes of this block have come so far
_BEATS = "beats"
_SERVING = "serving"  # the slot of the identity that serves
_SWAPPED_AT = "swapped_at"
_SINCE = families.SINCE.name
_FAILED = families.FAILED.name
_DESIRED = families.DESIRED.name
_ANSWERED_AT = families.ANSWERED_AT.name
_STREAMS = families.STREAMS.name


class WorkerState:
    """Writes the status of one process into its block, and clears that of the process before it."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._first_word: ModelVersion | None = None
        self._heard = self._heard_another = False
        self._failed: ModelVersion | None = None
        for name in (
            _PID, _SERVING, _SWAPPED_AT, _DESIRED, _ANSWERED_AT, _STREAMS, _SINCE, _FAILED,
        ):  # fmt: skip
            self._set(name, 0)

    def registry_answered(self, aspired: ModelVersion | None) -> None:
        """The registry said which version should serve, or that none should."""
        if not self._heard:
            self._first_word, self._heard = aspired, True
        self._heard_another |= aspired != self._first_word
        self._set(_DESIRED, aspired.number if aspired else 0)
        self._set(_ANSWERED_AT, clock.now())
        if aspired != self._failed:
            self.failed(None)

    def failed(self, version: ModelVersion | None) -> None:
        """A version could not be made ready; None: no failure stands any more."""
        self._failed = version
        self._set(_FAILED, version.number if version else 0)

    def serves(self, version: ModelVersion | None, digest: str) -> None:
        """Another version, or none, answers from now on."""
        # The first load after a start is no swap that others have made with it.
        self._set(_SWAPPED_AT, clock.now() if self._heard_another else 0)
        identity = (version.name, version.version, version.run_id, digest) if version else None
        self._set(_SERVING, self._counts.place(families.INFO.name, *identity) if identity else 0)
        self._set(_SINCE, clock.now() if version else 0)
        if version == self._failed:
            self.failed(None)

    def streams(self, streams: int) -> None:
        """So many clients are told of events now."""
        self._set(_STREAMS, streams)

    def _set(self, name: str, value: float) -> None:
        self._counts.slots[self._counts.place(name)] = value


def begin(counts: Counts) -> None:
    """From now on this process takes requests."""
    counts.slots[counts.place(_STARTS)] += 1
    counts.slots[counts.place(_PID)] = os.getpid()


def end(counts: Counts) -> None:
    """The process of this block takes no more requests; what it counted stays."""
    counts.slots[counts.place(_PID)] = 0


def beat(counts: Counts) -> None:
    """This process's event loop runs; it says so every BEAT_SECONDS."""
    counts.slots[counts.place(_BEATS)] += 1


def pid(counts: Counts) -> int:
    """The process that takes requests and counts them in this block; 0 for none."""
    return int(counts.value(_PID))


def starts(counts: Counts) -> int:
    """How many processes have taken requests with this block, one after the other."""
    return int(counts.value(_STARTS))


def beats(counts: Counts) -> int:
    """Another number than before as long as the event loop runs."""
    return int(counts.value(_BEATS))


def status(counts: Counts) -> WorkerStatus:
    """What the process of this block said of itself last."""
    serving = int(counts.value(_SERVING))
    name, version, run_id, digest = counts.key_at(serving)[1:] if serving else ("", "", "", "")
    return WorkerStatus(
        identity=(name, version, run_id, digest) if serving else None,
        aspired=int(counts.value(_DESIRED)),
        answered_at=counts.value(_ANSWERED_AT),
        swapped_at=counts.value(_SWAPPED_AT),
        streams=int(counts.value(_STREAMS)),
        since=counts.value(_SINCE),
        failed=int(counts.value(_FAILED)),
    )
