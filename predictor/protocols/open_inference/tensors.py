"""From the input tensors of a request to rows for the serving model.

A request has one of two forms: the graph's own inputs (one table of [N, 30], say), or one tensor per feature
by its name, of [N] or [N, 1]. Values by name cannot be in the wrong order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from predictor.model.signature import Feature, Port, Row, Signature
from predictor.model.validation import Fields, check_size
from predictor.protocols.open_inference.datatypes import (
    DATATYPES,
    DTYPES,
    Array,
    Unfit,
    check,
    convert,
    from_bytes,
    from_sequence,
)
from predictor.protocols.open_inference.errors import InvalidInference, quoted

MAX_ROWS = 65_536
"""Rows of one request: one byte may be a row, whose response takes hundreds."""

_MAX_SHOWN = 8  # dimensions of a shape in a message


@dataclass(frozen=True)
class Tensor:
    """One input or output: its elements in row-major order, as Python values or little-endian bytes."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | bytes


def rows(signature: Signature, tensors: Sequence[Tensor]) -> list[Row]:
    """The rows of these inputs, at least one.

    Raises InvalidInference, which names the input: missing, unknown, given twice, of the wrong shape,
    datatype or number of elements, or with an element that the model does not take.
    """
    given = _by_name([each for each in tensors if each.name not in signature.ignored])
    form = _form(signature, given)
    blocks = {name: _block(given[name], form[name]) for name in form if name in given}
    count = _count(blocks)
    if len(blocks) < len(form):
        written = sum(block.size for block in blocks.values())
        check_size(count, len(signature.features), written)
    parts: dict[str, list[Array]] = {}
    for name, part in form.items():
        blank = (count, len(part.features))
        absent = part.features[0].missing  # one port has features of one type
        block = blocks[name] if name in blocks else np.full(blank, absent, part.port.dtype)
        parts.setdefault(part.port.name, []).append(block)
    tables = [*map(_joined, parts.values())]
    if signature.pack is not None:
        return split_rows(tables[0].tobytes(), tables[0].shape[1] * tables[0].itemsize)
    return [tuple(chain(*row)) for row in zip(*(table.tolist() for table in tables), strict=True)]


def port_width(signature: Signature, port: Port) -> int:
    """The number of columns of an input of the graph."""
    return port.width or len(signature.features)


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in given:
            raise InvalidInference(f"input {quoted(tensor.name)} is given twice")
        given[tensor.name] = tensor
    return given


@dataclass(frozen=True)
class _Part:
    """The features of one input of a request: some or all columns of a port of the graph."""

    port: Port
    features: Sequence[Feature]


def _form(signature: Signature, given: Mapping[str, Any]) -> dict[str, _Part]:
    """The inputs of the request's form, by name. Inputs that are not given have no required feature.

    Raises InvalidInference for an unknown or missing input, or a mix of both forms.
    """
    whole: dict[str, _Part] = {}
    columns: dict[str, _Part] = {}
    start = 0
    for port in signature.ports:
        stop = start + port_width(signature, port)
        features = signature.features[start:stop]
        whole[port.name] = _Part(port, features)
        columns |= {feature.name: _Part(port, [feature]) for feature in features}
        start = stop
    is_whole = not given.keys().isdisjoint(whole)
    form = whole if is_whole or given.keys().isdisjoint(columns) else columns
    for name in given:
        if name not in form:
            _refuse_unknown(signature, name, known=name in columns)
    for name, part in form.items():
        if name not in given and (not given or any(each.required for each in part.features)):
            hint = "" if given else _expected(signature)
            raise InvalidInference(f"input {quoted(name)} is missing{hint}")
    return form


def _refuse_unknown(signature: Signature, name: str, *, known: bool) -> None:
    if known:
        raise InvalidInference(
            f"input {quoted(name)} is a feature, and other inputs are the graph's own; "
            "send all inputs in one form"
        )
    alike = Fields(signature.features).misspelt([name], ())
    hint = "".join(f"; send {quoted(meant)}, which only differs in spelling" for _, meant in alike)
    raise InvalidInference(f"unknown input {quoted(name)}{hint or _expected(signature)}")


