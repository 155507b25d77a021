"""Tally: counts comparisons in the memory that the workers share, in all and for each pair of versions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from predictor.metrics import families
from predictor.metrics.counts import Counts
from predictor.metrics.families import Family
from predictor.shadow.bins import DIFFERENCES, SECONDS, Bins
from predictor.shadow.compare import OTHER
from predictor.shadow.messages import Compared, Sparse

_DIGITS = 16  # of a digest in a key: enough to tell two graphs apart
_MAX_FLIPS = 100  # pairs of classes, for each pair of versions; further ones are `other`
_FEW = 6  # classes for which every series of flips exists from the start
_PAIR, _PAIR_FLIPS = "shadow_pair", "shadow_pair_flips"
_ROWS, _NOT_FINITE, _FAILED, _SKIPPED, _LARGEST, _BINS = range(6)
_DIFFERENCES = slice(_BINS, _BINS + DIFFERENCES.size)
_SERVING = slice(_DIFFERENCES.stop, _DIFFERENCES.stop + SECONDS.size)
_SHADOW = slice(_SERVING.stop, _SERVING.stop + SECONDS.size)
_SIZE = _SHADOW.stop
OUTCOMES = ("compared", "skipped", "failed", "not_finite")


@dataclass(frozen=True)
class Versions:
    """A serving version and a shadow: the version and the digest of each."""

    serving: tuple[str, str]
    shadow: tuple[str, str]

    @property
    def key(self) -> tuple[str, ...]:
        """In the names of counts."""
        return tuple(text[:_DIGITS] for each in (self.serving, self.shadow) for text in each)


class Tally:
    """Writes to the counts of this process. Call it on the event loop's thread only."""

    def __init__(self, counts: Counts, siblings: Sequence[Counts] = ()) -> None:
        """`siblings` are the counts of the other workers, which are only read."""
        self._counts = counts
        self._blocks = (counts, *siblings)
        self._slots = counts.slots
        self._places: dict[Versions, int | None] = {}
        self._flips: dict[Versions, set[tuple[str, str]]] = {}
        for outcome in OUTCOMES:
            self._place(families.SHADOW_ROWS, outcome)
        for family in (
            families.SHADOW_RESTARTS,
            families.SHADOW_DIFFERENCE,
            families.SHADOW_SECONDS,
        ):
            self._place(family)

    def expect(self, labels: Sequence[str]) -> None:
        """Create the series of flips, because Prometheus sees no increase if one appears with its first count."""
        if len(labels) <= _FEW:
            for serving, shadow in product(labels, labels):
                if serving != shadow:
                    self._place(families.SHADOW_FLIPS, serving, shadow)

    def restarted(self) -> None:
        """Count an end of the process of the shadow."""
        self._add(families.SHADOW_RESTARTS)

    def skipped(self, versions: Versions | None, rows: int) -> None:
        """Count rows that the shadow did not get."""
        self._outcome("skipped", versions, _SKIPPED, rows)

    def failed(self, versions: Versions | None, rows: int) -> None:
        """Count rows that the shadow got and did not answer."""
        self._outcome("failed", versions, _FAILED, rows)

    def compared(self, versions: Versions, found: Compared) -> None:
        """Count what a comparison found."""
        for outcome, place, rows in (
            ("compared", _ROWS, found.rows),
            ("failed", _FAILED, found.failed),
            ("not_finite", _NOT_FINITE, found.not_finite),
        ):
            self._outcome(outcome, versions, place, rows)
        self._histogram(families.SHADOW_DIFFERENCE, found.difference_buckets, found.difference_sum)
        self._histogram(families.SHADOW_SECONDS, found.second_buckets, found.second_sum)
        for serving, shadow, rows in found.flips:
            self._slots[self._place(families.SHADOW_FLIPS, serving, shadow)] += rows
            self._flip(versions, serving, shadow, rows)
        start = self._start(versions)
        if start is None:
            return
        self._slots[start + _LARGEST] = max(self._slots[start + _LARGEST], found.largest)
        for part, bins in (
            (_DIFFERENCES, found.differences),
            (_SERVING, found.serving_seconds),
            (_SHADOW, found.shadow_seconds),
        ):
            for place, count in bins:
                self._slots[start + part.start + place] += count

    def describe(self, versions: Versions | None) -> dict[str, Any]:
        """The numbers of one pair, of all workers together, as in `GET /model`."""
        found = [block.values(_PAIR, *versions.key) for block in self._blocks] if versions else []
        columns = [*zip(*filter(None, found), strict=True)] or [(0.0,)] * _SIZE
        sums = [sum(column) for column in columns]
        return {
            "rows": int(sums[_ROWS]),
            "flips": [
                {"serving": serving, "shadow": shadow, "rows": rows}
                for (serving, shadow), rows in self._flips_of(versions).most_common()
            ],
            "not_finite": int(sums[_NOT_FINITE]),
            "failed_rows": int(sums[_FAILED]),
            "skipped_rows": int(sums[_SKIPPED]),
            "difference": _quantiles(
                DIFFERENCES, sums[_DIFFERENCES], (0.5, 0.9, 0.99), max(columns[_LARGEST])
            ),
            "serving_seconds": _quantiles(SECONDS, sums[_SERVING], (0.5, 0.99)),
            "shadow_seconds": _quantiles(SECONDS, sums[_SHADOW], (0.5, 0.99)),
        }

    def _flips_of(self, versions: Versions | None) -> Counter[tuple[str, str]]:
        sums: Counter[tuple[str, str]] = Counter()
        for serving, shadow, rows in self._read_flips(versions, self._blocks):
            sums[serving, shadow] += rows
        return sums

    @staticmethod
    def _read_flips(
        versions: Versions | None, blocks: Sequence[Counts]
    ) -> Iterator[tuple[str, str, int]]:
        if versions is None:
            return
        start = (_PAIR_FLIPS, *versions.key)
        for block in blocks:
            for key, (rows, *_) in block.read():
                if key[: len(start)] == start:
                    serving, shadow = key[len(start) :]
                    yield serving, shadow, int(rows)

    def _flip(self, versions: Versions, serving: str, shadow: str, rows: int) -> None:
        known = self._flips.get(versions)
        if known is None:
            # A former process with this block may have counted some.
            known = {(one, other) for one, other, _ in self._read_flips(versions, [self._counts])}
            self._flips[versions] = known
        if (serving, shadow) not in known and len(known) >= _MAX_FLIPS:
            serving = shadow = OTHER
        known.add((serving, shadow))
        place = self._counts.place(_PAIR_FLIPS, *versions.key, serving, shadow)
        self._slots[place] += rows

    def _start(self, versions: Versions) -> int | None:
        """The slot of a pair's first number; None if the memory for counts is full."""
        if versions not in self._places:
            place = self._counts.place(_PAIR, *versions.key, size=_SIZE)
            # A key without space shares a few slots with others, too few for all these numbers.
            self._places[versions] = None if self._counts.full else place
        return self._places[versions]

    def _outcome(self, outcome: str, versions: Versions | None, place: int, rows: int) -> None:
        if not rows:
            return
        self._slots[self._place(families.SHADOW_ROWS, outcome)] += rows
        start = self._start(versions) if versions else None
        if start is not None:
            self._slots[start + place] += rows

    def _histogram(self, family: Family, buckets: Sparse, total: float) -> None:
        start = self._place(family)
        for place, count in buckets:
            self._slots[start + place] += count
        self._slots[start + len(family.buckets) + 1] += total

    def _place(self, family: Family, *labels: str) -> int:
        size = len(family.buckets) + 2 if family.buckets else 1
        return self._counts.place(family.name, *labels, size=size)

    def _add(self, family: Family) -> None:
        self._slots[self._place(family)] += 1


def _quantiles(
    bins: Bins, counts: Sequence[float], shares: Sequence[float], largest: float | None = None
) -> dict[str, float] | None:
    """By name, such as `p99`, and `max`; None if nothing was counted."""
    if not sum(counts):
        return None
    found = {f"p{share * 100:g}": bins.quantile(counts, share) for share in shares}
    if largest is None:
        return found
    return {name: min(number, largest) for name, number in found.items()} | {"max": largest}
