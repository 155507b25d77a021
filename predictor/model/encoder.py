"""Encoder: write answers and their version as JSON, the response bodies of `/predict` and `/predict/batch`.

msgspec writes the numbers of all rows in one call. Each row's numbers are then put into a template, which
was made when the version was loaded.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from predictor.errors import RequestError
from predictor.model.answers import Answer, Answers
from predictor.model.operating_point import Comparison, OperatingPoint
from predictor.model.signature import Signature
from predictor.model.training_ranges import OutOfRange
from predictor.model_version import ModelVersion

_encode = msgspec.json.Encoder().encode
_NONE: Mapping[int, Sequence[OutOfRange]] = {}


class _Version(msgspec.Struct, frozen=True):
    model_name: str
    model_version: str


class Encoder:
    """Encodes the answers of one version."""

    def __init__(
        self, version: ModelVersion, signature: Signature, point: OperatingPoint | None = None
    ) -> None:
        # `,"model_name":…,"model_version":…}`
        self._version = b"," + _encode(_Version(version.name, version.version))[1:]
        self._records = _Writer(signature, point, self._version)
        self._rows = _Writer(signature, point, b"}")

    def each(
        self, answers: Answers, warnings: Mapping[int, Sequence[OutOfRange]] = _NONE
    ) -> list[bytes | RequestError]:
        """For each row, its response body, or its error. `warnings` are by row index."""
        bodies: list[bytes | RequestError] = [*self._records.write(answers, warnings)]
        for row, error in answers.errors.items():
            bodies[row] = error
        return bodies

    def rows(
        self, answers: Answers, warnings: Mapping[int, Sequence[OutOfRange]] = _NONE
    ) -> list[bytes]:
        """For each row, its part of a batch's response; undefined for a row with an error."""
        return self._rows.write(answers, warnings)

    def batch(self, rows: Sequence[bytes]) -> bytes:
        """The response body of a batch, from those parts in order."""
        return b'{"predictions":[%b]%b' % (b",".join(rows), self._version)


class _Writer:
    """Writes one JSON object per row; `end` is the text after the fields of the answer."""

    def __init__(self, signature: Signature, point: OperatingPoint | None, end: bytes) -> None:
        self._end = end
        self._point = point
        self._frames: dict[Any, tuple[bytes, int]] = {}
        names = signature.label_names
        blanks = b",".join(_format(_encode(name)) + b":%b" for name in names)
        for label, column in signature.label_columns.items():
            start = b'{"prediction":%b,"probability":%%b,"probabilities":{%b}' % (
                _format(_encode(label)),
                blanks,
            )
            if point is None:
                self._frames[label] = (start + _format(end), column)
                continue
            for above in (False, True):
                compared = _member(point.comparison(above=above))
                self._frames[label, above] = (start + _format(compared + end), column)

    def write(self, answers: Answers, warnings: Mapping[int, Sequence[OutOfRange]]) -> list[bytes]:
        """One object per row; undefined for a row with an error."""
        bodies = self._write(answers)
        for row, found in warnings.items():
            body = bodies[row].removesuffix(self._end)
            bodies[row] = b'%b,"warnings":%b%b' % (body, _encode(found), self._end)
        return bodies

    def _write(self, answers: Answers) -> list[bytes]:
        if answers.scores is None or answers.errors or answers.outputs:
            return [self._write_one(answer) for answer in answers]
        frames = self._frames
        # [[0.25,0.75],[0.5,0.5]] -> 0.25,0.75 and 0.5,0.5
        texts = _encode(answers.scores)[2:-2].split(b"],[")
        point = self._point
        keys: Sequence[Any] = (
            answers.predictions if point is None else point.keys(answers, answers.scores)
        )
        bodies = []
        for key, text in zip(keys, texts, strict=True):
            frame, column = frames[key]
            numbers = text.split(b",")
            bodies.append(frame % (numbers[column], *numbers))
        return bodies

    def _write_one(self, answer: Answer | RequestError) -> bytes:
        if isinstance(answer, RequestError):
            return b""
        compared = UNSET if self._point is None else self._point.compare(answer)
        return _encode(answer)[:-1] + (b"" if compared is UNSET else _member(compared)) + self._end


def _member(compared: Comparison) -> bytes:
    return b',"operating_point":' + _encode(compared)


def _format(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")
