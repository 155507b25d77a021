"""Validation: read a body that the fast decoder refused, and report every error by its feature."""

import math
import re
from collections import Counter
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unicodedata import normalize

from predictor.errors import FieldError, InvalidRecord, MalformedBody, TooManyRows
from predictor.model.json_text import JsonText
from predictor.model.signature import Feature, Value

_MAX_ERRORS = 100  # in one response
_MAX_CELLS = 1 << 20  # rows times features; a longer body may have one per byte
_MAX_ROWS = 1 << 16
_MAX_NAME_LENGTH = 100  # characters of a client's text that a response repeats
_MAX_EXACT = 2**53  # above it, float64 cannot hold every integer
_NOUNS = {
    "number": "a number",
    "integer": "an integer",
    "boolean": "true or false",
    "string": "a string",
}
_FORMS = {"features", "data", "instances", "inputs", "dataframe_split", "dataframe_records"}
_LISTS = (
    "/predict takes one object with each feature by its name; lists of values go to /invocations, as "
    "`inputs` or `dataframe_split`, or to /v2/models/NAME/infer, and several records to /predict/batch, "
    "as `instances`"
)
_SCALARS = (str, int, float, type(None))
_BETWEEN_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Fields:
    """The names that a record may have: the features, and names that are ignored.

    With `ignore_unknown`, all other names are ignored, too.
    """

    features: tuple[Feature, ...]
    ignored: frozenset[str] = frozenset()
    ignore_unknown: bool = False

    @cached_property
    def places(self) -> dict[str, int]:
        """The index of each feature by its name."""
        return {feature.name: place for place, feature in enumerate(self.features)}

    @cached_property
    def _by_plain_name(self) -> dict[str, list[str]]:
        named: dict[str, list[str]] = {}
        for feature in self.features:
            named.setdefault(_plain(feature.name), []).append(feature.name)
        return named

    def misspelt(self, unknown: Iterable[str], given: Container[Any]) -> list[tuple[str, str]]:
        """Pairs of an unknown name and a feature whose name differs only in case, spaces or punctuation.

        Features among the `given` names are left out. A name may be similar to several features.
        """
        return [
            (name, feature_name)
            for name in unknown
            for feature_name in self._by_plain_name.get(_plain(name), ())
            if feature_name not in given
        ]

    def suspicious(self, unknown: Sequence[str], given: Collection[str]) -> list[str]:
        """The unknown names to refuse even if unknown names are ignored: they may be misspelt features.

        Otherwise the model would treat a misspelt optional feature as missing.
        """
        if self.places.keys().isdisjoint(given):
            return list(unknown)
        if all(name in given for name in self.places):
            return []
        return [*dict(self.misspelt(unknown, given))]


def _plain(name: str) -> str:
    # Composed and decomposed letters look the same: keyboards write the former, file systems the latter.
    return _BETWEEN_WORDS.sub("", normalize("NFKC", name[:_MAX_NAME_LENGTH])).casefold()


class InvalidValue(Exception):
    """A value does not fit its feature; the message says why."""


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object in order, duplicates included."""


class _Errors:
    """Collects the errors of one body; raises them as soon as there are too many to report."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []
        self._hint = ""

    def add(self, errors: Iterable[FieldError], hint: str = "") -> None:
        self._errors += errors
        self._hint = self._hint or hint
        if len(self._errors) >= _MAX_ERRORS:
            self.check()

    def check(self) -> None:
        """Raise InvalidRecord if there are errors."""
        if self._errors:
            raise InvalidRecord(self._errors[:_MAX_ERRORS], self._hint)


