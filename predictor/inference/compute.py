"""From requests to responses, on one servable. Pure, but for the clock.

The requests of one event-loop tick become one call; the many rows of a batch become a few calls.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeVar

from predictor.errors import InferenceTimeout, RequestError
from predictor.model.answers import Answer, Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.model.training_ranges import Warnings

T = TypeVar("T")
Result = Any
"""The body of a response, or what a `RowRequest` made; or the exception that prevents it."""
Run = Callable[[Sequence[Row]], Iterator[tuple[int, Answers]]]
"""Computes rows in calls of a few hundred: yields the number of a call's first row, and its answers."""
Work = Callable[[Servable, Run], T]
"""The work for one request, done in a thread on one servable."""
Count = Callable[[Answers, float], None]
Computed = tuple[list[Result], Answers | None, float]
"""The result of each request, the answers of the call, and the seconds that it took."""

_BODIES = frozenset([bytes])


class RowRequest(Protocol):
    """A request for one row, by another protocol than `/predict`."""

    def row(self, servable: Servable) -> Row:
        """Decode the row for this servable. It runs on the event loop: be quick. Raises RequestError."""

    def response(self, servable: Servable, answer: Answer) -> Result:
        """Turn this servable's answer into the response. Raises RequestError."""


def compute_tick(servable: Servable, requests: list[Any]) -> Computed:
    """Decode, run and encode. Errors are returned per row, but for InferenceTimeout, which is raised."""
    try:
        bodies_only = _BODIES.issuperset(map(type, requests))
        rows, faults, warnings = _read(servable, requests, bodies_only=bodies_only)
        for fault in faults.values():
            # Their frames refer to this one, and so to every client of the tick: a reference cycle.
            fault.__traceback__ = fault.__context__ = None
        if not rows:
            return [faults[number] for number in range(len(requests))], None, 0.0
        answers, seconds = _timed_call(servable, rows)
        results: list[Result] = [*servable.encoder.each(answers, warnings)]
    except InferenceTimeout:
        raise
    except Exception as error:  # noqa: BLE001  every request needs a result
        return [error] * len(requests), None, 0.0
    if not bodies_only:
        valid = [each for number, each in enumerate(requests) if number not in faults]
        results = [*map(partial(_result, servable), valid, answers, results)]
    for number, fault in faults.items():
        results.insert(number, fault)
    return results, answers, seconds


def _read(
    servable: Servable, requests: list[Any], *, bodies_only: bool
) -> tuple[Sequence[Row], dict[int, RequestError], Warnings]:
    """The rows; the errors of the other requests, by their position; and the warnings."""
    if not bodies_only:
        # Other protocols look up the warnings themselves, if they have a place for them.
        rows, faults = _rows(servable, requests)
        any_body = any(isinstance(each, bytes) for each in requests)
        return rows, faults, servable.ranges.outside(rows if any_body else ())
    if (within := servable.decoder.records_in_range(requests)) is not None:
        return within, {}, {}
    rows, faults = servable.decoder.records(requests)
    return rows, faults, servable.ranges.outside(rows)


def _rows(
    servable: Servable, requests: list[bytes | RowRequest]
) -> tuple[list[Row], dict[int, RequestError]]:
    """As `RowDecoder.records`, where some requests decode their row themselves."""
    rows, faults = [], {}
    for number, each in enumerate(requests):
        try:
            rows.append(
                servable.decoder.record(each) if isinstance(each, bytes) else each.row(servable)
            )
        except RequestError as error:
            faults[number] = error
    return rows, faults


def _result(
    servable: Servable, request: bytes | RowRequest, answer: Answer | RequestError, body: Result
) -> Result:
    """Turn one row's result into its caller's response."""
    if isinstance(request, bytes) or isinstance(answer, RequestError):
        return body
    try:
        return request.response(servable, answer)
    except Exception as error:  # noqa: BLE001  only this request fails
        return error


def _timed_call(servable: Servable, rows: Sequence[Row]) -> tuple[Answers, float]:
    started = perf_counter()
    answers = servable.answer(rows)
    if len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows got {len(answers)} answers")
    return answers, perf_counter() - started


def run_in_calls(
    servable: Servable, count: Count, rows: Sequence[Row]
) -> Iterator[tuple[int, Answers]]:
    """Compute the rows and count each call: a `Run`, by `partial`."""
    max_rows = servable.rows_a_call
    for start in range(0, len(rows), max_rows):
        answers, seconds = _timed_call(servable, rows[start : start + max_rows])
        count(answers, seconds)
        yield start, answers


def predict_one(body: bytes, servable: Servable, run: Run) -> bytes:
    """The response to one record. Raises RequestError."""
    rows = [servable.decoder.record(body)]
    ((_, answers),) = run(rows)
    (result,) = servable.encoder.each(answers, servable.ranges.outside(rows))
    if isinstance(result, Exception):
        raise result
    return result


def predict_many(body: bytes, servable: Servable, run: Run, *, warn: bool = False) -> bytes:
    """The response to a batch, with warnings if requested. Raises RequestError, which names the row."""
    encoded = []
    rows = servable.decoder.instances(body)
    for start, answers in run(rows):
        for number, fault in sorted(answers.errors.items()):
            raise fault.at(f"instances[{start + number}]")
        theirs = rows[start : start + len(answers)] if warn else ()
        encoded.append(servable.encoder.rows(answers, servable.ranges.outside(theirs)))
    return servable.encoder.batch(encoded)
