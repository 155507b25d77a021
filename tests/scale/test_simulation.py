"""The simulation agrees with queueing theory and with hard limits."""

import math
import random
import statistics
from dataclasses import replace

import pytest

from scale.costs import read
from scale.simulation import Outcome, Plan, Queue, quantile, simulate

COSTS = read()


def mean_wait(load: float, seconds: float) -> float:
    """The mean wait in an M/D/1 queue (Pollaczek and Khinchine): Poisson arrivals, constant service time."""
    return load * seconds / (2 * (1 - load))


def at_load(load: float, replicas: int = 200, **plan) -> Plan:
    """A plan that gives each worker this utilisation."""
    servers = plan.get("servers", 1)
    return Plan(replicas, replicas * COSTS.poll / load / servers, **plan)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("servers", [1, 4])
def test_utilisation_of_a_stable_registry_is_the_offered_load(load, servers):
    """No request is lost or added."""
    assert simulate(at_load(load, servers=servers), COSTS).load == pytest.approx(load, rel=0.01)


def test_queue_waits_as_pollaczek_and_khinchine_predict():
    """With Poisson arrivals, the mean wait is that of M/D/1."""
    chance, seconds, load = random.Random(1), 0.01, 0.7
    queue, now, waits = Queue(), 0.0, []
    for _ in range(50_000):
        now += chance.expovariate(load / seconds)
        waits.append(queue.take(now, seconds) - now - seconds)
    assert statistics.fmean(waits) == pytest.approx(mean_wait(load, seconds), rel=0.08)


@pytest.mark.parametrize(("load", "tolerance"), [(0.3, 0.15), (0.6, 0.2)])
def test_many_fixed_intervals_wait_nearly_as_long_as_random_arrivals(load, tolerance):
    """Replicas with random offsets come close to M/D/1, and exceed it by noise at most."""
    waits = []
    for seed in range(4):
        waits += simulate(at_load(load, seed=seed), COSTS).waits
    waited = statistics.fmean(waits) - COSTS.poll
    assert waited == pytest.approx(mean_wait(load, COSTS.poll), rel=tolerance)


def test_more_replicas_and_shorter_intervals_never_help_mlflow():
    """Load and the slowest polls grow with both."""

    def busy(replicas: int, poll: float) -> tuple[float, float]:
        outcome = simulate(Plan(replicas, poll), COSTS)
        return outcome.load, quantile(outcome.waits, 0.99)

    by_replicas = [busy(replicas, 10) for replicas in (10, 100, 400, 800)]
    by_interval = [busy(400, poll) for poll in (60, 30, 10, 5)]
    for grown in (by_replicas, by_interval):
        loads, waits = zip(*grown, strict=True)
        assert list(loads) == sorted(set(loads))
        assert list(waits) == sorted(waits)


def test_a_promotion_reaches_each_replica_once_and_in_time():
    """Below capacity, all replicas notice within one interval, and then serve."""
    plan = Plan(replicas=300, poll_seconds=10, servers=4)
    outcome = simulate(plan, COSTS)
    assert len(outcome.noticed) == len(outcome.serving) == plan.replicas
    assert quantile(outcome.noticed, 1) < plan.poll_seconds + 10 * COSTS.poll
    assert quantile(outcome.noticed, 0.5) == pytest.approx(plan.poll_seconds / 2, rel=0.15)
    for part in (0.5, 0.99, 1):
        alone = sum(COSTS.requests(plan.megabytes)) + COSTS.load
        assert quantile(outcome.serving, part) >= quantile(outcome.noticed, part) + alone


def test_an_overloaded_registry_reaches_no_replica():
    """Beyond its capacity, responses come after the timeout."""
    outcome = simulate(Plan(replicas=1000, poll_seconds=2), COSTS)
    assert outcome.load > 1
    assert outcome.late > 0.9
    assert outcome.serving == []
    assert quantile(outcome.serving, 0.5, 1000) == math.inf


def test_large_files_take_at_least_their_time_on_the_network():
    """However fast MLflow is, the last replica serves after all bytes are sent."""
    free = replace(COSTS, megabyte=0.0)
    plan = Plan(replicas=200, poll_seconds=10, servers=4, megabytes=12, link=125)
    assert quantile(simulate(plan, free).serving, 1) > plan.replicas * plan.megabytes / plan.link


def test_the_same_seed_gives_the_same_figures():
    """A printed table can be reproduced."""
    first, again, other = (simulate(Plan(50, 2, seed=seed), COSTS) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_quantile_that_was_never_reached_is_infinite():
    """Not a small number, which would look like success."""
    outcome = Outcome(serving=[3.0, 1.0, 2.0])
    assert quantile(outcome.serving, 0.5, 4) == 2.0
    assert quantile(outcome.serving, 1, 4) == math.inf
