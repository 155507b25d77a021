"""Bins: count positive numbers in bins of equal ratio, and estimate their quantiles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

_PER_DECADE = 12


@dataclass(frozen=True)
class Bins:
    """Bins from 10**first to 10**last, twelve for each power of ten, one below and one above.

    A quantile is within 11 percent of the true one, inside these bounds.
    """

    first: int
    last: int

    @cached_property
    def size(self) -> int:
        """The number of bins."""
        return (self.last - self.first) * _PER_DECADE + 2

    def of(self, number: float) -> int:
        """The index of a number's bin."""
        if number <= 0:
            return 0
        place = math.floor((math.log10(number) - self.first) * _PER_DECADE) + 1
        return min(max(place, 0), self.size - 1)

    def quantile(self, counts: Sequence[float], share: float) -> float:
        """The number that `share` of the counted ones do not exceed; 0 in the first bin."""
        rank, below = share * sum(counts), 0.0
        for place, count in enumerate(counts):
            below += count
            if count and below >= rank:
                return self._middle(place)
        return 0.0

    def _middle(self, place: int) -> float:
        return 0.0 if place == 0 else float(10 ** (self.first + (place - 0.5) / _PER_DECADE))


DIFFERENCES = Bins(-9, 9)
"""Of probabilities, or of a regressor's values."""
SECONDS = Bins(-6, 3)
