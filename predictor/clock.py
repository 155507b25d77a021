"""Clock: moments that no change of the wall clock moves, and the wall-clock times that people are shown.

Ages, turns, delays and deadlines are differences of such moments. The wall clock can be set back or
forward while the service runs; it is read to show a time, and for nothing else but the timestamps of
webhooks, which MLflow writes by its own wall clock.
"""

import random
import time

_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Seconds on a clock that is never set, the same in all processes of a machine.

    On Linux the time that the machine was suspended is in it, so an age is never too small.
    """
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


def wall(moment: float) -> float:
    """When a moment of `now` was, in seconds since the epoch, by the wall clock as it is set today.

    Rounded to a tenth of a second: the two clocks cannot be read at once, and a time that is shown
    twice should be the same.
    """
    return round(time.time() - now() + moment, 1)


def some_time_ago() -> float:
    """A random moment of the last hour, in seconds of `time.monotonic`, which timers go by."""
    return time.monotonic() - random.random() * 3600  # noqa: S311  nobody is to guess it
