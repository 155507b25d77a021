"""Shapley values by sampling permutations, in antithetic pairs.

Features pass from a background row to the record one after another, in a random order; what the
answer changes by at each step is what that feature contributed. The same order backwards makes the
pair. The sources: Castro, Gomez and Tejada, "Polynomial calculation of the Shapley value based on
sampling" (2009); antithetic pairs: Mitchell, Cooper, Frank and Holmes, "Sampling Permutations for
Shapley Value Estimation" (2022). The value of a set of features is the mean answer over the
background, with those features from the record ("interventional").

Each walk begins at a background row and ends at the record, so its steps add up to the difference of
the two answers. Each background row has as many walks as any other: on the mean, the steps add up to
the answer less the mean answer to the background, whatever was sampled.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.explanation.explanation_errors import NotInTime
from predictor.explanation.mixtures import Mask

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
