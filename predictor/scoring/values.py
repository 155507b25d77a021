"""Values of a column, as the feature takes them: what MLflow converts without loss is converted too."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from predictor.records.faults import Unfit, whole
from predictor.scoring.scoring_errors import InvalidInput
from predictor.scoring.tables import ABSENT
from predictor.signature import Feature, Value

_NUMBER = re.compile(r"[ \t\n]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\n]*")
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LONGEST = 400  # characters of a number
_NOUNS = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "string": "a text",
}


class _Refused(Exception):
    """Why a value is none that the feature takes."""


def convert(values: Sequence[Any], feature: Feature, *, texts: bool) -> Sequence[Value]:
    """The values of one column, in order. Raises InvalidInput, which names the feature and the row.

    `texts` says that they are text, which stands for numbers and the like: CSV.
    """
    low, high = feature.minimum, feature.maximum
    plain = feature.type == "number" and set(map(type, values)) <= {float}
    if plain and all(low <= value <= high for value in values):
        return values
    one = _CONVERT[feature.type]
    if feature.type == "boolean" and feature.dtype != "bool":
        one = _truth
    converted: list[Value] = []
    for row, value in enumerate(values):
        if not feature.required and (value is ABSENT or value is None or value != value):  # noqa: PLR0124
            converted.append(math.nan)
            continue
        try:
            converted.append(_within(one(value, texts), feature))
        except _Refused as refused:
            raise InvalidInput(
                "Invalid input. Data is not compatible with model signature. Failed to convert column "
                f"{feature.name} to type '{feature.dtype}': row {row}: {refused}"
            ) from None
    return converted


def _within(value: Value, feature: Feature) -> Value:
    low, high = feature.minimum, feature.maximum
    if value != value and not feature.required:  # noqa: PLR0124  NaN, of a text
        return value
    if low is not None and high is not None and not low <= value <= high:  # type: ignore[operator]
        raise _Refused(f"not finite, or does not fit {feature.dtype}")
    return value


def _number(value: Any, texts: bool) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _Refused("not finite, or does not fit 64 bits") from None
    if isinstance(value, str) and len(value) <= _LONGEST:
        try:
            if not texts or _NUMBER.fullmatch(value):
                return float(value)
        except ValueError:
            pass  # it is refused below, as what is no text
    raise _other(value, "number")


def _integer(value: Any, texts: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            if len(value) <= _LONGEST and (not texts or _NUMBER.fullmatch(value)):
                return int(value)
        except ValueError:
            pass  # it may be a number that ends in .0
    try:
        return whole(_number(value, texts))
    except Unfit as fault:
        raise _Refused(str(fault)) from None


def _boolean(value: Any, texts: bool) -> bool:
    if isinstance(value, bool):
        return value
    if texts and isinstance(value, str) and value in _TRUTHS:
        return _TRUTHS[value]
    raise _other(value, "boolean")


def _truth(value: Any, texts: bool) -> bool:
    """Of a boolean that the graph takes as a number, which may be 0 or 1."""
    if isinstance(value, bool) or (texts and isinstance(value, str) and value in _TRUTHS):
        return _boolean(value, texts)
    if (number := _number(value, texts)) in (0, 1):
        return bool(number)
    raise _other(value, "boolean")


def _string(value: Any, texts: bool) -> str:  # noqa: ARG001
    if not isinstance(value, str):
        raise _other(value, "string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Refused("not Unicode text: half of a surrogate pair") from None
    return value


_CONVERT: dict[str, Callable[[Any, bool], Value]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "string": _string,
}


def _other(value: Any, expected: str) -> _Refused:
    if value is ABSENT or value is None:
        return _Refused("missing" if value is ABSENT else "null")
    kinds = {bool: "a boolean", list: "a list", dict: "an object", str: "another text"}
    return _Refused(f"expected {_NOUNS[expected]}, got {kinds.get(type(value), 'a number')}")
