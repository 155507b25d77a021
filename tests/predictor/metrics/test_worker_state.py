"""One value of each gauge for several workers: where they differ, the odd one out is seen."""

from dataclasses import replace

import pytest

from predictor.metrics.worker_state import (
    WorkerStatus,
    answered_at,
    aspired,
    failed,
    shown,
    since,
    skew,
    workers,
)


def a_worker(serving, named=7, answered=100.0, swapped=0.0):
    identity = ("m", str(serving), f"run{serving}", f"digest{serving}") if serving else None
    return WorkerStatus(identity, named, answered, swapped)


@pytest.mark.parametrize(
    ("serving", "seen"),
    [
        ([7], 7),
        ([7, 7, 7], 7),
        ([7, 3], 3),
        ([7, 9], 9),
        ([7, 7, 0], 0),
        ([9, 3, 7], 3),
        ([0, 0], 0),
        ([3, 3], 3),
    ],
)
def test_the_worker_that_is_shown_is_the_one_that_is_not_where_the_registry_says(serving, seen):
    """Whoever watches one number must not be told that all is well."""
    found = shown([a_worker(version) for version in serving])
    assert found.version == seen
    assert found.identity == (("m", str(seen), f"run{seen}", f"digest{seen}") if seen else None)


def test_none_is_a_word_too():
    """A worker that goes on after a withdrawal is the one to be seen."""
    assert shown([a_worker(0, named=0), a_worker(3, named=0)]).version == 3


def test_the_latest_word_counts():
    """A worker that has not heard it yet does not hide it; nor does one that was never answered."""
    late = a_worker(3, named=3, answered=90.0)
    assert aspired([late, a_worker(7, answered=100.0), a_worker(0, named=0, answered=0.0)]) == 7


def test_the_oldest_answer_is_shown():
    """The worker that the registry does not reach is the one to worry about."""
    fresh, cut_off = a_worker(7, answered=100.0), a_worker(7, answered=40.0)
    assert answered_at([fresh, cut_off]) == 40
    assert answered_at([fresh, a_worker(0, answered=0.0)]) == 100
    assert answered_at([a_worker(0, answered=0.0)]) == 0


def test_a_version_serves_since_the_first_worker_serves_it():
    """Whichever worker is asked, and though one was replaced since."""
    first, second = replace(a_worker(7), since=50.0), replace(a_worker(7), since=51.0)
    assert since([first, second]) == since([second, first]) == 50
    assert since([first, replace(a_worker(3), since=60.0)]) == 60
    assert since([first, a_worker(0)]) == 0


def test_a_failure_of_one_worker_is_seen():
    """Also where the others could load it, or never tried."""
    assert failed([a_worker(7), WorkerStatus(failed=8), WorkerStatus(failed=6)]) == 8
    assert failed([a_worker(7), a_worker(7)]) == 0


def test_workers_are_counted_by_version():
    """So that a sum says how many there are, and one series where they are."""
    assert workers([a_worker(7), a_worker(7), a_worker(3), a_worker(0)]) == {
        "7": 2, "3": 1, "none": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "seconds"),
    [
        ([a_worker(7, swapped=10.0)], 0),
        ([a_worker(7, swapped=10.0), a_worker(7, swapped=10.5), a_worker(7, swapped=10.25)], 0.5),
        ([a_worker(7, swapped=10.0), a_worker(3)], 40),
        ([a_worker(7, swapped=10.0), a_worker(7, swapped=0.0)], 0),
        ([a_worker(3, swapped=5.0), a_worker(3, swapped=6.0)], 0),
        ([a_worker(7), a_worker(7)], 0),
    ],
    ids=["alone", "all", "one is behind", "one was replaced since", "none has swapped", "a start"],
)
def test_skew_is_the_time_from_the_first_swap_to_the_last(statuses, seconds):
    """And grows while one is behind."""
    assert skew(statuses, now=50.0) == seconds
