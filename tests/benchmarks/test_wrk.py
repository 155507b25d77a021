"""What is read from wrk's output, and what is not taken for a figure."""

import pytest

from benchmarks import wrk
from benchmarks.errors import BenchError
from benchmarks.wrk import WrkCounts

_OUTPUT = """Running 1s test @ http://127.0.0.1:8000/predict
  1 threads and 32 connections
  Latency Distribution
     50%    1.02ms
  30000 requests in 1.00s, 5.00MB read
BENCH requests=30000 microseconds=1500000 p50=1020 p99=2386 status={status} faults={faults}
"""


def test_the_figures_are_in_microseconds():
    """By itself, wrk prints no more than three digits."""
    assert wrk.read(_OUTPUT.format(status=0, faults=0)) == WrkCounts(30000, 1.5, 1020, 2386)


@pytest.mark.parametrize(("status", "faults"), [(1, 0), (0, 1)])
def test_one_answer_that_is_none_spoils_the_figures(status, faults):
    """An error is answered faster than a prediction is computed."""
    with pytest.raises(BenchError, match="of 30000 requests"):
        wrk.read(_OUTPUT.format(status=status, faults=faults))


def test_no_figures_is_an_error_that_says_what_wrk_said():
    """Nothing listens, or the script is not found."""
    with pytest.raises(BenchError, match="unable to connect"):
        wrk.read("", "unable to connect to 127.0.0.1:1 Connection refused")
