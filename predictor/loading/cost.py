"""Cost: how long a servable takes, and so whether the event loop can afford to wait for it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

LOOP_SECONDS = 1e-3
"""What one call may hold up the event loop.

Handing work to a thread and hearing back took 96 µs at the median, on one core: below this border
that would be a good part of the whole, above it `/health` and every other client would feel it.
"""
_MOST_ROWS = 128  # decoding and encoding so many takes as long again
_MOST_VALUES = 8192  # the same, for records of many features
_ROWS = 16
_TIMES = 5


@dataclass(frozen=True)
class Cost:
    """Seconds that ONNX Runtime takes: for each call, and for each row in it."""

    call: float = 0.0
    row: float = 0.0

    def rows_on_loop(self, features: int) -> int:
        """How many rows of so many features may be answered on the event loop at once.

        0 says that one is too many: it is answered in a thread.
        """
        if self.call + self.row > LOOP_SECONDS:
            return 0
        affordable = (LOOP_SECONDS - self.call) / self.row if self.row else math.inf
        return max(1, int(min(affordable, _MOST_ROWS, _MOST_VALUES / features)))


def measure(
    run: Callable[[Sequence[Any]], object], row: Any, clock: Callable[[], float] = perf_counter
) -> Cost:
    """The cost of `run`, which takes rows and is warm.

    Of several times the least counts: whatever else runs meanwhile only adds to it.
    """
    one = _seconds(run, [row], clock)
    if one > LOOP_SECONDS:
        return Cost(one)
    several = _seconds(run, [row] * _ROWS, clock)
    each = max(0.0, several - one) / (_ROWS - 1)
    return Cost(max(0.0, one - each), each)


def _seconds(
    run: Callable[[Sequence[Any]], object], rows: Sequence[Any], clock: Callable[[], float]
) -> float:
    least = math.inf
    for _ in range(_TIMES):
        started = clock()
        run(rows)
        least = min(least, clock() - started)
    return least
