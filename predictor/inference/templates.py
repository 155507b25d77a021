"""Responses of one row from templates: the text that a protocol wrote once, with the numbers of each row put in.

A template is made from what the protocol writes for a made-up answer, one for each label. So it has the
same bytes as the protocol's own response, and a protocol that cannot be written like that is found out.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Signature

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_MADE_UP = 0.50048828125  # exact in 32 bits; no other number of a response has this text
_STEP = 2**-20


class PerServable(Generic[T]):
    """What is made once for each servable, and freed with it."""

    def __init__(self, make: Callable[[Servable], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[Servable, T] = WeakKeyDictionary()

    def of(self, servable: Servable) -> T:
        """What was made for this servable."""
        try:
            return self._made[servable]
        except KeyError:
            return self._made.setdefault(servable, self._make(servable))


class Templates:
    """The templates of one protocol for one signature; `write` writes the response to one row."""

    def __init__(self, signature: Signature, write: Callable[[Answers], bytes]) -> None:
        self._signature = signature
        self._write = write
        self._frames: dict[Any, bytes] = {}
        self._usable = True

    def fill(self, answers: Answers) -> list[bytes] | None:
        """The response to each row; None where templates cannot say it."""
        if not self._usable or answers.errors or answers.outputs or answers.answers is not None:
            return None
        if answers.scores is None:
            return self._fill_values(answers)
        frames, labels = self._frames, answers.predictions
        # [[0.25,0.75],[0.5,0.5]] -> 0.25,0.75 and 0.5,0.5
        texts = _encode(answers.scores)[2:-2].split(b"],[")
        try:
            return [frames[label] % text for label, text in zip(labels, texts, strict=True)]
        except (KeyError, TypeError):  # a label is new; a prediction is a list
            return self._learn(answers)

    def _fill_values(self, answers: Answers) -> list[bytes] | None:
        if not all(type(value) is float for value in answers.predictions):
            return None
        frame = self._frames.get(float)
        if frame is None:
            return self._learn(answers)
        return [frame % text for text in _encode(answers.predictions)[1:-1].split(b",")]

    def _learn(self, answers: Answers) -> list[bytes] | None:
        """Make the templates that are missing, and fill them."""
        if answers.scores is None:
            made_up = Answers(self._signature, [_MADE_UP])
            self._frames[float] = self._frame(made_up, _encode(_MADE_UP))
        else:
            scores = [_MADE_UP + place * _STEP for place in range(len(answers.scores[0]))]
            text = _encode(scores)[1:-1]
            for label in answers.predictions:
                if isinstance(label, list):
                    self._usable = False
                elif label not in self._frames:
                    made_up = Answers(self._signature, [label], [scores])
                    self._frames[label] = self._frame(made_up, text)
        return self.fill(answers)

    def _frame(self, answers: Answers, text: bytes) -> bytes:
        written = self._write(answers)
        self._usable = self._usable and written.count(text) == 1
        return written.replace(b"%", b"%%").replace(text, b"%b")
