"""How many permutations are planned for models of different speed, and which."""

import numpy as np
import pytest

from predictor.protocols.explain.sampling import (
    MAX_ROUNDS,
    MIN_PAIRS,
    PLANNED_SECONDS,
    NotExplainable,
    Plan,
)


@pytest.mark.parametrize(
    ("milliseconds", "rows", "rounds"),
    [
        (0, 50, 8),  # faster than a clock can tell
        (0.001, 50, 8),
        (0.0107, 50, 8),
        (0.011, 50, 4),
        (0.04, 50, 2),
        (0.08, 50, 1),
        (0.09, 32, 1),
        (0.2, 16, 1),
        (1, 4, 1),
    ],
)
def test_a_slow_model_gets_fewer_permutations(milliseconds, rows, rounds):
    """Then fewer background rows; what is planned fits."""
    plan = Plan.of(30, 50, milliseconds / 1000, seed=1)
    assert plan.ranks.shape == (rounds, rows, 30)
    assert plan.ranks.size // 30 * 2 * 29 * milliseconds / 1000 <= PLANNED_SECONDS
    assert len(set(plan.sources.tolist())) == rows
    assert plan.sources.max() < 50


def test_what_would_say_next_to_nothing_is_refused():
    with pytest.raises(NotExplainable, match=r"takes 1\.2 ms for a row") as caught:
        Plan.of(30, 50, 0.0012, seed=1)
    assert f"{4 * 58 * 0.0012:.2g} s at least" in str(caught.value)


@pytest.mark.parametrize("features", [1, 2, 7])
@pytest.mark.parametrize("background", [1, 2, 3, 50])
def test_few_rows_and_few_features(features, background):
    """There are always two pairs or more, so that there is an error to report."""
    plan = Plan.of(features, background, 1e-6, seed=1)
    assert plan.ranks.shape == (MAX_ROUNDS, background, features)
    if features > 1:
        slow = Plan.of(
            features, background, PLANNED_SECONDS / MIN_PAIRS / 2 / (features - 1), seed=1
        )
        assert slow.ranks.shape[0] * slow.ranks.shape[1] >= 2


def test_each_row_is_a_permutation_and_the_same_for_the_same_seed():
    plan, again, other = (Plan.of(9, 20, 1e-6, seed) for seed in (3, 3, 4))
    assert (np.sort(plan.ranks, axis=2) == np.arange(9)).all()
    assert (plan.ranks == again.ranks).all()
    assert (plan.ranks != other.ranks).any()
    assert len({tuple(each) for each in plan.ranks.reshape(-1, 9).tolist()}) > 100
