"""After the end of a worker: a replacement at once, with a growing delay, or the end of the service."""

import pytest

from predictor.workers.supervisor import Ending, GiveUp, Replace, replace_or_give_up

KILLED = Ending(-9, 3600.0, served=True)
EARLY = Ending(1, 0.5, served=False)


def test_a_worker_that_served_is_replaced_at_once():
    """It ran for long, so earlier failures do not count."""
    assert replace_or_give_up(KILLED, 7, any_served=True) == Replace(0.0, 1)


def test_a_worker_that_keeps_ending_is_replaced_with_growing_delays():
    """Repeated failures must not use the processor of the others."""
    waits, in_a_row = [], 0
    for _ in range(9):
        match replace_or_give_up(EARLY, in_a_row, any_served=True):
            case Replace(seconds, in_a_row):
                waits.append(seconds)
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("ending", [Ending(1, 0.5, served=True), Ending(2, 0.5, served=False)])
def test_a_service_that_serves_is_never_given_up(ending):
    """Also if a file of a setting became invalid after the start: the others keep serving."""
    assert replace_or_give_up(ending, 99, any_served=True) == Replace(30, 100)


def test_the_supervisor_gives_up_after_three_failed_starts():
    """The service ends with an exit code."""
    assert replace_or_give_up(EARLY, 0, any_served=False) == Replace(0, 1)
    assert replace_or_give_up(EARLY, 1, any_served=False) == Replace(1, 2)
    assert replace_or_give_up(EARLY, 2, any_served=False) == GiveUp(1)


def test_a_wrong_setting_is_given_up_at_once():
    """Another try would fail, too."""
    assert replace_or_give_up(Ending(2, 0.5, served=False), 0, any_served=False) == GiveUp(2)
