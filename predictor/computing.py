"""Computing: from what was asked to what is told, on one servable. Pure but for the clock.

A tick's bodies and questions become one call; many rows of one request become a few.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter
from typing import Any, Protocol, TypeVar

from predictor.errors import RequestError
from predictor.records.answers import Answer, Answers
from predictor.servable import Servable
from predictor.signature import Row

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

_ROWS_A_CALL = 512  # of a batch: between two calls, the loop has its turn
_BODIES = frozenset([bytes])


class Question(Protocol):
    """One row that is asked about in another protocol than `/predict`'s."""

    def row(self, servable: Servable) -> Row:
        """The row, for this servable. Quick: it is called on the event loop. Raises RequestError."""

    def told(self, servable: Servable, answer: Answer) -> Result:
        """What who asks is told, of the answer that this servable gave. Raises RequestError."""


def answer(servable: Servable, asked: list[Any]) -> Computed:
    """Decode, run and encode. What goes wrong is the result of those whom it concerns."""
    try:
        bodies_only = _BODIES.issuperset(map(type, asked))
        rows, faults = servable.decoder.records(asked) if bodies_only else _rows(servable, asked)
        if not rows:
            return [faults[number] for number in range(len(asked))], None, 0.0
        answers, seconds = _run(servable, rows)
        results: list[Result] = [*servable.encoder.each(answers)]
    except Exception as error:  # noqa: BLE001  every client that waits must hear of it
        return [error] * len(asked), None, 0.0
    if not bodies_only:
        of_rows = [each for number, each in enumerate(asked) if number not in faults]
        results = [*map(partial(_told, servable), of_rows, answers, results)]
    for number, fault in faults.items():
        results.insert(number, fault)
    return results, answers, seconds


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
    for start in range(0, len(rows), _ROWS_A_CALL):
        answers, seconds = _run(servable, rows[start : start + _ROWS_A_CALL])
        count(answers, seconds)
        yield start, answers


def answer_one(body: bytes, servable: Servable, run: Run) -> bytes:
    """The body of one record's answer. Raises RequestError."""
    ((_, answers),) = run([servable.decoder.record(body)])
    (result,) = servable.encoder.each(answers)
    if isinstance(result, Exception):
        raise result
    return result


def answer_many(body: bytes, servable: Servable, run: Run) -> bytes:
    """The body of a batch's answer. Raises RequestError, which names the row."""
    encoded = []
    for start, answers in run(servable.decoder.instances(body)):
        for number, fault in sorted(answers.faults.items()):
            raise fault.at(f"instances[{start + number}]")
        encoded.append(servable.encoder.rows(answers))
    return servable.encoder.batch(encoded)
