"""The slow way to read bodies: to rows, or to every fault by name. Off the fast way: it may take its time."""

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

_MAX_FAULTS = 100  # an answer that lists more helps nobody
_MAX_CELLS = 1 << 20  # of any body; a longer one may have as many as it has bytes
_MAX_ROWS = 1 << 16
_LONGEST_NAME = 100  # a client's own text is not echoed at length
_EXACT = 2**53  # from here on, not every integer is a float
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
    """What the members of a record may be: the features, and names that are ignored.

    `ignore_unknown` says that all other names are ignored, too.
    """

    features: tuple[Feature, ...]
    ignored: frozenset[str] = frozenset()
    ignore_unknown: bool = False

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each feature by its name."""
        return {feature.name: place for place, feature in enumerate(self.features)}

    @cached_property
    def _by_plain_name(self) -> dict[str, list[str]]:
        named: dict[str, list[str]] = {}
        for feature in self.features:
            named.setdefault(_plain(feature.name), []).append(feature.name)
        return named

    def misspelt(self, unknown: Iterable[str], given: Container[Any]) -> list[tuple[str, str]]:
        """Unknown names that are those of features but for case, spaces and punctuation, and the features.

        Only features that are not among the `given` names count. A name may be that of several.
        """
        return [
            (name, meant)
            for name in unknown
            for meant in self._by_plain_name.get(_plain(name), ())
            if meant not in given
        ]

    def suspicious(self, unknown: Sequence[str], given: Collection[str]) -> list[str]:
        """Unknown names that are refused even where such are ignored: a feature may have been meant.

        Otherwise a misspelt feature that may be missing would be taken for a missing one.
        """
        if self.places.keys().isdisjoint(given):
            return list(unknown)
        if all(name in given for name in self.places):
            return []
        return [*dict(self.misspelt(unknown, given))]


def _plain(name: str) -> str:
    # Composed and decomposed letters look the same: keyboards write the one, file systems the other.
    return _BETWEEN_WORDS.sub("", normalize("NFKC", name[:_LONGEST_NAME])).casefold()


class Unfit(Exception):
    """Why a value is none that a feature takes."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its names in order, duplicates included."""


class _Found:
    """The faults of one body: reading ends with the last that is reported."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []
        self._hint = ""

    def add(self, errors: Iterable[FieldError], hint: str = "") -> None:
        self._errors += errors
        self._hint = self._hint or hint
        if len(self._errors) >= _MAX_FAULTS:
            self.check()

    def check(self) -> None:
        """Raise InvalidRecord if there are any."""
        if self._errors:
            raise InvalidRecord(self._errors[:_MAX_FAULTS], self._hint)


def check_size(rows: int, features: int, body_bytes: int) -> None:
    """Raise TooManyRows where a body says little and means much: such as rows of missing values.

    A value that is written takes two bytes, and a row of one feature eight.
    """
    cells = max(_MAX_CELLS, body_bytes)
    if rows * features > cells or rows > max(_MAX_ROWS, body_bytes // 8):
        raise TooManyRows(rows, features)


def malformed(error: Exception) -> MalformedBody:
    """The fault for a body that is not JSON, in the decoder's words."""
    if isinstance(error, RecursionError):
        return MalformedBody("the body is nested too deeply")
    return MalformedBody(f"the body is not valid JSON: {error}")


def read_record(body: bytes, fields: Fields) -> tuple[Value, ...]:
    """The values of one record. Raises MalformedBody, or InvalidRecord with every fault."""
    found = _Found()
    try:
        parsed = JsonText(body.decode(), _Pairs).whole()
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None
    row = _row(parsed, fields, "", found)
    found.check()
    return row


def read_instances(body: bytes, fields: Fields) -> list[tuple[Value, ...]]:
    """The values of each record of `{"instances": [record, …]}`. Raises as `read_record`.

    Reading ends once more faults are found than are reported.
    """
    found = _Found()
    try:
        text = JsonText(body.decode(), _Pairs)
        rows = _instances(text, fields, found, len(body))
        text.end()
    except (ValueError, RecursionError) as error:
        raise malformed(error) from None
    found.check()
    return rows


