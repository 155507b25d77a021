"""The usual message, read and written quickly: one row in one input of FP32 that holds all features, raw.

What is read here has the same row, and what is written here the same message, as with `messages.py`, which
reads and writes all other requests. A message without its id and its row is the same for many requests, so
what it says is remembered.
"""

from collections.abc import Sequence
from math import isfinite
from struct import Struct
from typing import NamedTuple

from google.protobuf.message import DecodeError

from predictor.errors import RequestError
from predictor.inference.protocol import Read, Result
from predictor.inference.templates import PerServable, Templates, as_float32
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.protocols.open_inference.grpc.messages import inference, response, with_id
from predictor.protocols.open_inference.grpc.open_inference_pb2 import ModelInferRequest
from predictor.protocols.open_inference.inference import Inference, Target
from predictor.protocols.open_inference.tensors import port_width

_MAX_LAYOUTS = 256
_MAX_LAYOUT_BYTES = 4096


class Note(NamedTuple):
    """What `write` needs of a request: its id, whether its inputs were raw, and what it says."""

    id: str
    raw: bool
    inference: Inference
    plain: bool = False


class PlainMessages:
    """Reads and writes the plain messages for one servable."""

    def __init__(self, servable: Servable) -> None:
        port = servable.signature.ports[0]
        self._servable = servable
        self._name = port.name
        self._values = Struct(f"<{port_width(servable.signature, port)}f")
        self._layouts: dict[bytes, Inference | None] = {}
        self._templates = Templates(servable.signature, self._write, as_float32)

    def read(self, body: bytes) -> tuple[list[Row], Note] | None:
        """The row of a plain message; None for any other message."""
        if len(body) > _MAX_LAYOUT_BYTES + self._values.size:
            return None
        try:
            request = ModelInferRequest.FromString(body)
        except DecodeError:
            return None
        name, raw = request.id, request.raw_input_contents
        if len(raw) != 1 or len(packed := raw[0]) != self._values.size:
            return None
        if not isfinite(sum(self._values.unpack(packed))):
            return None
        del raw[:]
        request.id = ""
        layout = request.SerializeToString()
        try:
            found = self._layouts[layout]
        except KeyError:
            found = self._learn(layout, packed)
        return ([packed], Note(name, True, found, plain=True)) if found else None

    def _learn(self, layout: bytes, packed: bytes) -> Inference | None:
        """What a message without its id and its row says, if it is plain."""
        request = ModelInferRequest.FromString(layout)
        request.raw_input_contents.append(packed)
        found = None
        try:
            said = inference(request)
            said.rows(self._servable)
        except RequestError:
            return None
        (given, *others) = said.inputs
        if not others and given.name == self._name and given.datatype == "FP32":
            found = Inference(said.target, (), said.outputs)
        if len(self._layouts) >= _MAX_LAYOUTS:
            self._layouts.clear()
        self._layouts[layout] = found
        return found

    def write(self, read: Read, answers: Answers) -> list[Result] | None:
        """The responses to plain messages, and None for the others; None if templates cannot write them."""
        notes: Sequence[Note] = read.notes
        if len(notes) != len(read.rows):  # some have several rows
            return None
        filled = self._templates.fill(answers)
        if filled is None:
            return None
        return [
            with_id(message, note.id) if note.plain and not note.inference.outputs else None
            for note, message in zip(notes, filled, strict=True)
        ]

    def _write(self, answers: Answers) -> bytes:
        """The response to one row, by `messages.py`."""
        said = Inference(Target(self._servable.model_version.name), ())
        return response("", said.inferred(self._servable, (), answers), raw=True)


def _make(servable: Servable) -> PlainMessages | None:
    features = servable.signature.features
    plain = servable.signature.pack is not None and all(f.type == "number" for f in features)
    return PlainMessages(servable) if plain else None


PLAIN: PerServable[PlainMessages | None] = PerServable(_make)
"""The plain messages of each servable; None where the model takes more than numbers."""
