"""Signature: a model's named features, how rows become input tensors, and which outputs are read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from struct import Struct
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.model.graph import Labels

Value = float | int | bool | str
Row = tuple[Value, ...] | bytes
"""One record's values, in the order of the features.

If the graph takes one table of float32, they are packed as the bytes of the tensor. This takes half the
time of keeping a tuple of floats until the other rows are decoded.
"""

FLOATS = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}
INTEGERS = {
    f"tensor({name})": np.dtype(name)
    for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


@dataclass(frozen=True)
class Port:
    """One input or output of a graph.

    `type` is ONNX Runtime's, such as `tensor(float)`; a dimension that varies is None.
    """

    name: str
    type: str
    shape: tuple[int | None, ...]

    @property
    def width(self) -> int | None:
        """The number of columns: the second dimension, or 1 for a 1-D tensor; None if it varies.

        `shape` is empty if the graph does not declare one.
        """
        if not self.shape:
            return None
        return self.shape[1] if len(self.shape) > 1 else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of the input. Raises LoadError for a type that has no JSON values."""
        if self.type in FLOATS:
            return np.dtype(FLOATS[self.type])
        if self.type in INTEGERS:
            return INTEGERS[self.type]
        if self.type == "tensor(bool)":
            return np.dtype(np.bool_)
        if self.type == "tensor(string)":
            return np.dtype(object)
        raise LoadError(
            "signature", f"input {self.name!r} has type {self.type}, which is not served"
        )


@dataclass(frozen=True)
class Feature:
    """One named value of a record: its JSON type and, for numbers, the inclusive range that fits.

    `dtype` is that of the graph's input. A boolean may be a number there: true is 1. If a feature is not
    `required`, the graph gets `missing` for a missing value: NaN or, for a text, what its metadata says.
    """

    name: str
    type: Literal["number", "integer", "boolean", "string"]
    dtype: str
    minimum: float | int | None = None
    maximum: float | int | None = None
    required: bool = True
    missing: float | str = math.nan

    @property
    def blank(self) -> Value:
        """The empty value of the type: 0, false or an empty text."""
        blanks: dict[str, Value] = {"number": 0.0, "integer": 0, "boolean": False, "string": ""}
        return blanks[self.type]


@dataclass(frozen=True)
class ExtraOutput:
    """An output besides the prediction and the probabilities; answers have its rows in `outputs`.

    The rows are on `axis` 0, or on axis 1 if the output has one entry per target: [T, N, …], or a sequence
    of T tensors [N, …].
    """

    name: str
    axis: Literal[0, 1] = 0


@dataclass(frozen=True)
class Outputs:
    """The names of the graph's outputs that an answer is made of.

    A classifier has `label`, `probabilities` or both. `probabilities` are [N, C] in the order of
    `class_labels`, or a list of maps if `mapped`. Without `label`, the prediction is the class of the
    largest probability; a single column is the probability of the second of two classes. A regressor has
    `value`.

    `several`: `label` has several targets, so a prediction is a list. `indexed`: `label` is an index into
    `class_labels`. `axis`: the axis of the rows of `label` or `value`, as in `ExtraOutput`.
    `unverified`: no first row has shown that `probabilities` are probabilities, so every answer is checked.
    `omitted`: the outputs that answers do not have, with the reason.
    """

    label: str | None = None
    probabilities: str | None = None
    mapped: bool = False
    value: str | None = None
    unverified: bool = False
    several: bool = False
    indexed: bool = False
    axis: Literal[0, 1] = 0
    extra: tuple[ExtraOutput, ...] = ()
    omitted: tuple[tuple[str, str], ...] = ()

    @cached_property
    def main(self) -> list[str]:
        """The outputs of the prediction and its probabilities, in this order."""
        return [name for name in (self.label, self.probabilities, self.value) if name is not None]

    def axis_of(self, name: str) -> int:
        """The axis of the rows in an output."""
        if name in {self.label, self.value}:
            return self.axis
        return next((extra.axis for extra in self.extra if extra.name == name), 0)

    @cached_property
    def names(self) -> list[str]:
        """The outputs that ONNX Runtime computes, in this order."""
        return [*self.main, *(extra.name for extra in self.extra)]


