"""From requests to results, on one servable. Pure, but for the clock.

The requests of one event-loop tick become one call; the many rows of a large request become a few calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from predictor.inference.protocol import WHAT_IF, InferenceProtocol, NamedProtocol, Read, Result
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row

Run = Callable[[Sequence[Row]], Iterator[tuple[int, Answers]]]
"""Computes rows in calls of a few hundred: yields the number of a call's first row, and its answers."""
Count = Callable[[Answers, float], None]


@dataclass(slots=True)
class Computed:
    """What some requests asked, and what they get.

    `results` has one entry for each request. `groups` are the requests of each protocol: their positions in
    `results`, and what was read. `answers` are in the order of `rows`; None if there are no rows. `seconds` are
    those of ONNX Runtime; 0 if they are not known. `record` is where a `Keep` has recorded the rows, if it has.
    """

    results: list[Result]
    groups: Sequence[tuple[Sequence[int], NamedProtocol, Read]]
    rows: Sequence[Row]
    answers: Answers | None
    seconds: float = 0.0
    record: Any = None

    @classmethod
    def of_one(
        cls, result: Result, protocol: NamedProtocol, read: Read, answers: Answers
    ) -> "Computed":
        """One request that was computed alone."""
        return cls([result], [(range(1), protocol, read)], read.rows, answers)

    def as_hypothetical(self) -> "Computed":
        """The same, with the protocol of rows that were only tried out."""
        return replace(self, groups=[(places, WHAT_IF, read) for places, _, read in self.groups])


Work = Callable[[Servable, Run], Computed]
"""The work for one request, done in a thread on one servable."""


@dataclass(slots=True)
class Tick:
    """The requests of one tick, read: those of each protocol, with their positions."""

    requests: int
    groups: list[tuple[Sequence[int], InferenceProtocol, Read]]
    rows: Sequence[Row]


def read_tick(
    servable: Servable, protocols: Sequence[InferenceProtocol], bodies: Sequence[Any]
) -> Tick:
    """Read all bodies, protocol by protocol."""
    count = len(bodies)
    if protocols.count(first := protocols[0]) == count:
        read = first.read(servable, bodies)
        return Tick(count, [(range(count), first, read)], read.rows)
    positions: dict[int, list[int]] = {}
    for number, protocol in enumerate(protocols):
        positions.setdefault(id(protocol), []).append(number)
    groups: list[tuple[Sequence[int], InferenceProtocol, Read]] = []
    for places in positions.values():
        protocol = protocols[places[0]]
        groups.append((places, protocol, protocol.read(servable, [bodies[n] for n in places])))
    return Tick(count, groups, [row for _, _, read in groups for row in read.rows])


def compute_tick(servable: Servable, tick: Tick) -> Computed:
    """Run and write. Errors of requests are among the results; raises InferenceTimeout."""
    answers: Answers | None = None
    seconds = 0.0
    if tick.rows:
        calls = [*_calls(servable, tick.rows)]
        answers = Answers.joined([each for each, _ in calls])
        seconds = sum(each for _, each in calls)
    results: list[Result] = [None] * tick.requests
    start = 0
    for places, protocol, read in tick.groups:
        written: list[Result] = []
        if read.rows and answers is not None:
            stop = start + len(read.rows)
            written = protocol.write(servable, read, answers.part(start, stop))
            start = stop
        for number, error in read.errors.items():
            # Its frames refer to the caller's, and so to all requests of the tick: a reference cycle.
            error.__traceback__ = error.__context__ = None
            written.insert(number, error)
        for place, result in zip(places, written, strict=True):
            results[place] = result
    return Computed(results, tick.groups, tick.rows, answers, seconds)


def read_and_compute(
    servable: Servable, protocols: Sequence[InferenceProtocol], bodies: Sequence[Any]
) -> Computed:
    """Both, for a thread."""
    return compute_tick(servable, read_tick(servable, protocols, bodies))


def _calls(servable: Servable, rows: Sequence[Row]) -> Iterator[tuple[Answers, float]]:
    """The answers of each ONNX Runtime call, and its seconds."""
    max_rows = servable.rows_a_call
    for start in range(0, len(rows), max_rows):
        part = rows if len(rows) <= max_rows else rows[start : start + max_rows]
        started = perf_counter()
        answers = servable.answer(part)
        if len(answers) != len(part):
            raise ValueError(f"{len(part)} rows got {len(answers)} answers")
        yield answers, perf_counter() - started


def run_in_calls(
    servable: Servable, count: Count, rows: Sequence[Row]
) -> Iterator[tuple[int, Answers]]:
    """Compute the rows and count each call: a `Run`, by `partial`."""
    start = 0
    for answers, seconds in _calls(servable, rows):
        count(answers, seconds)
        yield start, answers
        start += len(answers)


def compute_one(protocol: InferenceProtocol, body: Any, servable: Servable, run: Run) -> Computed:
    """Compute one request of any size: a `Work`, by `partial`. Raises RequestError."""
    read = protocol.read(servable, [body])
    for error in read.errors.values():
        raise error
    answers = Answers.joined([part for _, part in run(read.rows)])
    (result,) = protocol.write(servable, read, answers)
    if isinstance(result, Exception):
        raise result
    return Computed.of_one(result, protocol, read, answers)
