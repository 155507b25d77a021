"""The simulation keeps to what is known of queues, and to what cannot be otherwise."""

import math
import random
import statistics
from dataclasses import replace

import pytest

from scale.costs import read
from scale.line import Line, mean_wait
from scale.simulation import Outcome, Plan, share, simulate

COSTS = read()


def at_load(load: float, replicas: int = 200, **plan) -> Plan:
    """So many polls that one worker is busy that share of the time."""
    servers = plan.get("servers", 1)
    return Plan(replicas, replicas * COSTS.poll / load / servers, **plan)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("servers", [1, 4])
def test_a_stable_registry_is_as_busy_as_what_it_is_asked(load, servers):
    """Nothing is lost and nothing is made: utilisation is the load that was offered."""
    assert simulate(at_load(load, servers=servers), COSTS).load == pytest.approx(load, rel=0.01)


def test_waiting_in_line_agrees_with_pollaczek_and_khinchine():
    """The line itself, fed by a Poisson process, waits as long as M/D/1 says."""
    chance, seconds, load = random.Random(1), 0.01, 0.7
    line, now, waits = Line(), 0.0, []
    for _ in range(50_000):
        now += chance.expovariate(load / seconds)
        waits.append(line.take(now, seconds) - now - seconds)
    assert statistics.fmean(waits) == pytest.approx(mean_wait(load, seconds), rel=0.08)


@pytest.mark.parametrize(("load", "tolerance"), [(0.3, 0.15), (0.6, 0.2)])
def test_many_steady_beats_wait_nearly_as_long_as_chance_would_have_it(load, tolerance):
    """Replicas on beats of their own come close to M/D/1, and not above it by more than noise."""
    waits = []
    for seed in range(4):
        waits += simulate(at_load(load, seed=seed), COSTS).waits
    waited = statistics.fmean(waits) - COSTS.poll
    assert waited == pytest.approx(mean_wait(load, COSTS.poll), rel=tolerance)


def test_more_replicas_and_shorter_intervals_never_help_mlflow():
    """Load and the slowest polls grow with both."""

    def busy(replicas: int, poll: float) -> tuple[float, float]:
        outcome = simulate(Plan(replicas, poll), COSTS)
        return outcome.load, share(outcome.waits, 0.99)

    by_replicas = [busy(replicas, 10) for replicas in (10, 100, 400, 800)]
    by_interval = [busy(400, poll) for poll in (60, 30, 10, 5)]
    for grown in (by_replicas, by_interval):
        loads, waits = zip(*grown, strict=True)
        assert list(loads) == sorted(set(loads))
        assert list(waits) == sorted(waits)


def test_a_promotion_reaches_everybody_once_and_in_time():
    """With room to spare, all hear within an interval, and all serve what they heard."""
    plan = Plan(replicas=300, poll_seconds=10, servers=4)
    outcome = simulate(plan, COSTS)
    assert len(outcome.heard) == len(outcome.serving) == plan.replicas
    assert share(outcome.heard, 1) < plan.poll_seconds + 10 * COSTS.poll
    assert share(outcome.heard, 0.5) == pytest.approx(plan.poll_seconds / 2, rel=0.15)
    for part in (0.5, 0.99, 1):
        alone = sum(COSTS.questions(plan.megabytes)) + COSTS.load
        assert share(outcome.serving, part) >= share(outcome.heard, part) + alone


def test_a_registry_that_is_asked_too_much_tells_nobody():
    """Beyond its capacity answers come when nobody waits for them any more."""
    outcome = simulate(Plan(replicas=1000, poll_seconds=2), COSTS)
    assert outcome.load > 1
    assert outcome.late > 0.9
    assert outcome.serving == []
    assert share(outcome.serving, 0.5, 1000) == math.inf


def test_large_files_take_the_network_as_long_as_they_are():
    """However fast MLflow is: the last replica serves no sooner than the bytes have gone out."""
    free = replace(COSTS, megabyte=0.0)
    plan = Plan(replicas=200, poll_seconds=10, servers=4, megabytes=12, link=125)
    assert share(simulate(plan, free).serving, 1) > plan.replicas * plan.megabytes / plan.link


def test_the_same_seed_gives_the_same_figures():
    """Whoever doubts a table can print it again."""
    first, again, other = (simulate(Plan(50, 2, seed=seed), COSTS) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_share_that_was_never_reached_is_infinite():
    """Not a small number, which would look like success."""
    outcome = Outcome(serving=[3.0, 1.0, 2.0])
    assert share(outcome.serving, 0.5, 4) == 2.0
    assert share(outcome.serving, 1, 4) == math.inf