def _expected(signature: Signature) -> str:
    listed = ", ".join(
        f"{quoted(port.name)} {DATATYPES[port.type]} [-1,{port_width(signature, port)}]"
        for port in signature.ports[:3]
    )
    more = ", …" if len(signature.ports) > 3 else ""  # noqa: PLR2004
    return f"; the model takes {listed}{more}, or one input per feature by its name"


def _block(tensor: Tensor, part: _Part) -> Array:
    """A tensor as a table of [N, width], in the port's dtype."""
    place, width = f"input {quoted(tensor.name)}", len(part.features)
    length = _length(tensor, width, place)
    if tensor.datatype not in DTYPES:
        known = ", ".join(DTYPES)
        raise InvalidInference(
            f"{place}: unknown datatype {quoted(tensor.datatype)}; there are {known}"
        )
    try:
        elements = _elements(tensor, length * width, part)
        table = convert(elements, part.port.dtype).reshape(length, width)
        _check_values(table, part.features)
    except Unfit as error:
        raise InvalidInference(f"{place}: {error}") from None
    return table


def _elements(tensor: Tensor, count: int, part: _Part) -> Array:
    if isinstance(tensor.data, bytes):
        elements = from_bytes(tensor.datatype, tensor.data, count)
    else:
        elements = from_sequence(tensor.datatype, tensor.data, count, missing=_missing(part))
        if elements.dtype.kind == "f" and part.port.dtype.kind in "iu":
            same = [a == b for a, b in zip(tensor.data, elements.tolist(), strict=True)]
            check(np.array(same), f"rounded in {tensor.datatype}; send {DATATYPES[part.port.type]}")
    if tensor.datatype == "BOOL" and all(each.type == "boolean" for each in part.features):
        return elements.astype(part.port.dtype)  # true is 1, where the graph takes a number
    return elements


def _missing(part: _Part) -> float | str | None:
    """What null becomes. `_check_values` refuses NaN in a required feature; a text cannot be told apart."""
    features = part.features
    if features[0].type == "string":
        return None if any(each.required for each in features) else features[0].missing
    return math.nan if any(not each.required for each in features) else None


def _check_values(table: Array, features: Sequence[Feature]) -> None:
    """Raise Unfit for NaN in a required feature, for a fraction in a whole number, for a boolean other than 0 or 1."""
    if table.dtype.kind == "f":
        required = np.array([feature.required for feature in features])
        missing = np.isnan(table) & required
        check(~missing.reshape(-1), "not a finite number: NaN, and this value may not be missing")
    whole = np.array([feature.type == "integer" for feature in features])
    if table.dtype.kind == "f" and whole.any():
        check(((table == np.floor(table)) | ~whole).reshape(-1), "expected a whole number")
    booleans = np.array([feature.type == "boolean" for feature in features])
    if table.dtype.kind in "iuf" and booleans.any():
        good = (table == 0) | (table == 1) | (table != table) | ~booleans  # noqa: PLR0124
        check(good.reshape(-1), "expected 0 or 1, for a boolean")


def _length(tensor: Tensor, width: int, place: str) -> int:
    shape = list(tensor.shape)
    expected = f"expected [N,{width}]" if width > 1 else "expected [N] or [N,1]"
    if shape[1:] != [width] and not (width == 1 and len(shape) == 1):
        raise InvalidInference(f"{place}: its shape is {_shown(shape)}; {expected}")
    if not 1 <= shape[0] <= MAX_ROWS:
        raise InvalidInference(
            f"{place}: its shape is {_shown(shape)}; {expected}, with N from 1 to {MAX_ROWS}"
        )
    return shape[0]


def _shown(shape: Sequence[int]) -> str:
    listed = ",".join(map(str, shape[:_MAX_SHOWN]))
    return f"[{listed}{',…' if len(shape) > _MAX_SHOWN else ''}]"


def _count(blocks: Mapping[str, Array]) -> int:
    """The number of rows of all inputs. Raises InvalidInference where they differ."""
    first = next(iter(blocks))
    for name, block in blocks.items():
        if len(block) != len(blocks[first]):
            raise InvalidInference(
                f"input {quoted(name)} has {len(block)} rows; {quoted(first)} has {len(blocks[first])}"
            )
    return len(blocks[first])


def _joined(blocks: Sequence[Array]) -> Array:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def split_rows(raw: bytes, size: int) -> list[Row]:
    """The rows of a table, each as its `size` bytes."""
    return [raw[start : start + size] for start in range(0, len(raw), size)]
