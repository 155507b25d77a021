"""Gauges of several workers: if the workers differ, the gauge shows the one that is behind."""

from dataclasses import replace

import pytest

from predictor.metrics.worker_state import (
    WorkerStatus,
    answered_at,
    aspired,
    failed,
    fleet,
    representative,
    since,
    swap_skew,
    workers,
)


def a_worker(serving, desired=7, answered=100.0, swapped=0.0):
    identity = ("m", str(serving), f"run{serving}", f"digest{serving}") if serving else None
    return WorkerStatus(identity, desired, answered, swapped)


@pytest.mark.parametrize(
    ("serving", "shown"),
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
def test_the_gauges_show_a_worker_without_the_desired_version(serving, shown):
    """A single number must not hide a worker that is behind."""
    found = representative([a_worker(version) for version in serving])
    assert found.version == shown
    assert found.identity == (("m", str(shown), f"run{shown}", f"digest{shown}") if shown else None)


def test_the_desired_version_may_be_none():
    """Then the gauges show a worker that still serves."""
    assert representative([a_worker(0, desired=0), a_worker(3, desired=0)]).version == 3


def test_the_latest_response_of_the_registry_counts():
    """Whatever the other workers know, with an older response or none."""
    late = a_worker(3, desired=3, answered=90.0)
    assert aspired([late, a_worker(7, answered=100.0), a_worker(0, desired=0, answered=0.0)]) == 7


def test_the_last_success_is_that_of_the_worker_that_waited_longest():
    """Workers without a response are left out."""
    recent, cut_off = a_worker(7, answered=100.0), a_worker(7, answered=40.0)
    assert answered_at([recent, cut_off]) == 40
    assert answered_at([recent, a_worker(0, answered=0.0)]) == 100
    assert answered_at([a_worker(0, answered=0.0)]) == 0


def test_the_start_of_serving_is_that_of_the_first_worker():
    """In any order of the workers."""
    first, second = replace(a_worker(7), since=50.0), replace(a_worker(7), since=51.0)
    assert since([first, second]) == since([second, first]) == 50
    assert since([first, replace(a_worker(3), since=60.0)]) == 60
    assert since([first, a_worker(0)]) == 0


def test_a_failure_of_one_worker_is_shown():
    """Even if other workers loaded the version."""
    assert failed([a_worker(7), WorkerStatus(failed=8), WorkerStatus(failed=6)]) == 8
    assert failed([a_worker(7), a_worker(7)]) == 0


def test_one_worker_without_a_connection_is_shown():
    """Workers that have not reported are left out."""
    connected, lost = (replace(a_worker(7), fleet=each) for each in (True, False))
    assert fleet([connected, connected, a_worker(7)]) is True
    assert fleet([connected, lost]) is False
    assert fleet([a_worker(7)]) is None


def test_workers_are_counted_by_version():
    """The sum is the number of workers."""
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
def test_swap_skew_is_the_time_from_the_first_swap_to_the_last(statuses, seconds):
    """It grows while one worker is behind."""
    assert swap_skew(statuses, now=50.0) == seconds
