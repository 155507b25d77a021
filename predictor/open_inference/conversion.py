"""Conversion of what a client sent to the dtype that a graph takes: exact, or not at all.

One thing may round: a float of more bits than the graph's, as each number of a record does.
"""

from typing import Any

import numpy as np

from predictor.open_inference.datatypes import Array, Unfit, check, narrowed

_NOUNS = {"b": "booleans", "i": "integers", "u": "integers", "f": "numbers", "O": "texts"}


def convert(elements: Array, dtype: np.dtype[Any]) -> Array:
    """The same values in this dtype. Raises Unfit, which numbers the element that has no such value."""
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
    every = 2 ** (np.finfo(dtype).nmant + 1)  # so far, each integer is a float
    if int(elements.max()) > every or int(elements.min()) < -every:
        # Python compares an integer with a float exactly.
        same = [a == b for a, b in zip(elements.tolist(), converted.tolist(), strict=True)]
        check(np.array(same), f"an integer that no {dtype.name} is")
    return converted


def _whole(elements: Array, dtype: np.dtype[Any]) -> Array:
    check(np.floor(elements) == elements, f"not whole; the model takes {dtype.name} here")
    limits = np.iinfo(dtype)
    # One more than the largest is a power of two, and so a float, which the largest may not be.
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
