"""What follows when a worker has ended: pure decisions, for the supervisor to act on."""

from dataclasses import dataclass

_LONG_SECONDS = 10.0  # who lived so long did not end because of its start
_MOST_TRIES = 3  # before a service of which no worker ever served gives up
_MOST_DELAY_SECONDS = 30.0
_WRONG_SETTING = 2  # exit code


@dataclass(frozen=True)
class Ending:
    """A worker's end: its exit code (negative: the signal), and how far it had come."""

    code: int
    seconds: float
    served: bool


@dataclass(frozen=True)
class Replace:
    """Start another after so many seconds; it is the n-th in a row that did not live long."""

    seconds: float
    in_a_row: int


@dataclass(frozen=True)
class GiveUp:
    """End the service with this exit code."""

    code: int


def decide(ending: Ending, in_a_row: int, *, any_served: bool) -> Replace | GiveUp:
    """What to do after an ending, the one after `in_a_row` others that came early.

    The first replacement comes at once, the next after 1, 2, 4, … up to 30 seconds. Only where no
    worker has ever served is there an end to it: at once for a wrong setting, else after three.
    """
    if ending.seconds >= _LONG_SECONDS:
        in_a_row = 0
    in_a_row += 1
    if not any_served and not ending.served:
        if ending.code == _WRONG_SETTING:
            return GiveUp(_WRONG_SETTING)
        if in_a_row >= _MOST_TRIES:
            return GiveUp(1)
    delay = min(_MOST_DELAY_SECONDS, 2.0 ** (in_a_row - 2)) if in_a_row > 1 else 0.0
    return Replace(delay, in_a_row)