def _instances(text: JsonText, fields: Fields, found: _Found, size: int) -> list[tuple[Value, ...]]:
    if not text.starts("{"):
        parsed = text.value()
        hint = _LISTS if isinstance(parsed, list) else ""
        found.add(
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
                found.add([FieldError(short_name(name), "unknown field")], hint)
        elif given[name] == 1 and text.starts("["):
            rows = _rows(text, fields, found, size)
        else:
            _refuse_instances(text.value(), given[name], found)
    if not given["instances"]:
        found.add([FieldError("instances", "missing")])
    elif rows == [] and given["instances"] == 1:
        found.add([FieldError("instances", "expected at least one record")])
    return rows or []


def _rows(text: JsonText, fields: Fields, found: _Found, size: int) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    for _ in text.elements():
        check_size(len(rows) + 1, len(fields.features), size)
        rows.append(_row(text.value(), fields, f"instances[{len(rows)}]", found))
    return rows


def _refuse_instances(value: Any, times: int, found: _Found) -> None:
    if times == 1:
        found.add([FieldError("instances", f"expected a list of records, got {_kind(value)}")])
    elif times == 2:  # noqa: PLR2004
        found.add([FieldError("instances", "given twice")])


def _row(parsed: Any, fields: Fields, place: str, found: _Found) -> tuple[Value, ...]:
    """The values of one record, which mean nothing where faults were found."""
    if not isinstance(parsed, _Pairs):
        said = f"expected an object with feature names as keys, got {_kind(parsed)}"
        found.add([FieldError(place, said)], _LISTS if isinstance(parsed, list) else "")
        return ()
    prefix = f"{place}." if place else ""
    values = dict(parsed)
    twice = _twice(parsed) if len(values) < len(parsed) else frozenset()
    unknown = [n for n in values if n not in fields.places and n not in fields.ignored]
    hint = _hint(unknown[:_MAX_FAULTS], values, fields)
    if fields.ignore_unknown:
        unknown = fields.suspicious(unknown, values)
    row: list[Value] = []
    faults: list[FieldError] = []
    for feature in fields.features:
        try:
            row.append(_value(feature, values, twice))
        except Unfit as fault:
            faults.append(FieldError(prefix + feature.name, str(fault)))
    faults += [
        FieldError(prefix + short_name(name), "unknown feature") for name in unknown[:_MAX_FAULTS]
    ]
    if fields.ignored:
        faults += _ignored_faults(fields.ignored, values, twice, prefix)
    found.add(faults, hint)
    return tuple(row)


def _twice(pairs: _Pairs) -> frozenset[str]:
    return frozenset(n for n, times in Counter(name for name, _ in pairs).items() if times > 1)


def _value(feature: Feature, values: Mapping[str, Any], twice: Container[str]) -> Value:
    if feature.name in twice:
        raise Unfit("given twice")
    if feature.name not in values and feature.required:
        raise Unfit("missing")
    return settled(values.get(feature.name), feature)


def _ignored_faults(
    ignored: Iterable[str], values: Mapping[str, Any], twice: Container[str], prefix: str
) -> Iterator[FieldError]:
    for name in ignored:
        if name in twice:
            yield FieldError(prefix + name, "given twice")
        elif not isinstance(values.get(name), _SCALARS):
            yield FieldError(prefix + name, f"expected a single value, got {_kind(values[name])}")


def _hint(unknown: Sequence[str], values: Mapping[str, Any], fields: Fields) -> str:
    """A sentence on what the caller probably meant; empty where that is not known."""
    if not unknown:
        return ""
    alike = fields.misspelt(unknown, values)
    if alike and len(dict(alike)) == len(alike):  # else one of several may have been meant
        name, meant = alike[0]
        more = f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        return f"the names differ only in spelling: send `{meant}`, not `{name}`{more}"
    listed = any(isinstance(values[name], list) or name in _FORMS for name in unknown)
    return _LISTS if listed and not fields.places.keys() & values.keys() else ""


def settled(value: Any, feature: Feature) -> Value:
    """The value of a feature, from one of JSON; None is a missing one. Raises Unfit.

    A missing value is NaN where the feature may be missing. What is exactly whole is an integer. A
    boolean that the graph takes as a number may be 0 or 1.
    """
    if value is None and not feature.required:
        return math.nan
    if feature.type in {"number", "integer"}:
        return _number(value, feature)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if feature.type == "boolean" and feature.dtype != "bool" and numeric and value in (0, 1):
        return bool(value)
    if not isinstance(value, bool if feature.type == "boolean" else str):
        raise Unfit(f"expected {_NOUNS[feature.type]}, got {_kind(value)}")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Unfit("not Unicode text: half of a surrogate pair") from None
    return value


def _number(value: Any, feature: Feature) -> float | int:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Unfit(f"expected {_NOUNS[feature.type]}, got {_kind(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        asked = "" if feature.required else "; a missing value is null"
        raise Unfit(f"not a finite number that fits 64 bits{asked}")
    if feature.type == "integer" and isinstance(value, float):
        value = whole(value)
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None and not low <= value <= high:
        raise Unfit(f"does not fit {feature.dtype}: expected {low} to {high}")
    return value if feature.type == "integer" else float(value)


def whole(value: float) -> int:
    """The integer that a float is. Raises Unfit where it has a fraction, or may have been rounded."""
    if not value.is_integer():
        raise Unfit("expected an integer, got a number with a fraction")
    if abs(value) >= _EXACT:
        raise Unfit("not exact: write an integer of this size without a fraction or an exponent")
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
    """A name that a client gave, fit to be told: of bounded length, and Unicode."""
    # A lone surrogate cannot be written as UTF-8, so it is shown as its escape.
    plain = name.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= _LONGEST_NAME else plain[:_LONGEST_NAME] + "…"
