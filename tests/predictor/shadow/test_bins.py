"""Quantiles from counts: near the true ones, whatever the numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.shadow.bins import DIFFERENCES, SECONDS


@given(st.lists(st.floats(1e-8, 1e8), min_size=1), st.sampled_from([0.5, 0.9, 0.99]))
def test_quantiles_are_within_eleven_percent(numbers, share):
    """Of the number with that rank."""
    counts = np.bincount([DIFFERENCES.of(each) for each in numbers], minlength=DIFFERENCES.size)
    true = np.quantile(numbers, share, method="inverted_cdf")
    assert DIFFERENCES.quantile(counts.tolist(), share) == pytest.approx(true, rel=0.11)


def test_zeros_and_numbers_out_of_bounds_have_bins():
    """The first and the last."""
    assert SECONDS.of(0) == SECONDS.of(1e-12) == 0
    assert SECONDS.of(1e9) == SECONDS.size - 1
    counts = [0.0] * SECONDS.size
    counts[0] = 5
    assert SECONDS.quantile(counts, 0.5) == 0
