"""Responses of one row from templates: the text that a protocol wrote once, with the numbers of each row put in.

A template is made from what the protocol writes for a made-up answer, one for each label. So it has the
same bytes as the protocol's own response, and a protocol that cannot be written like that is found out.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, proxy

import msgspec
import numpy as np

from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Signature

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_MADE_UP = 0.50048828125  # exact in 32 bits; no other number of a response has this text
_STEP = 2**-20


class PerServable(Generic[T]):
    """What is made once for each servable, and freed with it.

    `make` gets a weak reference, because a value that holds its key keeps it in the dictionary for ever.
    """

    def __init__(self, make: Callable[[Servable], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Servable, T] = WeakKeyDictionary()

    def of(self, servable: Servable) -> T:
        """What was made for this servable."""
        try:
            return self._made[servable]
        except KeyError:
            return self._made.setdefault(servable, self._make(proxy(servable)))


Numbers = Callable[[Any], list[bytes]]


def as_json(rows: Any) -> list[bytes]:
    """The numbers of each row as JSON, without brackets, from a list of lists."""
    # [[0.25,0.75],[0.5,0.5]] -> 0.25,0.75 and 0.5,0.5
    return _encode(rows)[2:-2].split(b"],[")


def as_float32(rows: Any) -> list[bytes]:
    """The numbers of each row as little-endian float32."""
    return [row.tobytes() for row in np.array(rows, "<f4")]


class Templates:
    """The templates of one protocol for one signature.

    `write` writes the response to one row, with the numbers as `numbers` writes them.
    """

    def __init__(
        self, signature: Signature, write: Callable[[Answers], bytes], numbers: Numbers = as_json
    ) -> None:
        self._signature = signature
        self._write = write
        self._numbers = numbers
        self._frames: dict[Any, bytes] = {}
        self._usable = True

    def fill(self, answers: Answers) -> list[bytes] | None:
        """The response to each row; None where templates cannot say it."""
        if not self._usable or answers.errors or answers.outputs or answers.answers is not None:
            return None
        labels: Sequence[Any] = answers.predictions
        rows: Sequence[Sequence[float]] | None = answers.scores
        if rows is None:  # of a regressor: a value stands for both
            if any(type(value) is not float for value in labels):
                return None
            rows, labels = [[value] for value in labels], [None] * len(labels)
        frames = self._frames
        try:
            return [
                frames[label] % text
                for label, text in zip(labels, self._numbers(rows), strict=True)
            ]
        except KeyError:
            for label in {*labels} - frames.keys():
                self._learn(label, len(rows[0]))
            return self.fill(answers)
        except TypeError:  # a prediction is a list
            self._usable = False
            return None

    def _learn(self, label: Any, width: int) -> None:
        """Make the template of a label; None is that of a regressor."""
        numbers = [_MADE_UP + place * _STEP for place in range(width)]
        made_up = Answers(self._signature, [label], [numbers])
        if label is None:
            made_up = Answers(self._signature, numbers)
        (text,) = self._numbers([numbers])
        written = self._write(made_up)
        self._usable = self._usable and written.count(text) == 1
        self._frames[label] = written.replace(b"%", b"%%").replace(text.replace(b"%", b"%%"), b"%b")
