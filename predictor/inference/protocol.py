"""Inference protocols: how the bodies of one kind of request become rows, and answers become results.

A protocol knows nothing of connections, and a connection nothing of protocols: between them are bytes.
The requests of one event-loop tick are read and written together, protocol by protocol, and computed in
one call, whichever protocols they came by.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from predictor.errors import RequestError
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row


@dataclass(frozen=True, slots=True)
class Reply:
    """The body of a response that is not plain JSON, or has header fields of its own."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str = "application/json"


Result = Any
"""The body of a JSON response, a `Reply`, a message of gRPC; or the exception that prevents it."""


@dataclass(slots=True)
class Read:
    """The rows of some requests of one protocol.

    `counts` are the numbers of rows of the requests without an error, in their order; None stands for one
    row each. `errors` are those of the other requests, by position. `notes` are what the protocol needs
    in order to write the results.
    """

    rows: Sequence[Row]
    counts: Sequence[int] | None = None
    errors: Mapping[int, RequestError] = field(default_factory=dict)
    notes: Any = None

    def split(self, answers: Answers) -> Iterator[Answers]:
        """The answers of each request without an error."""
        start = 0
        for count in self.counts or [1] * len(self.rows):
            yield answers.part(start, start + count)
            start += count


class TakesLong(RequestError):
    """A body takes too long to read on the event loop; a thread reads it."""


class NamedProtocol(Protocol):
    """A way to ask for predictions. Records of predictions have its name, such as `predict`."""

    @property
    def name(self) -> str:
        """In lower case, with underscores."""


@dataclass(frozen=True)
class Named:
    """A name alone."""

    name: str


WHAT_IF = Named("what_if")
"""The protocol of rows that were only tried out. They are no predictions, and no count includes them."""


class InferenceProtocol(NamedProtocol, Protocol):
    """Reads and writes one kind of request. It keeps nothing of a request, so one object serves all.

    It may have an attribute `quick`, a protocol that the event loop uses for larger bodies: it reads them
    within half a millisecond, or returns TakesLong.
    """

    def read(self, servable: Servable, bodies: Sequence[Any]) -> Read:
        """The rows of these bodies for this version; errors are part of what is returned."""

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The results of the requests without an error, in their order."""


def read_each(read_one: Callable[[Any], tuple[Sequence[Row], Any]], bodies: Sequence[Any]) -> Read:
    """Read the bodies one by one; `read_one` gives the rows of a body and a note, or raises RequestError."""
    rows: list[Row] = []
    counts: list[int] = []
    notes: list[Any] = []
    errors: dict[int, RequestError] = {}
    for number, body in enumerate(bodies):
        try:
            found, note = read_one(body)
        except RequestError as error:
            errors[number] = error
        else:
            rows += found
            counts.append(len(found))
            notes.append(note)
    return Read(rows, counts, errors, notes)


def write_each(
    write_one: Callable[[Answers, Any], Result],
    read: Read,
    answers: Answers,
    written: Sequence[Result] | None = None,
) -> list[Result]:
    """Write the results one by one; `write_one` may raise RequestError, which is the result of that request.

    `written` are results that are known already, and None for the others.
    """
    results: list[Result] = []
    for number, (part, note) in enumerate(zip(read.split(answers), read.notes, strict=True)):
        if written is not None and written[number] is not None:
            results.append(written[number])
            continue
        try:
            results.append(write_one(part, note))
        except RequestError as error:
            error.__traceback__ = error.__context__ = None
            results.append(error)
    return results
