"""Clock: a monotonic clock for all durations, and its times as wall-clock times for people.

Ages, delays and deadlines are differences on the monotonic clock, because the wall clock can be set while
the service runs. The wall clock is only read to show a time, and to check the timestamps of webhooks and of
approvals, which come from the wall clocks of other machines.
"""

import random
import time

_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Seconds on the monotonic clock, which all processes of a machine share.

    On Linux it includes the time while the machine was suspended, so that an age is never too small.
    """
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


def wall(moment: float) -> float:
    """Convert a moment of `now` to seconds since the epoch, by the present setting of the wall clock.

    Rounded to 0.1 s: the two clocks are read one after the other, and the same moment should always give
    the same time.
    """
    return round(time.time() - now() + moment, 1)


def some_time_ago() -> float:
    """A random moment of the last hour, in seconds of `time.monotonic`, the clock of timers."""
    return time.monotonic() - random.random() * 3600  # noqa: S311  not a secret
