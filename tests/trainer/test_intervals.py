"""Intervals of proportions and areas, and numbers as text."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trainer.intervals import Proportion, area_interval, decimal, percent, significant


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    # The examples of Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)  # fmt: skip
def test_the_interval_is_wilsons(count, of, low, high):
    """As published."""
    assert Proportion(count, of).interval == pytest.approx((low, high), abs=5e-5)


def test_no_rows():
    """Nothing is known."""
    assert Proportion(0, 0).interval == (0, 1)
    assert math.isnan(Proportion(0, 0).share)


class TestArea:
    @given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
    def test_it_contains_the_area_and_stays_within_bounds(self, area, positives, negatives):
        """Also for perfect and useless scores, where it still has a width."""
        low, high = area_interval(area, positives, negatives)
        assert 0 <= low <= area <= high <= 1
        assert high > low

    def test_it_is_symmetric(self):
        """Exchanging the classes turns the interval around."""
        low, high = area_interval(0.8, 20, 50)
        assert area_interval(0.2, 20, 50) == pytest.approx((1 - high, 1 - low))

    def test_it_narrows_with_more_rows(self):
        """Ten times the rows, less than half the width."""
        (low, high), (near, far) = area_interval(0.9, 40, 70), area_interval(0.9, 400, 700)
        assert far - near < (high - low) / 2

    @pytest.mark.whole
    def test_it_contains_the_true_area_nearly_always(self):
        """Of normal scores, whose area is known: 95 % of 400 samples, give or take four standard errors."""
        random = np.random.default_rng(0)
        actual = np.arange(114) < 42
        inside = 0
        for _ in range(400):
            scores = random.normal(size=114) + 2 * actual
            low, high = area_interval(roc_auc_score(actual, scores), 42, 72)
            inside += low <= 0.92135 <= high  # the distribution function of the normal at sqrt(2)
        assert 0.91 <= inside / 400 <= 0.99


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.996, "0.996"), (0.9996, "0.9996"), (0.99999, "0.99999"), (1, "1.000"), (0.5, "0.500"),
     (0.0001, "0.0001"), (0, "0.000"), (math.nan, "-")],
)  # fmt: skip
def test_a_value_below_1_is_never_shown_as_1(value, text):
    """It has as many digits as that needs."""
    assert decimal(value) == text


def test_digits_of_percent():
    """As requested, or as many as needed."""
    assert [percent(each, 1) for each in (0.97619, 1, 0.9999, 0.5)] == [
        "97.6",
        "100.0",
        "99.99",
        "50.0",
    ]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50"), (0.8768, "88"), (0.9958, "99.6"), (0.9996, "99.96"), (0.999999, "99.9999"),
     (1, "100"), (0, "0"), (0.004, "0.4"), (0.00001, "0.001"), (0.99996, "99.996"), (0.9851, "99"),
     (math.nan, "-")],
)  # fmt: skip
def test_percent(share, text):
    """Only certainty is 100."""
    assert percent(share) == text


@given(st.floats(1e-9, 1 - 1e-9))
def test_percent_is_never_rounded_to_certainty(share):
    """Nor to impossibility."""
    assert 0 < float(percent(share)) < 100


@pytest.mark.parametrize(
    ("value", "text"),
    [(24030.4, "24,030"), (250_000.0, "250,000"), (-2440.6, "-2,441"), (0.05123, "0.05123"), (12.5, "12.5"), (0, "0"),
     (99_996.0, "100,000"), (2.5e12, "2.5e+12"), (3e-7, "3e-07"), (math.nan, "nan")],
)  # fmt: skip
def test_significant(value, text):
    """A price is a whole number with separators, not 2.5e+05."""
    assert significant(value) == text
