"""Shapley values by sampling permutations, in antithetic pairs; and how many permutations one can afford."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.errors import Conflict, Unavailable


class NotInTime(Unavailable):
    """An explanation took too long; later the machine may be less busy."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not explained within {seconds:g} s of computing; try again later")


class NoBackground(Conflict):
    """The serving version has nothing that answers could be explained against."""

    def __init__(self) -> None:
        super().__init__(
            "this version carries no background, the rows that answers are explained against; "
            "export it with one, as this project's trainer does: `background` in the graph's metadata"
        )


class NotExplainable(Conflict):
    """The serving version's answers are of a kind that is not explained; the message says why."""


Feed = Mapping[str, NDArray[Any]]
Mask = NDArray[np.bool_]


class Mixtures:
    """Mixtures of one record with a background, as tensors for ONNX Runtime.

    Whole values are taken from the one or the other, so that texts, integers and booleans mix as
    well as numbers do.
    """

    def __init__(self, record: Feed, background: Feed) -> None:
        """Both as `Signature.feed` makes them: per port [N, width] or [N], the record of one row."""
        self._record = record
        self._background = background

    def feed(self, taken: Mask, sources: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """One row for each of `taken` [N, F]: the record's value where it is true.

        Elsewhere that of the background's row that `sources` [N] names.
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

_MOST_VALUES = 1 << 19  # in the rows of one call: what an explanation holds in memory at a time
_MOST_ROWS = 1024  # of one call: a model may compare each with every row that it was trained on
_FEWEST = 2  # pairs: of one alone, nothing says how far off it is


@dataclass(frozen=True, eq=False)
class Estimate:
    """Contributions and their standard errors, float64 [F], of so many pairs of permutations."""

    contributions: Floats
    standard_errors: Floats
    baseline: float
    pairs: int


def sample(compute: Compute, value: float, ranks: Integers, sources: Integers) -> Estimate:
    """Shapley values of the record whose answer is `value`.

    `ranks` [R, K, F] are R rounds of a permutation for each of the K background rows that `sources`
    names: the place of each feature in it. Where `compute` raises NotInTime, the rounds before
    count; the error is raised where these are none, or one of a single permutation.
    """
    begins = _background(compute, sources, ranks.shape[2])
    rounds: list[Floats] = []
    for ranked in ranks:
        try:
            rounds.append(_pairs(compute, value, ranked, sources, begins))
        except NotInTime:
            if len(rounds) * len(sources) < _FEWEST:
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
    """The answers to background rows as they are."""
    parts = np.array_split(sources, -(-len(sources) // rows_a_call(features)))
    return np.concatenate(
        [compute(np.zeros((len(part), features), np.bool_), part) for part in parts]
    )


def rows_a_call(features: int) -> int:
    """How many rows of so many features are computed at a time."""
    return max(1, min(_MOST_ROWS, _MOST_VALUES // features))


def _pairs(
    compute: Compute, value: float, ranks: Integers, sources: Integers, begins: Floats
) -> Floats:
    """What each pair of walks says of each feature [K, F]."""
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
    """The walk and the step of every mixture, for one call after the other."""
    size = rows_a_call(features)
    for start in range(0, walks * steps, size):
        number = np.arange(start, min(start + size, walks * steps))
        yield number // steps, number % steps + 1


def _standard_errors(found: Floats) -> Floats:
    """Of the means over rounds and background rows, from the pairs [R, K, F].

    Background rows are used in full and equally, so what they differ by is no error; what pairs
    that begin at the same row differ by is. Of a single round that is not known, and all the
    differences are counted, which is too much rather than too little.
    """
    rounds, rows, _ = found.shape
    if rounds > 1:
        variances = found.var(axis=0, ddof=1).mean(axis=0)
    else:
        variances = found[0].var(axis=0, ddof=1)
    errors: Floats = np.sqrt(variances / (rounds * rows))
    return errors


SECONDS = 0.25
"""Of computing, that one explanation is planned to take at most."""
MOST_SECONDS = 1.0
"""When an explanation ends with what it has: a machine that is busy takes longer than planned."""
MOST_ROUNDS = 8
"""Pairs of permutations for each background row: with 50 of these, 800 permutations."""
LEAST_PAIRS = 4


@dataclass(frozen=True, eq=False)
class Plan:
    """The background rows to begin at, int64 [K], and the rounds of permutations, int64 [R, K, F].

    A permutation is the place of each feature in it. Of the same version and the same counts, it is
    always the same.
    """

    sources: Integers
    ranks: Integers

    @classmethod
    def of(cls, features: int, background: int, row_seconds: float, seed: int) -> "Plan":
        """As many rounds as fit in `SECONDS`, where one row takes `row_seconds`.

        Where not even one round over all background rows fits, there are fewer of these. Counts are
        powers of two, or all, so that two measurements of one model rarely give two plans.

        Raises NotExplainable where that leaves next to nothing.
        """
        a_pair = 2 * (features - 1) * row_seconds
        pairs = (
            min(SECONDS / a_pair, MOST_ROUNDS * background) if a_pair else MOST_ROUNDS * background
        )
        if pairs < LEAST_PAIRS:
            raise NotExplainable(
                f"this version takes {row_seconds * 1000:.2g} ms for a row: an explanation of "
                f"{features} features would take {LEAST_PAIRS * a_pair:.2g} s at least, and "
                f"{SECONDS} s are allowed"
            )
        rows = background if pairs >= background else _power_of_two(pairs)
        rounds = _power_of_two(pairs / rows)
        random = np.random.default_rng(seed)
        sources = np.sort(random.permutation(background)[:rows])
        places = np.broadcast_to(np.arange(features), (rounds, rows, features))
        return cls(sources, random.permuted(places, axis=2))


def _power_of_two(most: float) -> int:
    return 1 << (int(most).bit_length() - 1)
