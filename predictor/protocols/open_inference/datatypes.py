"""Datatypes of the protocol; exact conversions of a tensor's elements from and to bytes, Python values and dtypes."""

from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
"""The dtype of each datatype's elements: little-endian; elements of BYTES are texts."""
DATATYPES: dict[str, str] = {
    "tensor(bool)": "BOOL", "tensor(string)": "BYTES",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    **{f"tensor({name})": name.upper() for name in ("int8", "int16", "int32", "int64")},
    **{f"tensor({name})": name.upper() for name in ("uint8", "uint16", "uint32", "uint64")},
}  # fmt: skip
"""The datatype of each ONNX Runtime type."""

_NOT_FINITE = "not a finite number"
_LENGTH = Struct("<I")  # before each element of BYTES
_TYPES: dict[str, tuple[set[type], str]] = {
    "b": ({bool}, "true or false"),
    "i": ({int}, "an integer"),
    "u": ({int}, "an integer"),
    "f": ({int, float}, "a number"),
    "O": ({str, bytes}, "a string"),
}
_KINDS = {
    bool: "a boolean", int: "an integer", float: "a number with a fraction or an exponent",
    str: "a string", bytes: "bytes", list: "a list", dict: "an object", type(None): "null",
}  # fmt: skip


class Unfit(Exception):
    """Elements do not fit a datatype; `element` is the number of the first one."""

    def __init__(self, reason: str, element: int | None = None) -> None:
        super().__init__(reason if element is None else f"element {element}: {reason}")


def from_bytes(datatype: str, raw: bytes, count: int) -> Array:
    """Read `count` elements, [count] of the datatype's dtype, from little-endian bytes.

    NaN is allowed. Raises Unfit for infinity, or a wrong number of bytes.
    """
    dtype = DTYPES[datatype]
    if dtype.kind == "O":
        return _texts(_split(raw, count))
    if len(raw) != count * dtype.itemsize:
        raise Unfit(f"{len(raw)} bytes; the shape and {datatype} need {count * dtype.itemsize}")
    if dtype.kind == "b":
        check(np.frombuffer(raw, np.uint8) <= 1, "neither 0 nor 1")
    elements = np.frombuffer(raw, dtype)
    if dtype.kind == "f":
        check(~np.isinf(elements), _NOT_FINITE)
    return elements


