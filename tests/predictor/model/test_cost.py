"""How many rows the event loop can afford follows from what they were seen to cost."""

import itertools

import pytest

from predictor.model.servable import LOOP_SECONDS, Cost, measure


@pytest.mark.parametrize(
    ("cost", "features", "rows"),
    [
        (Cost(), 30, 128),
        (Cost(20e-6, 1e-6), 30, 128),
        (Cost(20e-6, 50e-6), 30, 19),
        (Cost(20e-6, 600e-6), 30, 1),
        (Cost(LOOP_SECONDS, 0), 30, 128),
        (Cost(LOOP_SECONDS, 1e-6), 30, 0),
        (Cost(0, 0.1), 30, 0),
        (Cost(), 3000, 2),
        (Cost(), 100_000, 1),
        (Cost(), 1, 128),
    ],
)
def test_rows_on_the_loop(cost, features, rows):
    """As many as fit into the bound, one where it is just affordable, none where it is not."""
    assert cost.rows_on_loop(features) == rows


class Clock:
    """Seconds that pass only while rows are computed."""

    def __init__(self, call, row, noise=(0,)):
        self.now = 0.0
        self._call, self._row = call, row
        self._noise = itertools.cycle(noise)
        self.calls = []

    def __call__(self):
        return self.now

    def run(self, rows):
        self.calls.append(len(rows))
        self.now += self._call + self._row * len(rows) + next(self._noise)


@pytest.mark.parametrize("noise", [(0,), (0, 0.5), (3, 1, 0)])
def test_a_cost_is_measured(noise):
    """Call and row apart, whatever else takes time meanwhile."""
    clock = Clock(30e-6, 2e-6, noise)
    cost = measure(clock.run, (1.0,), clock)
    assert cost.call == pytest.approx(30e-6)
    assert cost.row == pytest.approx(2e-6)


def test_a_slow_model_is_measured_with_one_row():
    """One row has said enough."""
    clock = Clock(0.1, 0.2)
    assert measure(clock.run, (1.0,), clock).rows_on_loop(30) == 0
    assert set(clock.calls) == {1}