@dataclass(frozen=True)
class Signature:
    """The features of a record, how rows become tensors, and the outputs.

    `ports` are the graph's inputs, `results` its outputs, with the observed shapes. `hints` are sentences
    on how to improve the graph. `ignored` are columns of MLflow's signature without an input: a record may
    have them. `mixes_rows` means that a row's outputs depend on the other rows of a call, so each row is
    computed alone.
    """

    features: tuple[Feature, ...]
    ports: tuple[Port, ...]
    outputs: Outputs
    class_labels: Labels = ()
    positive_class: str | None = None
    results: tuple[Port, ...] = ()
    hints: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    mixes_rows: bool = False

    @cached_property
    def may_be_missing(self) -> tuple[str, ...]:
        """The names of the features that are not required."""
        return tuple(feature.name for feature in self.features if not feature.required)

    @cached_property
    def one_row_at_a_time(self) -> bool:
        """Whether the graph fixes its batch dimension to 1, or mixes rows."""
        return self.mixes_rows or any(port.shape and port.shape[0] == 1 for port in self.ports)

    def feed(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        """Input tensors for ONNX Runtime by name: [N, width], or [N] for an input of one dimension."""
        if self.pack is not None:
            return {self.ports[0].name: self.table(rows)}
        if self._is_one_table:
            return {self.ports[0].name: np.array(rows, self.ports[0].dtype)}
        columns = [*zip(*rows, strict=True)]
        feed = {}
        for name, dtype, start, width, dimensions in self._layout:
            if width == 1:  # much faster than an array of lists with one value each
                column = np.array(columns[start], dtype)
                feed[name] = column if dimensions == 1 else column.reshape(-1, 1)
            else:
                feed[name] = np.array([row[start : start + width] for row in rows], dtype)
        return feed

    @cached_property
    def _layout(self) -> list[tuple[str, np.dtype[Any], int, int, int]]:
        """Each input's name, dtype, first column in a row, width, and number of dimensions."""
        widths = [port.width or 1 for port in self.ports]
        return [
            (port.name, port.dtype, start, width, len(port.shape))
            for port, start, width in zip(
                self.ports, accumulate(widths, initial=0), widths, strict=False
            )
        ]

    def table(self, rows: Sequence[Row]) -> NDArray[np.float32]:
        """The rows as float32 [N, F]. Only for a signature with `pack`."""
        try:
            packed = b"".join(rows)  # type: ignore[arg-type]
        except TypeError:  # some rows are tuples, such as the rows of warm-up
            pack: Any = self.pack
            packed = b"".join([row if isinstance(row, bytes) else pack(*row) for row in rows])
        return np.ndarray((len(rows), len(packed) // len(rows) // 4), np.float32, packed)

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        """The class labels as JSON keys, in the order of the probabilities."""
        return tuple(label_name(label) for label in self.class_labels)

    @cached_property
    def label_columns(self) -> dict[str | int | bool, int]:
        """The index of each label's column in the probabilities."""
        return {label: column for column, label in enumerate(self.class_labels)}

    def result(self, name: str) -> Port:
        """The output of this name."""
        return self._results.get(name) or Port(name, "", ())

    @cached_property
    def _results(self) -> dict[str, Port]:
        return {port.name: port for port in self.results}

    @property
    def _is_one_table(self) -> bool:
        return len(self.ports) == 1 and len(self.ports[0].shape) != 1

    @cached_property
    def pack(self) -> Callable[..., bytes] | None:
        """Packs the values of a row into bytes; None unless the graph takes one table of float32."""
        if not self._is_one_table or self.ports[0].type != "tensor(float)":
            return None
        return Struct(f"={self.ports[0].width or len(self.features)}f").pack


def label_name(label: str | int | bool) -> str:
    """A class label as a JSON key."""
    return str(label).lower() if isinstance(label, bool) else str(label)