def from_sequence(
    datatype: str, data: Sequence[Any], count: int, *, missing: float | str | None = None
) -> Array:
    """The same, from Python values: numbers, booleans, or texts (`bytes` are read as UTF-8). Raises Unfit.

    None becomes `missing`, if it is of this datatype. Floats are rounded to FP32, as in a record; integers must be whole.
    """
    dtype = DTYPES[datatype]
    if missing is not None and dtype.kind == ("O" if isinstance(missing, str) else "f"):
        data = [missing if each is None else each for each in data]
    if datatype == "FP16":
        raise Unfit("FP16 is supported as bytes only; send bytes, or FP32")
    if len(data) != count:
        raise Unfit(f"{len(data)} elements; the shape needs {count}")
    taken, noun = _TYPES[dtype.kind]
    if not taken.issuperset(map(type, data)):
        number, odd = next((i, each) for i, each in enumerate(data) if type(each) not in taken)
        raise Unfit(f"expected {noun}, got {_KINDS.get(type(odd), 'something else')}", number)
    if dtype.kind == "O":
        return _texts(data)
    if dtype.kind == "f":
        return narrowed(_floats(data), dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = int(limits.min), int(limits.max)
        if min(data) < low or max(data) > high:
            odd = next(i for i, each in enumerate(data) if not low <= each <= high)
            raise Unfit(f"does not fit {datatype}: expected {low} to {high}", odd)
    return np.array(data, dtype)


def to_bytes(datatype: str, data: Sequence[Any]) -> bytes:
    """Write elements as little-endian bytes, as `from_bytes` reads them."""
    if datatype == "BYTES":
        texts = [text.encode() for text in data]
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    return np.array(data, DTYPES[datatype]).tobytes()


def narrowed(elements: Array, dtype: np.dtype[Any]) -> Array:
    """Round floats to this dtype. Raises Unfit for one beyond its range."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = elements.astype(dtype)
    limit = float(np.finfo(dtype).max)
    check(
        ~np.isinf(rounded),
        f"not a finite number that fits {dtype.name}: expected {-limit} to {limit}",
    )
    return rounded


def check(good: Array, reason: str) -> None:
    """Raise Unfit for the first element that is not good, if any."""
    if not good.all():
        raise Unfit(reason, int(np.argmin(good)))


def _floats(data: Sequence[Any]) -> Array:
    try:
        return np.array(data, np.float64)
    except OverflowError:  # an integer of more than 308 digits
        return np.array([_float(each) for each in data], np.float64)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _split(raw: bytes, count: int) -> list[bytes]:
    texts: list[bytes] = []
    at = 0
    while at < len(raw) and len(texts) < count:
        start = at + _LENGTH.size
        if start > len(raw):
            raise Unfit("its length is cut off", len(texts))
        at = start + int(_LENGTH.unpack_from(raw, at)[0])
        if at > len(raw):
            raise Unfit(f"longer than the {len(raw) - start} bytes that are left", len(texts))
        texts.append(raw[start:at])
    if len(texts) < count or at < len(raw):
        raise Unfit(
            f"{len(texts)} elements and {len(raw) - at} bytes more; the shape needs {count}"
        )
    return texts


def _texts(data: Sequence[Any]) -> Array:
    texts = np.empty(len(data), object)
    for number, each in enumerate(data):
        texts[number] = _text(each, number)
    return texts


def _text(value: str | bytes, number: int) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode()
        value.encode()
    except UnicodeError:
        raise Unfit("not text in UTF-8", number) from None
    return value


_NOUNS = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers", "O": "texts"}


def convert(elements: Array, dtype: np.dtype[Any]) -> Array:
    """Convert elements to this dtype, exactly. Raises Unfit for the first element that has no such value."""
    given, taken = elements.dtype.kind, dtype.kind
    if elements.dtype == dtype:
        return elements
    numeric = given in "iuf" and taken in "iuf"
    if not numeric:
        which = f" ({dtype.name})" if taken in "iuf" else ""
        raise Unfit(f"{_NOUNS[given]}; the model takes {_NOUNS[taken]}{which} here")
    if taken == "f":
        return _to_floats(elements, dtype)
    return _whole(elements, dtype) if given == "f" else _to_integers(elements, dtype)


def _to_floats(elements: Array, dtype: np.dtype[Any]) -> Array:
    if elements.dtype.kind == "f":
        return narrowed(elements, dtype)
    with np.errstate(over="ignore"):
        converted = elements.astype(dtype)
    largest = 2 ** (np.finfo(dtype).nmant + 1)  # up to here, each integer has an exact float
    if int(elements.max()) > largest or int(elements.min()) < -largest:
        # Python compares an integer with a float exactly.
        same = [a == b for a, b in zip(elements.tolist(), converted.tolist(), strict=True)]
        check(np.array(same), f"an integer that {dtype.name} cannot hold")
    return converted


def _whole(elements: Array, dtype: np.dtype[Any]) -> Array:
    check(np.floor(elements) == elements, f"not whole; the model takes {dtype.name} here")
    limits = np.iinfo(dtype)
    # The largest integer plus one is a power of two, and so an exact float; the largest may not be.
    low, beyond = float(limits.min), float(int(limits.max) + 1)
    check(
        (elements.astype(np.float64) >= low) & (elements.astype(np.float64) < beyond),
        f"does not fit {dtype.name}: expected {limits.min} to {limits.max}",
    )
    return elements.astype(dtype)


def _to_integers(elements: Array, dtype: np.dtype[Any]) -> Array:
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    if int(elements.min()) < low or int(elements.max()) > high:
        fits = np.array([low <= each <= high for each in elements.tolist()])
        check(fits, f"does not fit {dtype.name}: expected {low} to {high}")
    return elements.astype(dtype)
