"""The usual request over REST, read and written quickly: one input of 32-bit floats that holds all features.

What is read here has the same rows, and what is written here the same bytes, as with `body.py`, which
reads and writes all other requests. Numbers in JSON are decoded by type. The JSON before tensors in bytes
is the same for many requests, so what it says is remembered.
"""

from collections.abc import Sequence
from math import isfinite
from struct import Struct, error
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from predictor.errors import RequestError
from predictor.inference.batcher import LARGE
from predictor.inference.protocol import Read, Result
from predictor.inference.templates import PerServable, Templates
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.protocols.open_inference import body
from predictor.protocols.open_inference.inference import Inference, Target
from predictor.protocols.open_inference.tensors import port_width

Note = tuple[body.Request, Sequence[Row]]
"""What `write` needs of a request: what was read besides its rows, and its rows."""

_MAX_LAYOUTS = 256
_MAX_LENGTH_DIGITS = 6  # of the JSON before tensors in bytes
_MEMBERS = 5  # of a plain request: inputs, name, shape, datatype, data
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, OverflowError, error)


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Request).decode


class PlainRequests:
    """Reads and writes the plain requests for one servable."""

    def __init__(self, servable: Servable) -> None:
        signature = servable.signature
        port = signature.ports[0]
        self._servable = servable
        self._name = port.name
        self._width = port_width(signature, port)
        self._values = Struct(f"<{self._width}f")
        self._layouts: dict[tuple[bytes, Target], body.Request] = {}
        self._requests: dict[Target, body.Request] = {}
        self._templates = Templates(signature, self._written)

    def read(
        self, content: bytes, json_length: str | None, target: Target
    ) -> tuple[list[Row], Note] | None:
        """The row of a plain request with one row; None for any other request."""
        if json_length is not None:
            return self._read_bytes(content, json_length, target)
        if len(content) > LARGE:
            return None
        try:
            request = _decode(content)
            (given,) = request.inputs
            packed = self._values.pack(*given.data)
        except (*_REFUSED, ValueError):
            return None
        plain = (
            given.name == self._name
            and given.datatype == "FP32"
            and given.shape == [1, self._width]
            and request.id is UNSET
            and content.count(b":") == _MEMBERS  # no name twice
        )
        note = self._requests.get(target) or self._learn(target)
        return ([packed], (note, ())) if plain and note else None

    def _learn(self, target: Target) -> body.Request | None:
        if not _names(target, self._servable):
            return None
        request = body.Request(Inference(target, ()), None, {}, all_binary=False)
        self._requests[target] = request
        return request

    def _read_bytes(
        self, content: bytes, json_length: str, target: Target
    ) -> tuple[list[Row], Note] | None:
        if not json_length.isdecimal() or len(json_length) > _MAX_LENGTH_DIGITS:
            return None
        end = int(json_length)
        packed = content[end:]
        if len(packed) != self._values.size or not isfinite(sum(self._values.unpack(packed))):
            return None
        text = content[:end]
        layout = self._layouts.get((text, target))
        if layout is None:
            layout = self._learn_layout(content, text, json_length, target)
        return ([packed], (layout, ())) if layout else None

    def _learn_layout(
        self, content: bytes, text: bytes, json_length: str, target: Target
    ) -> body.Request | None:
        """What the JSON of a request says, if it is plain."""
        try:
            request = body.read(content, json_length, target)
            request.inference.rows(self._servable)
        except RequestError:
            return None
        inference = request.inference
        (given, *others) = inference.inputs
        plain = not others and given.name == self._name and given.datatype == "FP32"
        if not plain or inference.warn or not isinstance(given.data, bytes):
            return None
        if len(self._layouts) >= _MAX_LAYOUTS:
            self._layouts.clear()
        found = body.Request(
            Inference(target, (), inference.outputs), request.id, request.binary, request.all_binary
        )
        self._layouts[text, target] = found
        return found

    def write(self, read: Read, answers: Answers) -> list[Result] | None:
        """The responses, if all requests of the tick are plain and want all outputs as JSON."""
        if not all(_is_plain(request) and rows == () for request, rows in read.notes):
            return None
        return self._templates.fill(answers)

    def _written(self, answers: Answers) -> bytes:
        """The response to one row, by `body.py`."""
        target = Target(self._servable.model_version.name)
        request = body.Request(Inference(target, ()), None, {}, all_binary=False)
        content, _ = body.write(request, request.inference.inferred(self._servable, (), answers))
        return content


def _is_plain(request: body.Request) -> bool:
    return not (request.id or request.all_binary or request.binary or request.inference.outputs)


def _names(target: Target, servable: Servable) -> bool:
    try:
        target.check(servable.model_version)
    except RequestError:
        return False
    return True


def _make(servable: Servable) -> PlainRequests | None:
    features = servable.signature.features
    plain = servable.signature.pack is not None and all(f.type == "number" for f in features)
    return PlainRequests(servable) if plain else None


PLAIN: PerServable[Any] = PerServable(_make)
"""The plain requests of each servable; None where the model takes more than numbers."""
