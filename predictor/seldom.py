"""Seldom: says when something that happens all the time is worth a line of the log again."""

import time
from collections.abc import Callable


class Seldom:
    """Due at the first time, and then once in so many seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._times = 0
        self._quiet_until = float("-inf")

    def due(self) -> int:
        """It happens once more: how many times since it was due, or 0 where it is not due again."""
        self._times += 1
        now = self._clock()
        if now < self._quiet_until:
            return 0
        times, self._times = self._times, 0
        self._quiet_until = now + self._seconds
        return times