def check_size(rows: int, features: int, body_bytes: int) -> None:
    """Raise TooManyRows if a short body means very many values, such as rows of missing values.

    A written value takes at least two bytes, and a row of one feature eight.
    """
    cells = max(_MAX_CELLS, body_bytes)
    if rows * features > cells or rows > max(_MAX_ROWS, body_bytes // 8):
        raise TooManyRows(rows, features)


def malformed(error: Exception) -> MalformedBody:
    """The error for a body that is not JSON, with the decoder's message."""
    if isinstance(error, RecursionError):
        return MalformedBody("the body is nested too deeply")
    return MalformedBody(f"the body is not valid JSON: {error}")


def read_record(body: bytes, fields: Fields) -> tuple[Value, ...]:
    """The values of one record. Raises MalformedBody, or InvalidRecord with every error."""
    errors = _Errors()
    try:
        parsed = JsonText(body.decode(), _Pairs).whole()
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None
    row = _row(parsed, fields, "", errors)
    errors.check()
    return row


def read_instances(body: bytes, fields: Fields) -> list[tuple[Value, ...]]:
    """The values of each record of `{"instances": [record, …]}`. Raises as `read_record`."""
    errors = _Errors()
    try:
        text = JsonText(body.decode(), _Pairs)
        rows = _instances(text, fields, errors, len(body))
        text.end()
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None
    errors.check()
    return rows


def _instances(
    text: JsonText, fields: Fields, errors: _Errors, size: int
) -> list[tuple[Value, ...]]:
    if not text.starts("{"):
        parsed = text.value()
        hint = _LISTS if isinstance(parsed, list) else ""
        errors.add(
            [FieldError("", f"expected an object with `instances`, got {_kind(parsed)}")], hint
        )
        return []
    rows: list[tuple[Value, ...]] | None = None
    given = Counter[str]()
    for name in text.members():
        given[name] += 1
        if name != "instances":
            text.value()
            if given[name] == 1:
                hint = _LISTS if name in _FORMS else ""
                errors.add([FieldError(short_name(name), "unknown field")], hint)
        elif given[name] == 1 and text.starts("["):
            rows = _rows(text, fields, errors, size)
        else:
            _refuse_instances(text.value(), given[name], errors)
    if not given["instances"]:
        errors.add([FieldError("instances", "missing")])
    elif rows == [] and given["instances"] == 1:
        errors.add([FieldError("instances", "expected at least one record")])
    return rows or []


def _rows(text: JsonText, fields: Fields, errors: _Errors, size: int) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    for _ in text.elements():
        check_size(len(rows) + 1, len(fields.features), size)
        rows.append(_row(text.value(), fields, f"instances[{len(rows)}]", errors))
    return rows


def _refuse_instances(value: Any, times: int, errors: _Errors) -> None:
    if times == 1:
        errors.add([FieldError("instances", f"expected a list of records, got {_kind(value)}")])
    elif times == 2:  # noqa: PLR2004
        errors.add([FieldError("instances", "given twice")])


def _row(parsed: Any, fields: Fields, place: str, errors: _Errors) -> tuple[Value, ...]:
    """The values of one record; incomplete if there are errors."""
    if not isinstance(parsed, _Pairs):
        detail = f"expected an object with feature names as keys, got {_kind(parsed)}"
        errors.add([FieldError(place, detail)], _LISTS if isinstance(parsed, list) else "")
        return ()
    prefix = f"{place}." if place else ""
    values = dict(parsed)
    duplicates = _duplicates(parsed) if len(values) < len(parsed) else frozenset()
    unknown = [n for n in values if n not in fields.places and n not in fields.ignored]
    hint = _hint(unknown[:_MAX_ERRORS], values, fields)
    if fields.ignore_unknown:
        unknown = fields.suspicious(unknown, values)
    row: list[Value] = []
    found: list[FieldError] = []
    for feature in fields.features:
        try:
            row.append(_value(feature, values, duplicates))
        except InvalidValue as error:
            found.append(FieldError(prefix + feature.name, str(error)))
    found += [
        FieldError(prefix + short_name(name), "unknown feature") for name in unknown[:_MAX_ERRORS]
    ]
    if fields.ignored:
        found += _ignored_errors(fields.ignored, values, duplicates, prefix)
    errors.add(found, hint)
    return tuple(row)


def _duplicates(pairs: _Pairs) -> frozenset[str]:
    return frozenset(n for n, times in Counter(name for name, _ in pairs).items() if times > 1)


def _value(feature: Feature, values: Mapping[str, Any], duplicates: Container[str]) -> Value:
    if feature.name in duplicates:
        raise InvalidValue("given twice")
    if feature.name not in values and feature.required:
        raise InvalidValue("missing")
    return parse_value(values.get(feature.name), feature)


def _ignored_errors(
    ignored: Iterable[str], values: Mapping[str, Any], duplicates: Container[str], prefix: str
) -> Iterator[FieldError]:
    for name in ignored:
        if name in duplicates:
            yield FieldError(prefix + name, "given twice")
        elif not isinstance(values.get(name), _SCALARS):
            yield FieldError(prefix + name, f"expected a single value, got {_kind(values[name])}")


def _hint(unknown: Sequence[str], values: Mapping[str, Any], fields: Fields) -> str:
    """A sentence that says what the caller probably meant; empty if that is unknown."""
    if not unknown:
        return ""
    alike = fields.misspelt(unknown, values)
    if alike and len(dict(alike)) == len(alike):  # else the name is like several features
        name, feature_name = alike[0]
        more = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        return f"the names differ only in spelling: send `{feature_name}`, not `{name}`{more}"
    listed = any(isinstance(values[name], list) or name in _FORMS for name in unknown)
    return _LISTS if listed and not fields.places.keys() & values.keys() else ""


def parse_value(value: Any, feature: Feature) -> Value:
    """A JSON value as a value of this feature; None is a missing value. Raises InvalidValue.

    A missing value becomes the feature's `missing` if it is optional. A float without a fraction may be an
    integer. A boolean that the graph takes as a number may be 0 or 1.
    """
    if value is None and not feature.required:
        return feature.missing
    if feature.type in {"number", "integer"}:
        return _number(value, feature)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if feature.type == "boolean" and feature.dtype != "bool" and numeric and value in (0, 1):
        return bool(value)
    if not isinstance(value, bool if feature.type == "boolean" else str):
        raise InvalidValue(f"expected {_NOUNS[feature.type]}, got {_kind(value)}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidValue("not Unicode text: half of a surrogate pair") from None
        if not feature.required and value == feature.missing:
            raise InvalidValue("stands for a missing value in this model: send null")
    return value


def _number(value: Any, feature: Feature) -> float | int:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidValue(f"expected {_NOUNS[feature.type]}, got {_kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        hint = "" if feature.required else "; a missing value is null"
        raise InvalidValue(f"not a finite number that fits 64 bits{hint}")
    if feature.type == "integer" and isinstance(value, float):
        value = to_integer(value)
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None and not low <= value <= high:
        raise InvalidValue(f"does not fit {feature.dtype}: expected {low} to {high}")
    return value if feature.type == "integer" else float(value)


def to_integer(value: float) -> int:
    """A float as an integer. Raises InvalidValue if it has a fraction or may have been rounded."""
    if not value.is_integer():
        raise InvalidValue("expected an integer, got a number with a fraction")
    if abs(value) >= _MAX_EXACT:
        raise InvalidValue(
            "not exact: write an integer of this size without a fraction or an exponent"
        )
    return int(value)


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
    """A name from a client, safe to echo: of bounded length, and valid Unicode."""
    # A lone surrogate cannot be written as UTF-8, so it is shown as its escape.
    plain = name.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= _MAX_NAME_LENGTH else plain[:_MAX_NAME_LENGTH] + "…"
