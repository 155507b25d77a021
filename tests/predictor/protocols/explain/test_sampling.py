"""Shapley values by sampling: what they must be, for functions whose values are known."""

from itertools import permutations

import numpy as np
import pytest

from predictor.protocols.explain.sampling import Mixtures, NotInTime, sample

RANDOM = np.random.default_rng(5)


def computes(function, record, background):
    """The function's values for mixtures of a record [F] with a background [B, F]."""
    mixtures = Mixtures({"X": record[None]}, {"X": background})
    return lambda taken, sources: function(mixtures.feed(taken, sources)["X"])


def estimate(function, record, background, rounds=4, seed=0):
    rows, features = background.shape
    ranks = np.random.default_rng(seed).permuted(
        np.broadcast_to(np.arange(features), (rounds, rows, features)), axis=2
    )
    value = function(record[None])[0]
    return sample(computes(function, record, background), value, ranks, np.arange(rows))


def exact(function, record, background):
    """Shapley values by all orders of the features."""
    features = len(record)
    orders = list(permutations(range(features)))
    found = np.zeros(features)
    for order in orders:
        rows = background.copy()
        before = function(rows).mean()
        for feature in order:
            rows[:, feature] = record[feature]
            after = function(rows).mean()
            found[feature] += after - before
            before = after
    return found / len(orders)


def linear(rows):
    return rows @ np.arange(1.0, rows.shape[1] + 1) + 3


def in_pairs(rows):
    return rows[:, 0] * rows[:, 1] - 2 * rows[:, 2] * rows[:, 3] + rows[:, 0]


def tangled(rows):
    return rows[:, :4].prod(axis=1) + np.tanh(rows[:, 1:4].sum(axis=1)) * rows[:, 0]


def rough(rows):
    return np.where(rows.max(axis=1) > 1, np.abs(rows).sum(axis=1), rows[:, 0])


@pytest.fixture
def data():
    random = np.random.default_rng(11)
    return random.normal(size=5), random.normal(size=(12, 5))


@pytest.mark.parametrize("function", [linear, in_pairs, tangled, rough])
@pytest.mark.parametrize("rounds", [1, 3])
def test_contributions_add_up(function, rounds, data):
    """To the answer less the mean answer to the background, whatever was sampled."""
    record, background = data
    found = estimate(function, record, background, rounds)
    assert found.baseline == pytest.approx(function(background).mean(), abs=1e-14)
    difference = function(record[None])[0] - found.baseline
    assert found.contributions.sum() == pytest.approx(difference, abs=1e-12)
    assert found.pairs == rounds * 12


def test_a_weighted_sum_has_its_closed_form(data):
    """Each weight times what differs; from a given row nothing is left to chance."""
    record, background = data
    found = estimate(linear, record, background)
    weights = np.arange(1.0, 6)
    np.testing.assert_allclose(found.contributions, weights * (record - background.mean(axis=0)))
    np.testing.assert_allclose(found.standard_errors, 0, atol=1e-12)


def test_pairs_of_features_are_exact(data):
    """An order and the same backwards: each of two features that act together comes once before the other."""
    record, background = data
    found = estimate(in_pairs, record, background, rounds=2)
    np.testing.assert_allclose(found.contributions, exact(in_pairs, record, background), atol=1e-12)
    np.testing.assert_allclose(found.standard_errors, 0, atol=1e-12)


def test_a_feature_that_changes_nothing_contributes_nothing(data):
    record, background = data
    found = estimate(tangled, record, background)
    assert found.contributions[4] == 0
    assert found.standard_errors[4] == 0
    assert (found.contributions[:4] != 0).all()


def test_features_that_are_alike_contribute_alike():
    """Two that enter the product alike, with the same values everywhere, within the error."""
    background = RANDOM.normal(size=(20, 5))
    background[:, 1] = background[:, 0]
    record = np.array([1.5, 1.5, 0.5, -1.0, 0.0])
    found = estimate(lambda rows: rows[:, :4].prod(axis=1), record, background, rounds=8)
    one, other = found.contributions[:2]
    assert one != 0
    assert abs(one - other) <= 4 * found.standard_errors[:2].sum()


@pytest.mark.parametrize("rounds", [1, 4])
@pytest.mark.parametrize("function", [tangled, rough])
def test_the_standard_error_is_honest(function, rounds, data):
    """Over many seeds, estimates lie around the exact values, and as far from them as is said.

    Of a single round, no further than is said.
    """
    record, background = data
    truth = exact(function, record, background)
    found = [estimate(function, record, background, rounds, seed) for seed in range(150)]
    off = np.array([each.contributions for each in found]) - truth
    said = np.sqrt(np.mean([each.standard_errors**2 for each in found], axis=0))
    spread = np.sqrt((off**2).mean(axis=0))
    moving = spread > 1e-12
    assert moving.sum() >= 4
    assert (np.abs(off.mean(axis=0)) <= 5 * spread / np.sqrt(150)).all()
    ratio = said[moving] / spread[moving]
    assert (ratio > 0.8).all()
    if rounds > 1:
        assert (ratio < 1.25).all()


def test_one_feature_has_it_all():
    background = RANDOM.normal(size=(6, 1))
    found = estimate(lambda rows: rows[:, 0] ** 2, np.array([2.0]), background)
    assert found.contributions == pytest.approx([4 - (background**2).mean()])
    assert found.standard_errors == pytest.approx([0], abs=1e-12)


@pytest.mark.parametrize(("features", "rows"), [(30, 50), (2000, 3)])
def test_calls_are_bounded(features, rows):
    """However many walks and features, a call has at most so many rows and values."""
    sizes = []

    def compute(taken, sources):
        sizes.append(taken.shape)
        assert len(sources) == len(taken)
        return np.zeros(len(taken))

    ranks = np.random.default_rng(0).permuted(
        np.broadcast_to(np.arange(features), (1, rows, features)), axis=2
    )
    sample(compute, 1.0, ranks, np.arange(rows))
    assert max(count for count, _ in sizes) <= 1024
    assert max(count * wide for count, wide in sizes) <= 1 << 19
    assert sum(count for count, _ in sizes) == rows + 2 * rows * (features - 1)


@pytest.mark.parametrize(("calls", "pairs"), [(0, None), (1, None), (2, 12), (3, 24)])
def test_it_ends_with_the_rounds_that_were_in_time(calls, pairs, data):
    """The background is one call, each round another; an explanation from no round is none."""
    record, background = data
    answers = computes(tangled, record, background)
    left = iter(range(calls))

    def compute(taken, sources):
        if next(left, None) is None:
            raise NotInTime(1.0)
        return answers(taken, sources)

    ranks = np.broadcast_to(np.arange(5), (4, 12, 5))
    value = tangled(record[None])[0]
    if pairs is None:
        with pytest.raises(NotInTime):
            sample(compute, value, ranks, np.arange(12))
        return
    found = sample(compute, value, ranks, np.arange(12))
    assert found.pairs == pairs
    assert found.contributions.sum() == pytest.approx(value - found.baseline)


def test_one_pair_alone_is_not_enough(data):
    """Nothing would say how far off it is."""
    record, background = data
    answers = computes(tangled, record, background[:1])
    left = iter(range(2))

    def compute(taken, sources):
        if next(left, None) is None:
            raise NotInTime(1.0)
        return answers(taken, sources)

    with pytest.raises(NotInTime):
        sample(compute, 1.0, np.broadcast_to(np.arange(5), (4, 1, 5)), np.arange(1))
