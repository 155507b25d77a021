"""From a table to rows of the serving version: MLflow's schema enforcement, and stricter rules."""

import re
from collections import Counter
from collections.abc import Callable, Container, Hashable, Sequence
from typing import Any

from predictor.model.servable import Servable
from predictor.model.signature import Feature, Port, Row, Value
from predictor.model.validation import Fields, InvalidValue, check_size, to_integer
from predictor.protocols.mlflow_scoring.errors import InvalidInput, SchemaNotMet
from predictor.protocols.mlflow_scoring.tables import ABSENT, Table

_NUMBER = re.compile(r"[ \t\n]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t\n]*")
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
MAX_NUMBER_LENGTH = 400  # characters
_NOUNS = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "string": "a text",
}


class _Unusable(Exception):
    """Why the feature does not take a value."""


def convert(values: Sequence[Any], feature: Feature, *, texts: bool) -> Sequence[Value]:
    """The values of one column, in order; `texts` as in `Table`. Raises InvalidInput, which names column and row."""
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
            converted.append(feature.missing)
            continue
        try:
            converted.append(_within(one(value, texts), feature))
        except _Unusable as reason:
            raise InvalidInput(f"column {feature.name}, row {row}: {reason}") from None
    return converted


def _within(value: Value, feature: Feature) -> Value:
    low, high = feature.minimum, feature.maximum
    if value != value and not feature.required:  # noqa: PLR0124  NaN, of a text
        return value
    if low is not None and high is not None and not low <= value <= high:  # type: ignore[operator]
        raise _Unusable(f"not finite, or does not fit {feature.dtype}")
    return value


def _number(value: Any, texts: bool) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _Unusable("not finite, or does not fit 64 bits") from None
    if isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH:
        try:
            if not texts or _NUMBER.fullmatch(value):
                return float(value)
        except ValueError:
            pass  # refused below
    raise _other(value, "number")


def _integer(value: Any, texts: bool) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            if len(value) <= MAX_NUMBER_LENGTH and (not texts or _NUMBER.fullmatch(value)):
                return int(value)
        except ValueError:
            pass  # it may be a number that ends in .0
    try:
        return to_integer(_number(value, texts))
    except InvalidValue as fault:
        raise _Unusable(str(fault)) from None


def _boolean(value: Any, texts: bool) -> bool:
    if isinstance(value, bool):
        return value
    if texts and isinstance(value, str) and value in _TRUTHS:
        return _TRUTHS[value]
    raise _other(value, "boolean")


def _truth(value: Any, texts: bool) -> bool:
    """For a boolean that the graph takes as a number: 0 and 1 are allowed, too."""
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
        raise _Unusable("not Unicode text: half of a surrogate pair") from None
    return value


_CONVERT: dict[str, Callable[[Any, bool], Value]] = {
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "string": _string,
}


def _other(value: Any, expected: str) -> _Unusable:
    if value is ABSENT or value is None:
        return _Unusable("missing" if value is ABSENT else "null")
    kinds = {bool: "a boolean", list: "a list", dict: "an object", str: "another text"}
    return _Unusable(f"expected {_NOUNS[expected]}, got {kinds.get(type(value), 'a number')}")


def rows_of(table: Table, servable: Servable, body_bytes: int) -> list[Row]:
    """The rows of a table, from a body of this size.

    Raises InvalidInput, SchemaNotMet or TooManyRows.
    """
    features = servable.signature.features
    check_size(table.count, len(features), body_bytes)
    chosen = _columns(table, servable)
    if not table.count:
        raise InvalidInput("there are no rows; send at least one")
    values = [
        convert(column, feature, texts=table.texts)
        for column, feature in zip(chosen, features, strict=True)
    ]
    return [*zip(*values, strict=True)]


def _columns(table: Table, servable: Servable) -> list[list[Any]]:
    """One column for each feature, in the order of the features."""
    features, declared = servable.signature.features, servable.python_function.inputs
    known = set(table.names)
    named = _partly_known(known, features)
    missing = [
        feature.name
        for feature in features
        # If no name is a feature, columns may be matched by position: nothing is missing.
        if feature.name not in known and (feature.required or (known and not named))
    ]
    ports = servable.signature.ports
    _check_once(table.names, [*(f.name for f in features), *(p.name for p in ports)])
    if declared in {"none", "tensors"} and known >= {port.name for port in ports}:
        return _of_tensors(table, ports, len(features))
    misspelt = _misspelt(table, known, servable.decoder.fields)
    if not missing and not misspelt:
        return [_column(table, feature.name, known) for feature in features]
    if declared in {"columns", "tensors"} or named or misspelt:
        missing = missing or [meant for _, meant in misspelt]
        hint = "".join(f"; send {m!r}, not {n!r}" for n, m in misspelt[:1])
        raise SchemaNotMet(f"missing columns: {missing}{_unknown(known, features)}{hint}")
    if len(table.names) != len(features):
        reason = f"rows have {len(table.names)} values; the model takes {len(features)}"
        raise InvalidInput(reason) if declared == "none" else SchemaNotMet(reason)
    if len(set(table.names)) < len(table.names):
        raise InvalidInput("two columns have the same name; give each one its own")
    return [table.column(name) for name in table.names]


def _column(table: Table, name: str, known: Container[Hashable]) -> list[Any]:
    return table.column(name) if name in known else [ABSENT] * table.count


def _misspelt(table: Table, known: set[Hashable], fields: Fields) -> list[tuple[str, str]]:
    """Pairs of an unknown name and the feature that it differs from only in spelling, where a row lacks that feature."""
    texts = [name for name in table.names if isinstance(name, str) and name not in fields.places]
    return [
        (name, meant)
        for name, meant in fields.misspelt(texts, ())
        if meant not in known or ABSENT in table.column(meant)
    ]


def _partly_known(known: set[Hashable], features: Sequence[Feature]) -> bool:
    """Whether some names are features: then the other columns cannot be matched by position."""
    return any(feature.name in known for feature in features)


def _check_once(names: Sequence[Hashable], wanted: Sequence[str]) -> None:
    if len(set(names)) == len(names):
        return
    given = Counter(names)
    if twice := [name for name in dict.fromkeys(wanted) if given[name] > 1]:
        raise SchemaNotMet(f"columns given twice: {twice}; send each once")


def _unknown(known: set[Hashable], features: Sequence[Feature]) -> str:
    """The number of unknown names. They are not repeated: in CSV without names, they are a patient's values."""
    unknown = known - {feature.name for feature in features}
    if not unknown:
        return ""
    hint = "; is the line of names missing?" if any(map(_reads_as_number, unknown)) else ""
    return f"; unknown columns: {len(unknown)}{hint}"


def _reads_as_number(name: Hashable) -> bool:
    if not isinstance(name, str):
        return False
    try:
        float(name)
    except ValueError:
        return False
    return True


def _of_tensors(table: Table, ports: Sequence[Port], width: int) -> list[list[Any]]:
    """The columns of a table that has one column for each input of the graph, [N] or [N, width] each."""
    columns = []
    for port in ports:
        cells = table.column(port.name)
        wide = port.width or width
        rows = [[cell] if wide == 1 and not isinstance(cell, list) else cell for cell in cells]
        if not all(isinstance(row, list) and len(row) == wide for row in rows):
            if ABSENT in rows:
                raise InvalidInput(f"a row has no {port.name}; send it in each row")
            raise SchemaNotMet(f"input {port.name}: each row must have {wide} value(s)")
        columns += [[row[place] for row in rows] for place in range(wide)]
    return columns
