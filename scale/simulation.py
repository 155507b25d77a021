"""Discrete-event simulation of replicas that poll one registry, and of a promotion.

Each replica polls at a fixed interval, with a random offset (`predictor/reconcile/poller.py`). A poll
times out after `_TIMEOUT_SECONDS`; the registry still computes its response. A replica that notices the
promotion fetches the version's files, one request after the other, through the same queue as all polls;
then it downloads, loads and serves them. It retries a failed fetch after 1, 2, 4, … intervals
(`predictor/reconcile/decision.py`).
"""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from scale.costs import GRAPH, Costs

_TIMEOUT_SECONDS = 5.0  # as `tracking_server` does
_MAX_RETRY_SECONDS = 300.0
_POLLS_BEFORE = 5  # of each replica before the promotion; the first is not counted
_MAX_SECONDS = 900.0  # after the promotion; then the simulation ends


@dataclass(frozen=True)
class Plan:
    """The simulated deployment. `link` is the bandwidth of MLflow's network, MB/s."""

    replicas: int
    poll_seconds: float
    servers: int = 1
    megabytes: float = 0.022
    link: float = 125.0
    seed: int = 0


@dataclass
class Outcome:
    """Seconds. `waits` are durations of polls before the promotion; the others count from it."""

    load: float = 0.0
    waits: list[float] = field(default_factory=list)
    noticed: list[float] = field(default_factory=list)
    serving: list[float] = field(default_factory=list)
    fetch_waits: list[float] = field(default_factory=list)

    @property
    def late(self) -> float:
        """The share of polls that timed out, 0 to 1."""
        return sum(wait > _TIMEOUT_SECONDS for wait in self.waits) / len(self.waits)


def quantile(values: list[float], part: float, of: int | None = None) -> float:
    """The value below which a part (0 to 1) of `of` values lies; infinite if too few are known."""
    place = math.ceil(part * (of or len(values))) - 1
    return sorted(values)[place] if place < len(values) else math.inf


def simulate(plan: Plan, costs: Costs) -> Outcome:
    """Simulate one promotion."""
    return _Simulation(plan, costs).outcome()


class Queue:
    """A first-come, first-served queue with one or several equal servers."""

    def __init__(self, servers: int = 1) -> None:
        self._free_at = [0.0] * servers
        #: Seconds of work of all servers together.
        self.busy = 0.0

    def take(self, now: float, seconds: float) -> float:
        """Add work that arrives now, after all earlier work; return the time when it ends."""
        end = max(now, self._free_at[0]) + seconds
        heapq.heapreplace(self._free_at, end)
        self.busy += seconds
        return end


class _Simulation:
    def __init__(self, plan: Plan, costs: Costs) -> None:
        self._plan = plan
        self._costs = costs
        self._registry = Queue(plan.servers)
        self._link = Queue()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0
        self._promoted = _POLLS_BEFORE * plan.poll_seconds
        self._noticed: set[int] = set()
        self._outcome = Outcome()

    def outcome(self) -> Outcome:
        """Run until all replicas serve, or the time is up."""
        plan = self._plan
        chance = random.Random(plan.seed)  # noqa: S311  not used for security
        for replica in range(plan.replicas):
            offset = chance.random() * plan.poll_seconds
            self._at(offset, partial(self._poll, replica))
        self._at(plan.poll_seconds, self._begin_to_count)
        self._at(self._promoted, self._end_counting)
        while self._events and len(self._outcome.serving) < plan.replicas:
            now, _, run_event = heapq.heappop(self._events)
            if now > self._promoted + _MAX_SECONDS:
                break
            run_event(now)
        return self._outcome

    def _at(self, time: float, run_event: Callable[[float], None]) -> None:
        self._count += 1  # events of the same time keep their order
        heapq.heappush(self._events, (time, self._count, run_event))

    def _begin_to_count(self, _: float) -> None:
        self._registry.busy = 0.0
        self._outcome.waits.clear()

    def _end_counting(self, now: float) -> None:
        counted = (now - self._plan.poll_seconds) * self._plan.servers
        self._outcome.load = self._registry.busy / counted

    def _poll(self, replica: int, now: float) -> None:
        seconds = self._costs.poll
        done_at = self._registry.take(now, seconds)
        wait = done_at - now
        if now < self._promoted:
            self._outcome.waits.append(wait)
        elif wait <= _TIMEOUT_SECONDS and replica not in self._noticed:
            self._noticed.add(replica)
            self._at(done_at, self._notice)
        # A poll is skipped while the previous one runs.
        intervals = max(1, math.ceil(min(wait, _TIMEOUT_SECONDS) / self._plan.poll_seconds))
        self._at(now + intervals * self._plan.poll_seconds, partial(self._poll, replica))

    def _notice(self, now: float) -> None:
        self._outcome.noticed.append(now - self._promoted)
        self._fetch(0, 0, now)

    def _fetch(self, step: int, failures: int, now: float) -> None:
        requests = self._costs.requests(self._plan.megabytes)
        done_at = self._registry.take(now, requests[step])
        self._outcome.fetch_waits.append(done_at - now)
        if done_at - now > _TIMEOUT_SECONDS:
            delay = min(self._plan.poll_seconds * 2**failures, _MAX_RETRY_SECONDS)
            self._at(now + _TIMEOUT_SECONDS + delay, partial(self._fetch, 0, failures + 1))
            return
        if step == GRAPH:
            done_at = self._link.take(done_at, self._plan.megabytes / self._plan.link)
        if step == len(requests) - 1:
            self._at(done_at + self._costs.load, self._serve)
        else:
            self._at(done_at, partial(self._fetch, step + 1, failures))

    def _serve(self, now: float) -> None:
        self._outcome.serving.append(now - self._promoted)
