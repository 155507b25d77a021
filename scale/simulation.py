"""Replicas that poll one registry, and a promotion: events in the order of their time, seeded.

A replica looks at the registry on a beat of its own, begun at a random moment (`predictor/reconcile/poller.py`).
A look that the registry has not answered within `_PATIENCE` is given up; the registry, which knows
nothing of that, computes it all the same. Who hears of the promotion asks for the version's files, one
request after the other, in the same line as everybody's polls, takes them off the network, loads,
and serves. Fetches that fail are tried again after 1, 2, 4, … intervals (`predictor/reconcile/decision.py`).
"""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scale.costs import GRAPH, Costs
from scale.line import Line

_PATIENCE = 5.0  # seconds: `tracking_server` gives each step of a request so long
_MOST_RETRY = 300.0
_BEATS_BEFORE = 5  # beats of all replicas before the promotion; the first is not counted
_HORIZON = 900.0  # seconds after the promotion at which the simulation gives up


@dataclass(frozen=True)
class Plan:
    """What is simulated. `link` is what MLflow's network sends, MB per second."""

    replicas: int
    poll_seconds: float
    servers: int = 1
    megabytes: float = 0.022
    link: float = 125.0
    seed: int = 0


@dataclass
class Outcome:
    """Seconds. `waits` are of polls before the promotion, answered or not; the rest count from it."""

    load: float = 0.0
    waits: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    serving: list[float] = field(default_factory=list)
    fetch_waits: list[float] = field(default_factory=list)

    @property
    def late(self) -> float:
        """The share of polls that were given up."""
        return sum(wait > _PATIENCE for wait in self.waits) / len(self.waits)


def share(values: list[float], part: float, of: int | None = None) -> float:
    """The time by which a part, 0 to 1, is done; infinite where so many never were, of `of` in all."""
    place = math.ceil(part * (of or len(values))) - 1
    return sorted(values)[place] if place < len(values) else math.inf


def simulate(plan: Plan, costs: Costs) -> Outcome:
    """What becomes of one promotion."""
    return _Run(plan, costs).outcome()


class _Run:
    def __init__(self, plan: Plan, costs: Costs) -> None:
        self._plan = plan
        self._costs = costs
        self._registry = Line(plan.servers)
        self._link = Line()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._promoted = _BEATS_BEFORE * plan.poll_seconds
        self._hearers: set[int] = set()
        self._outcome = Outcome()

    def outcome(self) -> Outcome:
        """Run until all serve, or the time is up."""
        plan = self._plan
        chance = random.Random(plan.seed)  # noqa: S311  nobody is to guess it
        for replica in range(plan.replicas):
            beat = chance.random() * plan.poll_seconds
            self._at(beat, partial(self._poll, replica))
        self._at(plan.poll_seconds, self._begin_to_count)
        self._at(self._promoted, self._end_counting)
        while self._events and len(self._outcome.serving) < plan.replicas:
            now, _, happen = heapq.heappop(self._events)
            if now > self._promoted + _HORIZON:
                break
            happen(now)
        return self._outcome

    def _at(self, time: float, happen: Callable[[float], None]) -> None:
        self._count += 1  # so that events of one moment keep their order
        heapq.heappush(self._events, (time, self._count, happen))

    def _begin_to_count(self, _: float) -> None:
        self._registry.busy = 0.0
        self._outcome.waits.clear()

    def _end_counting(self, now: float) -> None:
        counted = (now - self._plan.poll_seconds) * self._plan.servers
        self._outcome.load = self._registry.busy / counted

    def _poll(self, replica: int, now: float) -> None:
        seconds = self._costs.poll
        answered = self._registry.take(now, seconds)
        wait = answered - now
        if now < self._promoted:
            self._outcome.waits.append(wait)
        elif wait <= _PATIENCE and replica not in self._hearers:
            self._hearers.add(replica)
            self._at(answered, self._hear)
        # A beat at which a look still goes on is left out.
        beats = max(1, math.ceil(min(wait, _PATIENCE) / self._plan.poll_seconds))
        self._at(now + beats * self._plan.poll_seconds, partial(self._poll, replica))

    def _hear(self, now: float) -> None:
        self._outcome.heard.append(now - self._promoted)
        self._fetch(0, 0, now)

    def _fetch(self, step: int, failures: int, now: float) -> None:
        questions = self._costs.questions(self._plan.megabytes)
        answered = self._registry.take(now, questions[step])
        self._outcome.fetch_waits.append(answered - now)
        if answered - now > _PATIENCE:
            delay = min(self._plan.poll_seconds * 2**failures, _MOST_RETRY)
            self._at(now + _PATIENCE + delay, partial(self._fetch, 0, failures + 1))
            return
        if step == GRAPH:
            answered = self._link.take(answered, self._plan.megabytes / self._plan.link)
        if step == len(questions) - 1:
            self._at(answered + self._costs.load, self._serve)
        else:
            self._at(answered, partial(self._fetch, step + 1, failures))

    def _serve(self, now: float) -> None:
        self._outcome.serving.append(now - self._promoted)
