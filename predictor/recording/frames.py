"""Frames: what a spool file consists of. Each is a length, a checksum, and a message in MessagePack."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_HEADER = struct.Struct("<II")  # length of the message in bytes, its CRC-32


class RecordedFeature(msgspec.Struct, array_like=True, frozen=True):
    """A feature: its name, the dtype of the graph's input, and its range in the training data, if known.

    `kept` is `hash` for a feature of which only a keyed hash is recorded.
    """

    name: str
    dtype: str
    minimum: float | None = None
    maximum: float | None = None
    kept: str = "value"


class VersionFrame(msgspec.Struct, array_like=True, frozen=True, tag="version"):
    """The version that computed the rows of later frames. The first of a file has the number 0.

    `features` are the recorded ones. `packed` says that rows are float32, else they are values.
    `positive_class` is that of the graph, and `threshold` its operating point, if the graph has them.
    """

    model_name: str
    model_version: str
    run_id: str
    digest: str
    features: list[RecordedFeature]
    class_labels: list[Any]
    packed: bool
    positive_class: str | None = None
    threshold: tuple[str, float] | None = None


class RowsFrame(msgspec.Struct, array_like=True, frozen=True, tag="rows"):
    """The rows of one computation, answered at `at` (seconds since the epoch).

    `request_ids`, `keys` and `protocols` have one entry for each request, `counts` their numbers of rows.
    `rows` are float32 [N, F] as bytes, or N lists of values. `scores` are [N, C] in the order of the class labels; without
    them, `probabilities` may be by class. `outputs` are the graph's other outputs by name.
    """

    version: int
    at: float
    request_ids: list[str]
    keys: list[str | None]
    protocols: list[str]
    counts: list[int]
    rows: bytes | list[list[Any]]
    predictions: list[Any]
    scores: Sequence[Sequence[float]] | None = None
    probabilities: Sequence[dict[str, float] | None] | None = None
    outputs: list[dict[str, Any]] | None = None


class OutcomesFrame(msgspec.Struct, array_like=True, frozen=True, tag="outcomes"):
    """Outcomes that one request reported at `received_at`, in microseconds since the epoch, as `at` are.

    `ids`, `outcomes`, `types` and `at` have one entry for each outcome: `outcomes` are texts, `types` what they were.
    """

    received_at: int
    key: str | None
    ids: list[str]
    outcomes: list[str]
    types: list[str]
    at: list[int]


class ShadowAnswers(msgspec.Struct, array_like=True, frozen=True):
    """What the shadow answered to the rows of an earlier frame: the `frame`-th of the file, counted from 0.

    There is one prediction and one probability for each row, or for the first ones if it was not given all; None
    where it had none.
    """

    frame: int
    predictions: list[Any]
    probabilities: list[float | None]


class ShadowFrame(msgspec.Struct, array_like=True, frozen=True, tag="shadow"):
    """Answers of one version of the shadow to earlier rows of this file."""

    version: str
    digest: str
    answers: list[ShadowAnswers]


Frame = VersionFrame | RowsFrame | ShadowFrame | OutcomesFrame
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame."""
    message = _encoder.encode(frame)
    return _HEADER.pack(len(message), zlib.crc32(message)) + message


def decode(content: bytes) -> Iterator[Frame]:
    """The frames of a spool file, up to the first that is not whole."""
    start = 0
    while message := _message_at(content, start):
        yield _decoder.decode(message)
        start += _HEADER.size + len(message)


def whole_bytes(content: bytes) -> int:
    """How many bytes of a spool file are whole frames. A process that was killed may leave a part of one."""
    start = 0
    while message := _message_at(content, start):
        start += _HEADER.size + len(message)
    return start


def _message_at(content: bytes, start: int) -> bytes:
    """The message of the frame that begins there; empty unless it is whole."""
    if len(content) < start + _HEADER.size:
        return b""
    length, checksum = _HEADER.unpack_from(content, start)
    message = content[start + _HEADER.size : start + _HEADER.size + length]
    return message if len(message) == length and zlib.crc32(message) == checksum else b""
