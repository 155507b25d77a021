"""Plan: how many permutations one version's explanations afford, and which."""

from dataclasses import dataclass

import numpy as np

from predictor.explanation.explanation_errors import NotExplainable
from predictor.explanation.sampling import Integers

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
