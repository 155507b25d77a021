"""What is wrong with a body, fault by fault and by name. Off the fast way: it may take its time."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from predictor.errors import FieldError, InvalidRecord, MalformedBody, RequestError
from predictor.signature import Feature

_MOST_FAULTS = 100  # an answer that lists more helps nobody
_LONGEST_INTEGER = 400  # digits; the largest float64 has 309
_LONGEST_NAME = 100  # a client's own text is not echoed at length
_NOUNS = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "string": "a string",
}


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its names in order, duplicates included."""


def malformed(error: Exception) -> MalformedBody:
    """The fault for a body that is not JSON, in the decoder's words."""
    if isinstance(error, RecursionError):
        return MalformedBody("the body is nested too deeply")
    return MalformedBody(f"the body is not valid JSON: {error}")


def of_record(body: bytes, features: Sequence[Feature]) -> RequestError | None:
    """Why `body` is not one record of these features; None if nothing is wrong with it."""
    return _explain(body, lambda parsed: _record_faults(parsed, features, ""))


def of_instances(body: bytes, features: Sequence[Feature]) -> RequestError | None:
    """Why `body` is not `{"instances": [record, …]}` of these features; None if nothing is."""
    return _explain(body, lambda parsed: _instances_faults(parsed, features))


def _explain(body: bytes, find: Callable[[Any], Iterator[FieldError]]) -> RequestError | None:
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_Pairs, parse_int=_integer)
        found = [error for error, _ in zip(find(parsed), range(_MOST_FAULTS), strict=False)]
    except (ValueError, RecursionError) as error:
        return malformed(error)
    return InvalidRecord(found) if found else None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else math.inf


def _instances_faults(parsed: Any, features: Sequence[Feature]) -> Iterator[FieldError]:
    if not isinstance(parsed, _Pairs):
        yield FieldError("", f"expected an object with `instances`, got {_kind(parsed)}")
        return
    names = [name for name, _ in parsed]
    yield from (
        FieldError(short_name(n), "unknown field") for n in dict.fromkeys(names) if n != "instances"
    )
    if names.count("instances") != 1:
        yield FieldError("instances", "given twice" if "instances" in names else "missing")
        return
    rows = dict(parsed)["instances"]
    if isinstance(rows, _Pairs) or not isinstance(rows, list):
        yield FieldError("instances", f"expected a list of records, got {_kind(rows)}")
    elif not rows:
        yield FieldError("instances", "expected at least one record")
    else:
        for i, row in enumerate(rows):
            yield from _record_faults(row, features, f"instances[{i}]")


def _record_faults(parsed: Any, features: Sequence[Feature], place: str) -> Iterator[FieldError]:
    if not isinstance(parsed, _Pairs):
        yield FieldError(
            place, f"expected an object with feature names as keys, got {_kind(parsed)}"
        )
        return
    prefix = f"{place}." if place else ""
    values = dict(parsed)
    given = Counter(name for name, _ in parsed)
    known = {feature.name for feature in features}
    for feature in features:
        field = prefix + feature.name
        if feature.name not in values:
            yield FieldError(field, "missing")
        elif given[feature.name] > 1:
            yield FieldError(field, "given twice")
        elif message := _value_fault(values[feature.name], feature):
            yield FieldError(field, message)
    for name in values:
        if name not in known:
            yield FieldError(prefix + short_name(name), "unknown feature")


def _value_fault(value: Any, feature: Feature) -> str | None:
    expected = _NOUNS[feature.type]
    numeric = feature.type in {"number", "integer"}
    taken = (int, float) if numeric else (bool if feature.type == "boolean" else str)
    # bool is a kind of int in Python, and not in JSON.
    if not isinstance(value, taken) or (numeric and isinstance(value, bool)):
        return f"expected {expected}, got {_kind(value)}"
    if numeric:
        return _number_fault(value, feature)
    return _text_fault(value) if isinstance(value, str) else None


def _text_fault(value: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return "not Unicode text: half of a surrogate pair"
    return None


def _number_fault(value: Any, feature: Feature) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number that fits 64 bits"
    if feature.type == "integer" and isinstance(value, float):
        return "expected an integer, got a number with a fraction or an exponent"
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None and not low <= value <= high:
        return f"does not fit {feature.dtype}: expected {low} to {high}"
    return None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, _Pairs):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "a string" if isinstance(value, str) else "a number"


def short_name(name: str) -> str:
    """A name that a client gave, fit to be told: of bounded length, and Unicode."""
    # A lone surrogate cannot be written as UTF-8, so it is shown as its escape.
    plain = name.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= _LONGEST_NAME else plain[:_LONGEST_NAME] + "…"
