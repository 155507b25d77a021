"""Shapley values by sampling permutations in antithetic pairs, as many as fit in the time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import Conflict, Unavailable


class NotInTime(Unavailable):
    """An explanation took too long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not explained within {seconds:g} s of computing; try again later")


class NoBackground(Conflict):
    """The serving version has no background data to explain answers against."""

    def __init__(self) -> None:
        super().__init__(
            "this version has no background, the rows that answers are compared with; export it with `background` "
            "in the graph's metadata, as this project's trainer does"
        )


class NotExplainable(Conflict):
    """The serving version's answers cannot be explained; the message says why."""


Feed = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]


class Mixtures:
    """Mixtures of one record with a background, as tensors for ONNX Runtime.

    Each value comes from one or the other, so texts, integers and booleans can be mixed, too.
    """

    def __init__(self, record: Feed, background: Feed) -> None:
        """Both as `Signature.feed` makes them: per port [N, width] or [N], the record of one row."""
        self._record = record
        self._background = background

    def feed(self, taken: Mask, sources: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """One row for each of `taken` [N, F]: the record's value where it is true, else the background's.

        `sources` [N] are the numbers of the background rows.
        """
        mixed, start = {}, 0
        for port, ours in self._record.items():
            others = self._background[port][sources]
            if ours.ndim == 1:
                mixed[port] = np.where(taken[:, start], ours, others)
                start += 1
                continue
            stop = start + ours.shape[1]
            mixed[port] = np.where(taken[:, start:stop], ours, others)
            start = stop
        return mixed


Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Compute = Callable[[Mask, Integers], Floats]
"""The model's answers [N] to mixtures, as `Mixtures.feed` describes them."""

_MAX_VALUES = 1 << 19  # in the rows of one call: they are in memory at the same time
_MAX_ROWS = 1024  # in one call: a model may compare each row with all of its training data
_MIN_PAIRS = 2  # one pair has no standard error


@dataclass(frozen=True, eq=False)
class Estimate:
    """Contributions and their standard errors, float64 [F], of so many pairs of permutations."""

    contributions: Floats
    standard_errors: Floats
    baseline: float
    pairs: int


def sample(compute: Compute, value: float, ranks: Integers, sources: Integers) -> Estimate:
    """Shapley values of the record whose answer is `value`.

    `ranks` [R, K, F] are R rounds of one permutation for each of the K background rows in `sources`: the
    place of each feature in it. If `compute` raises NotInTime, the result is that of the rounds before;
    if those have fewer than two pairs, the error is raised.
    """
    begins = _background(compute, sources, ranks.shape[2])
    rounds: list[Floats] = []
    for ranked in ranks:
        try:
            rounds.append(_pairs(compute, value, ranked, sources, begins))
        except NotInTime:
            if len(rounds) * len(sources) < _MIN_PAIRS:
                raise
            break
    found = np.array(rounds)
    return Estimate(
        found.mean(axis=(0, 1)),
        _standard_errors(found),
        float(begins.mean()),
        len(rounds) * len(sources),
    )


def _background(compute: Compute, sources: Integers, features: int) -> Floats:
    """The answers to the background rows themselves."""
    parts = np.array_split(sources, -(-len(sources) // rows_per_call(features)))
    return np.concatenate(
        [compute(np.zeros((len(part), features), np.bool_), part) for part in parts]
    )


def rows_per_call(features: int) -> int:
    """The number of rows, of this number of features, in one call."""
    return max(1, min(_MAX_ROWS, _MAX_VALUES // features))


def _pairs(
    compute: Compute, value: float, ranks: Integers, sources: Integers, begins: Floats
) -> Floats:
    """The contribution of each feature by each pair of walks [K, F]."""
    walks, features = ranks.shape
    both = np.concatenate([ranks, features - 1 - ranks])
    between = [
        compute(both[walk] < step[:, None], sources[walk % walks])
        for walk, step in _parts(2 * walks, features - 1, features)
    ]
    answers = np.empty((2 * walks, features + 1))
    answers[:, 0] = np.concatenate([begins, begins])
    answers[:, 1:-1] = np.concatenate([*between, np.empty(0)]).reshape(2 * walks, features - 1)
    answers[:, -1] = value
    contributions = np.take_along_axis(np.diff(answers, axis=1), both, axis=1)
    return (contributions[:walks] + contributions[walks:]) / 2


def _parts(walks: int, steps: int, features: int) -> Iterator[tuple[Integers, Integers]]:
    """The walk and the step of each mixture, call by call."""
    size = rows_per_call(features)
    for start in range(0, walks * steps, size):
        number = np.arange(start, min(start + size, walks * steps))
        yield number // steps, number % steps + 1


def _standard_errors(found: Floats) -> Floats:
    """Standard errors of the means over rounds and background rows, from the pairs [R, K, F].

    All background rows are used equally often, so the differences between rows are no error; differences
    between pairs of the same row are. A single round has no such pairs: then all differences count, which
    overestimates the error.
    """
    rounds, rows, _ = found.shape
    if rounds > 1:
        variances = found.var(axis=0, ddof=1).mean(axis=0)
    else:
        variances = found[0].var(axis=0, ddof=1)
    errors: Floats = np.sqrt(variances / (rounds * rows))
    return errors


PLANNED_SECONDS = 0.25
"""The computing time that an explanation is planned for."""
MAX_SECONDS = 1.0
"""The time after which it ends with the rounds so far: a busy machine takes longer than planned."""
MAX_ROUNDS = 8
"""Pairs of permutations for each background row: with 50 rows, 800 permutations."""
MIN_PAIRS = 4


@dataclass(frozen=True, eq=False)
class Plan:
    """Background rows to begin at, int64 [K], and rounds of permutations, int64 [R, K, F].

    A permutation is the place of each feature in it. The same version and counts give the same plan.
    """

    sources: Integers
    ranks: Integers

    @classmethod
    def of(cls, features: int, background: int, row_seconds: float, seed: int) -> "Plan":
        """As many rounds as fit in `PLANNED_SECONDS`, where one row takes `row_seconds`.

        If not even one round over all background rows fits, it uses fewer rows. Counts are powers of two,
        or all, so that two measurements of one model rarely give two plans.

        Raises NotExplainable for a model that is too slow.
        """
        pair_seconds = 2 * (features - 1) * row_seconds
        pairs = (
            min(PLANNED_SECONDS / pair_seconds, MAX_ROUNDS * background)
            if pair_seconds
            else MAX_ROUNDS * background
        )
        if pairs < MIN_PAIRS:
            raise NotExplainable(
                f"this version takes {row_seconds * 1000:.3g} ms for a row: an explanation of "
                f"{features} features would take {MIN_PAIRS * pair_seconds:.2g} s at least, and "
                f"{PLANNED_SECONDS} s are allowed"
            )
        rows = background if pairs >= background else _power_of_two(pairs)
        rounds = _power_of_two(pairs / rows)
        random = np.random.default_rng(seed)
        sources = np.sort(random.permutation(background)[:rows])
        places = np.broadcast_to(np.arange(features), (rounds, rows, features))
        return cls(sources, random.permuted(places, axis=2))


def _power_of_two(limit: float) -> int:
    """The largest power of two up to a limit."""
    return 1 << (int(limit).bit_length() - 1)
