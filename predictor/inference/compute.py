"""Computing: from what was asked to what is told, on one servable. Pure but for the clock.

A tick's bodies and questions become one call; many rows of one request become a few.
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
"""What somebody is told, the body of an answer as a rule; or the exception that prevents it."""
Run = Callable[[Sequence[Row]], Iterator[tuple[int, Answers]]]
"""Computes rows, a few hundred a call: of each call the number of its first row, and its answers."""
Work = Callable[[Servable, Run], T]
"""What is done for one request, in a thread, on the servable that it is given."""
Count = Callable[[Answers, float], None]
Computed = tuple[list[Result], Answers | None, float]
"""What each who asked is told, the answers of the call that was made, and its seconds."""

_BODIES = frozenset([bytes])


class Question(Protocol):
    """One row that is asked about in another protocol than `/predict`'s."""

    def row(self, servable: Servable) -> Row:
        """The row, for this servable. Quick: it is called on the event loop. Raises RequestError."""

    def told(self, servable: Servable, answer: Answer) -> Result:
        """What who asks is told, of the answer that this servable gave. Raises RequestError."""


def answer(servable: Servable, asked: list[Any]) -> Computed:
    """Decode, run and encode. Errors are returned per row, but for InferenceTimeout, which is raised."""
    try:
        bodies_only = _BODIES.issuperset(map(type, asked))
        rows, faults, warnings = _read(servable, asked, bodies_only=bodies_only)
        for fault in faults.values():
            # Their frames hold this one, and with it every client of the tick: a reference cycle.
            fault.__traceback__ = fault.__context__ = None
        if not rows:
            return [faults[number] for number in range(len(asked))], None, 0.0
        answers, seconds = _run(servable, rows)
        results: list[Result] = [*servable.encoder.each(answers, warnings)]
    except InferenceTimeout:
        raise
    except Exception as error:  # noqa: BLE001  every client that waits must hear of it
        return [error] * len(asked), None, 0.0
    if not bodies_only:
        of_rows = [each for number, each in enumerate(asked) if number not in faults]
        results = [*map(partial(_told, servable), of_rows, answers, results)]
    for number, fault in faults.items():
        results.insert(number, fault)
    return results, answers, seconds


def _read(
    servable: Servable, asked: list[Any], *, bodies_only: bool
) -> tuple[Sequence[Row], dict[int, RequestError], Warnings]:
    """The rows, why there are no others, by their places among those asked, and what to say of some."""
    if not bodies_only:
        # Who asks in another protocol finds the warnings for itself, if it has a place for them.
        rows, faults = _rows(servable, asked)
        anybody = any(isinstance(each, bytes) for each in asked)
        return rows, faults, servable.ranges.outside(rows if anybody else ())
    if (within := servable.decoder.within(asked)) is not None:
        return within, {}, {}
    rows, faults = servable.decoder.records(asked)
    return rows, faults, servable.ranges.outside(rows)


def _rows(
    servable: Servable, asked: list[bytes | Question]
) -> tuple[list[Row], dict[int, RequestError]]:
    """As `RowDecoder.records`, where some who ask bring a row of their own."""
    rows, faults = [], {}
    for number, each in enumerate(asked):
        try:
            rows.append(
                servable.decoder.record(each) if isinstance(each, bytes) else each.row(servable)
            )
        except RequestError as error:
            faults[number] = error
    return rows, faults


def _told(
    servable: Servable, asked: bytes | Question, answer: Answer | RequestError, body: Result
) -> Result:
    """What one who asked is told: the body that was encoded, or what a question makes of the answer."""
    if isinstance(asked, bytes) or isinstance(answer, RequestError):
        return body
    try:
        return asked.told(servable, answer)
    except Exception as error:  # noqa: BLE001  as above, and it concerns no other
        return error


def _run(servable: Servable, rows: Sequence[Row]) -> tuple[Answers, float]:
    started = perf_counter()
    answers = servable.answer(rows)
    if len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows got {len(answers)} answers")
    return answers, perf_counter() - started


def calls(servable: Servable, count: Count, rows: Sequence[Row]) -> Iterator[tuple[int, Answers]]:
    """Run, and count: a `Run`, once the others are given."""
    most = servable.rows_a_call
    for start in range(0, len(rows), most):
        answers, seconds = _run(servable, rows[start : start + most])
        count(answers, seconds)
        yield start, answers


def answer_one(body: bytes, servable: Servable, run: Run) -> bytes:
    """The body of one record's answer. Raises RequestError."""
    rows = [servable.decoder.record(body)]
    ((_, answers),) = run(rows)
    (result,) = servable.encoder.each(answers, servable.ranges.outside(rows))
    if isinstance(result, Exception):
        raise result
    return result


def answer_many(body: bytes, servable: Servable, run: Run, *, warn: bool = False) -> bytes:
    """The body of a batch's answer, with warnings if asked. Raises RequestError, which names the row."""
    encoded = []
    rows = servable.decoder.instances(body)
    for start, answers in run(rows):
        for number, fault in sorted(answers.errors.items()):
            raise fault.at(f"instances[{start + number}]")
        theirs = rows[start : start + len(answers)] if warn else ()
        encoded.append(servable.encoder.rows(answers, servable.ranges.outside(theirs)))
    return servable.encoder.batch(encoded)
