"""Presence: what one process tells of itself in its block, and how the others read it."""

import os

from predictor import clock
from predictor.counting import families
from predictor.counting.counts import Counts
from predictor.counting.standing import Standing
from predictor.model_version import ModelVersion

BEAT_SECONDS = 1.0

# Each is one number, which is written in one step: nobody reads half of it.
_PID = "pid"  # 0 until it takes requests, and once it has ended
_STARTS = "starts"  # how many processes of this block have come so far
_BEATS = "beats"
_SERVING = "serving"  # the slot of the identity that serves
_SWAPPED_AT = "swapped_at"
_SINCE = families.SINCE.name
_FAILED = families.FAILED.name
_ASPIRED = families.ASPIRED.name
_ANSWERED_AT = families.ANSWERED_AT.name
_STREAMS = families.STREAMS.name


class Presence:
    """Writes one process's standing. What the one before it in this block said is forgotten."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._first_word: ModelVersion | None = None
        self._heard = self._heard_another = False
        self._failed: ModelVersion | None = None
        for name in (
            _PID, _SERVING, _SWAPPED_AT, _ASPIRED, _ANSWERED_AT, _STREAMS, _SINCE, _FAILED,
        ):  # fmt: skip
            self._set(name, 0)

    def told(self, aspired: ModelVersion | None) -> None:
        """The registry said which version should serve, or that none should."""
        if not self._heard:
            self._first_word, self._heard = aspired, True
        self._heard_another |= aspired != self._first_word
        self._set(_ASPIRED, aspired.number if aspired else 0)
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

    def tells(self, streams: int) -> None:
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


def standing(counts: Counts) -> Standing:
    """What the process of this block said of itself last."""
    serving = int(counts.value(_SERVING))
    name, version, run_id, digest = counts.key_at(serving)[1:] if serving else ("", "", "", "")
    return Standing(
        identity=(name, version, run_id, digest) if serving else None,
        aspired=int(counts.value(_ASPIRED)),
        answered_at=counts.value(_ANSWERED_AT),
        swapped_at=counts.value(_SWAPPED_AT),
        streams=int(counts.value(_STREAMS)),
        since=counts.value(_SINCE),
        failed=int(counts.value(_FAILED)),
    )
