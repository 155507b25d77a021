"""Tensors to rows: what a request brings, as the serving model takes it.

Two forms, and exactly one of them: the graph's own inputs (one table of [N, 30], say), or one tensor
per feature by its name, of [N] or [N, 1]. Measurements by name cannot be in the wrong order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from predictor.open_inference.conversion import convert
from predictor.open_inference.datatypes import (
    DATATYPES,
    DTYPES,
    Array,
    Unfit,
    from_bytes,
    from_sequence,
)
from predictor.open_inference.inference_errors import InvalidInference, quoted
from predictor.signature import Port, Row, Signature

MOST_ROWS = 65_536
"""Of one request: a byte may be a row, and an answer takes hundreds of them."""


@dataclass(frozen=True)
class Tensor:
    """One input or output: its elements in row-major order, as Python values or little-endian bytes."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | bytes


def rows(signature: Signature, tensors: Sequence[Tensor]) -> list[Row]:
    """The rows of these inputs, one at least.

    Raises InvalidInference, which names the input: missing, unknown, given twice, of another shape,
    datatype or number of elements, or with an element that the model cannot take.
    """
    form = _form(signature, given := _by_name(tensors))
    blocks = {
        name: _block(given[name], port, 1 if len(names) > 1 else port_width(signature, port))
        for port, names in form
        for name in names
    }
    _check_lengths(blocks)
    tables = [_joined([blocks[name] for name in names]) for _, names in form]
    if signature.pack is not None:
        return _packed(tables[0])
    return [tuple(chain(*row)) for row in zip(*(table.tolist() for table in tables), strict=True)]


def port_width(signature: Signature, port: Port) -> int:
    """How many columns an input of the graph has."""
    return port.width or len(signature.features)


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in given:
            raise InvalidInference(f"input {quoted(tensor.name)} is given twice")
        given[tensor.name] = tensor
    return given


def _form(signature: Signature, given: Mapping[str, Any]) -> list[tuple[Port, list[str]]]:
    """Each port, and the names of the inputs that make it. Each of them is given, and no other."""
    whole = [(port, [port.name]) for port in signature.ports]
    columns, start = [], 0
    names = [feature.name for feature in signature.features]
    for port in signature.ports:
        stop = start + port_width(signature, port)
        columns.append((port, names[start:stop]))
        start = stop
    is_whole = not given.keys().isdisjoint(port.name for port in signature.ports)
    form = whole if is_whole or given.keys().isdisjoint(names) else columns
    asked = [name for _, listed in form for name in listed]
    for name in given:
        if name not in asked:
            _refuse_unknown(signature, name, known=name in names)
    for name in asked:
        if name not in given:
            hint = "" if given else _takes(signature)
            raise InvalidInference(f"input {quoted(name)} is missing{hint}")
    return form


def _refuse_unknown(signature: Signature, name: str, *, known: bool) -> None:
    if known:
        raise InvalidInference(
            f"input {quoted(name)} is one of a feature's, and others are the graph's own: "
            "give all inputs in one form"
        )
    raise InvalidInference(f"unknown input {quoted(name)}{_takes(signature)}")


def _takes(signature: Signature) -> str:
    listed = ", ".join(
        f"{quoted(port.name)} {DATATYPES[port.type]} [-1,{port_width(signature, port)}]"
        for port in signature.ports[:3]
    )
    more = ", …" if len(signature.ports) > 3 else ""  # noqa: PLR2004
    return f"; the model takes {listed}{more}, or one input per feature by its name"


def _block(tensor: Tensor, port: Port, width: int) -> Array:
    """A tensor as a table of [N, width], in the port's dtype."""
    place = f"input {quoted(tensor.name)}"
    length = _length(tensor, width, place)
    if tensor.datatype not in DTYPES:
        known = ", ".join(DTYPES)
        raise InvalidInference(
            f"{place}: unknown datatype {quoted(tensor.datatype)}; there are {known}"
        )
    try:
        elements = _elements(tensor, length * width)
        return convert(elements, port.dtype).reshape(length, width)
    except Unfit as error:
        raise InvalidInference(f"{place}: {error}") from None


def _elements(tensor: Tensor, count: int) -> Array:
    if isinstance(tensor.data, bytes):
        return from_bytes(tensor.datatype, tensor.data, count)
    return from_sequence(tensor.datatype, tensor.data, count)


def _length(tensor: Tensor, width: int, place: str) -> int:
    shape = list(tensor.shape)
    expected = f"expected [N,{width}]" if width > 1 else "expected [N] or [N,1]"
    if shape[1:] != [width] and not (width == 1 and len(shape) == 1):
        raise InvalidInference(f"{place}: its shape is {_shown(shape)}; {expected}")
    if not 1 <= shape[0] <= MOST_ROWS:
        raise InvalidInference(
            f"{place}: its shape is {_shown(shape)}; {expected}, with N from 1 to {MOST_ROWS}"
        )
    return shape[0]


def _shown(shape: Sequence[int]) -> str:
    most = 8
    listed = ",".join(map(str, shape[:most]))
    return f"[{listed}{',…' if len(shape) > most else ''}]"


def _check_lengths(blocks: Mapping[str, Array]) -> None:
    first = next(iter(blocks))
    for name, block in blocks.items():
        if len(block) != len(blocks[first]):
            raise InvalidInference(
                f"input {quoted(name)} has {len(block)} rows; {quoted(first)} has {len(blocks[first])}"
            )


def _joined(blocks: Sequence[Array]) -> Array:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _packed(table: Array) -> list[Row]:
    """The rows of a table of float32: each is its bytes."""
    raw, size = table.tobytes(), table.shape[1] * table.itemsize
    return [raw[start : start + size] for start in range(0, len(raw), size)]
