"""Messages between a service's workers and the process of its shadow. Each is a length and a message in MessagePack."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from predictor.model.servable import Servable
from predictor.model.signature import Signature

_LENGTH = struct.Struct("<I")
_LABEL_KINDS: dict[type, str] = {str: "text", int: "whole number", bool: "boolean"}
StateName = Literal["comparing", "waiting", "failed"]


class Feature(msgspec.Struct, array_like=True, frozen=True):
    """A feature: its name, the dtype of the graph's input, and whether each record has it."""

    name: str
    dtype: str
    required: bool


class Serving(msgspec.Struct, array_like=True, frozen=True, tag="serving"):
    """The version that answers this worker's requests from now on; later rows are in the order of its features.

    `prediction` is the kind of its predictions, as `kind_of_prediction` names it; `is_value` says that it is a regressor.
    `answers` asks for the shadow's answer to each row.
    """

    model_name: str
    version: str
    digest: str
    features: list[Feature]
    class_labels: list[Any]
    positive_class: str | None
    prediction: str
    is_value: bool
    answers: bool

    @classmethod
    def of(cls, servable: Servable, *, answers: bool = False) -> "Serving":
        """The description of a servable."""
        version, signature = servable.model_version, servable.signature
        return cls(
            version.name,
            version.version,
            servable.artifact.onnx_sha256,
            [Feature(each.name, each.dtype, each.required) for each in signature.features],
            list(signature.class_labels),
            signature.positive_class,
            kind_of_prediction(signature),
            signature.outputs.value is not None,
            answers,
        )


def kind_of_prediction(signature: Signature) -> str:
    """What each prediction is, such as `text` or `several whole numbers`."""
    outputs = signature.outputs
    name = outputs.label or outputs.value
    if signature.class_labels:
        kind = _LABEL_KINDS[type(signature.class_labels[0])]
    elif name is None:
        kind = _LABEL_KINDS[int]  # the place of the largest probability
    else:
        dtype = signature.result(name).dtype.kind
        kind = {"f": "number", "b": "boolean", "O": "text"}.get(dtype, "whole number")
    return f"several {kind}s" if outputs.several else kind


class NoServing(msgspec.Struct, array_like=True, frozen=True, tag="no_serving"):
    """No version answers this worker's requests."""


class Computation(msgspec.Struct, array_like=True, frozen=True):
    """One computation of the serving version.

    `rows` are float32 [N, F] as bytes, or N lists of values. `scores` are [N, C] in the order of the class labels.
    `seconds` are those of ONNX Runtime, 0 if they are unknown.
    """

    rows: bytes | list[list[Any]]
    predictions: list[Any]
    scores: Sequence[Sequence[float | None]] | None
    seconds: float


class Rows(msgspec.Struct, array_like=True, frozen=True, tag="rows"):
    """Computations to compare. The answer is `Compared`, with the same number."""

    number: int
    computations: list[Computation]


class Ping(msgspec.Struct, array_like=True, frozen=True, tag="ping"):
    """Asks for `Pong`."""


class PollNow(msgspec.Struct, array_like=True, frozen=True, tag="poll"):
    """The registry has changed."""


class State(msgspec.Struct, array_like=True, frozen=True, tag="state"):
    """Which version the shadow has, and whether it compares it with this worker's serving version.

    `serving` is the version and digest of the latest `Serving`, None if it does not compare.
    """

    state: StateName
    reason: str | None = None
    version: str | None = None
    digest: str | None = None
    run_id: str | None = None
    serving: tuple[str, str] | None = None


class Answered(msgspec.Struct, array_like=True, frozen=True):
    """The shadow's prediction for each row, and that prediction's probability; None for a row that failed."""

    predictions: list[Any]
    probabilities: list[float | None]


Sparse = list[tuple[int, int]]
"""The index and the count of each bin that is not empty."""


class Compared(msgspec.Struct, array_like=True, frozen=True, tag="compared"):
    """What the comparison of some computations with this version of the shadow found.

    `flips` are numbers of rows by serving class and shadow class. `differences` are in `bins.DIFFERENCES`, their
    `_buckets` in those of the metric. `serving_seconds` and `shadow_seconds` are of computations of which both are
    known, in `bins.SECONDS`.
    """

    number: int
    version: str
    digest: str
    rows: int = 0
    failed: int = 0
    not_finite: int = 0
    flips: list[tuple[str, str, int]] = []
    differences: Sparse = []
    difference_buckets: Sparse = []
    difference_sum: float = 0.0
    largest: float = 0.0
    serving_seconds: Sparse = []
    shadow_seconds: Sparse = []
    second_buckets: Sparse = []
    second_sum: float = 0.0
    answers: list[Answered] | None = None


class NotCompared(msgspec.Struct, array_like=True, frozen=True, tag="not_compared"):
    """Some computations were not compared: the shadow `failed`, or it waits by now."""

    number: int
    failed: bool = False


class Pong(msgspec.Struct, array_like=True, frozen=True, tag="pong"):
    """The process lives; its present computation has taken so many seconds, 0 without one."""

    busy_seconds: float


ToShadow = Serving | NoServing | Rows | Ping | PollNow
FromShadow = State | Compared | NotCompared | Pong
_encoder = msgspec.msgpack.Encoder()


def encode(message: ToShadow | FromShadow) -> bytes:
    """The bytes of a message."""
    content = _encoder.encode(message)
    return _LENGTH.pack(len(content)) + content


class Decoder:
    """Takes the bytes of one direction as they arrive."""

    def __init__(self, kind: Any) -> None:
        """`kind` is ToShadow or FromShadow."""
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete with these bytes. Raises msgspec.DecodeError."""
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                return
            content = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield self._decoder.decode(content)
