"""The usual request over REST, read and written quickly: one input of 32-bit floats that holds all features.

What is read here has the same rows, and what is written here the same bytes, as with `body.py`, which
reads and writes all other requests. Numbers in JSON are decoded by type. The JSON before tensors in bytes
is the same for many requests, so what it says is remembered.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import isfinite
from struct import Struct, error
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from predictor.errors import RequestError
from predictor.inference.protocol import Read, Reply, Result
from predictor.inference.templates import PerServable, Templates, as_float32
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.protocols.open_inference import body
from predictor.protocols.open_inference.inference import Inference, Target
from predictor.protocols.open_inference.tensors import port_width, split_rows

BYTES = "application/octet-stream"
LENGTH = "Inference-Header-Content-Length"
"""The header field with the length of the JSON, before tensors in bytes."""
Note = tuple[body.Request, Sequence[Row]]
"""What `write` needs of a request: what was read besides its rows, and its rows."""

_MAX_BYTES = 65_536  # of JSON: msgspec lets nothing else run while it decodes
_MAX_LAYOUTS = 256
_MAX_LAYOUT_BYTES = 4096
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
_encode = msgspec.json.Encoder().encode


class PlainRequests:
    """Reads and writes the plain requests for one servable."""

    def __init__(self, servable: Servable) -> None:
        signature = servable.signature
        port = signature.ports[0]
        self._servable = servable
        self._name = port.name
        self._width = port_width(signature, port)
        self._values = Struct(f"<{self._width}f")
        self._layouts: dict[tuple[bytes, Target], tuple[body.Request, int]] = {}
        self._requests: dict[Target, body.Request] = {}
        version = servable.model_version
        named = {"model_name": version.name, "model_version": version.version}
        self._id_at = len(_encode(named)) - 1  # in a response
        self._bytes_after_json: dict[Any, int] = {}  # by label
        self._json = Templates(signature, partial(self._write, all_binary=False))
        self._bytes = Templates(signature, partial(self._write, all_binary=True), as_float32)

    def read(
        self, content: bytes, json_length: str | None, target: Target
    ) -> tuple[list[Row], Note] | None:
        """The rows of a plain request; None for any other request."""
        if json_length is not None:
            return self._read_bytes(content, json_length, target)
        if len(content) > _MAX_BYTES:
            return None
        width, pack = self._width, self._values.pack
        try:
            request = _decode(content)
            (given,) = request.inputs
            data = given.data
            rows: list[Row] = [
                pack(*data[start : start + width]) for start in range(0, len(data), width)
            ]
        except (*_REFUSED, ValueError):
            return None
        members = _MEMBERS if request.id is UNSET else _MEMBERS + 1
        plain = (
            rows
            and given.name == self._name
            and given.datatype == "FP32"
            and given.shape == [len(rows), width]
            and content.count(b":") == members  # no name twice
        )
        found = self._requests.get(target) or self._learn(target)
        if not plain or found is None:
            return None
        return rows, (replace(found, id=request.id) if request.id else found, ())

    def _learn(self, target: Target) -> body.Request | None:
        if not _names(target, self._servable):
            return None
        request = body.Request(Inference(target, ()), None, {}, all_binary=False)
        self._requests[target] = request
        return request

    def _read_bytes(
        self, content: bytes, json_length: str, target: Target
    ) -> tuple[list[Row], Note] | None:
        if not json_length.isdecimal() or len(json_length) > len(str(_MAX_LAYOUT_BYTES)):
            return None
        end = int(json_length)
        if end > _MAX_LAYOUT_BYTES:
            return None
        packed = content[end:]
        rows = self._rows_in(packed)
        if rows is None:
            return None
        text = content[:end]
        layout = self._layouts.get((text, target))
        if layout is None:
            layout = self._learn_layout(content, text, json_length, target)
        return (rows, (layout[0], ())) if layout and layout[1] == len(packed) else None

    def _rows_in(self, packed: bytes) -> list[Row] | None:
        """The rows of a table of finite floats; None for other bytes."""
        size = self._values.size
        if len(packed) == size:
            return [packed] if isfinite(sum(self._values.unpack(packed))) else None
        if not packed or len(packed) % size or not np.isfinite(np.frombuffer(packed, "<f4")).all():
            return None
        return split_rows(packed, size)

    def _learn_layout(
        self, content: bytes, text: bytes, json_length: str, target: Target
    ) -> tuple[body.Request, int] | None:
        """What the JSON of a request says, if it is plain, and the length of the bytes behind it."""
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
        found = (
            replace(request, inference=Inference(target, (), inference.outputs)),
            len(given.data),
        )
        if not request.id:  # else the next text is another one
            if len(self._layouts) >= _MAX_LAYOUTS:
                self._layouts.clear()
            self._layouts[text, target] = found
        return found

    def write(self, read: Read, answers: Answers) -> list[Result]:
        """The responses to plain requests with one row, and None for the others."""
        counts = read.counts or ()
        requests = [
            request for (request, _), count in zip(read.notes, counts, strict=True) if count == 1
        ]
        as_json = as_bytes = None
        if not all(request.all_binary for request in requests):
            as_json = self._json.fill(answers)
        if any(request.all_binary for request in requests):
            as_bytes = self._bytes.fill(answers)
        results: list[Result] = []
        row = 0
        for (request, rows), count in zip(read.notes, counts, strict=True):
            written = as_bytes if request.all_binary else as_json
            others = count > 1 or rows or request.binary or request.inference.outputs
            if others or written is None:
                results.append(None)
            else:
                label = None if answers.scores is None else answers.predictions[row]
                results.append(self._finish(request, written[row], label))
            row += count
        return results

    def _finish(self, request: body.Request, content: bytes, label: Any) -> Result:
        if request.id:
            member = b',"id":' + _encode(request.id)
            content = content[: self._id_at] + member + content[self._id_at :]
        if request.all_binary:
            return with_bytes(content, len(content) - self._bytes_after_json[label])
        return content

    def _write(self, answers: Answers, *, all_binary: bool) -> bytes:
        """The response to one row, by `body.py`."""
        target = Target(self._servable.model_version.name)
        request = body.Request(Inference(target, ()), None, {}, all_binary)
        content, length = body.write(
            request, request.inference.inferred(self._servable, (), answers)
        )
        if length is not None:
            label = None if answers.scores is None else answers.predictions[0]
            self._bytes_after_json[label] = len(content) - length
        return content


def with_bytes(content: bytes, json_length: int) -> Reply:
    """A response with tensors in bytes behind the JSON."""
    return Reply(content, ((LENGTH, str(json_length)),), BYTES)


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


PLAIN: PerServable[PlainRequests | None] = PerServable(_make)
"""The plain requests of each servable; None where the model takes more than numbers."""
