"""Ranges: warn about values that are outside the training data; feature profiles and background rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.model.signature import Feature, Row, Signature, Value
from predictor.model.validation import InvalidValue, parse_value

_MAX_ROWS = 1000  # of a background; an explanation computes with all of them
_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Text = Annotated[str, msgspec.Meta(max_length=1000)]


class FeatureProfile(msgspec.Struct, frozen=True):
    """A description of one feature, and the minimum, median and maximum of its training values.

    Booleans and strings have none of the three. `minimum` and `maximum` are both set, or both None.
    """

    name: str
    group: _Name | None = None
    description: _Text | None = None
    unit: _Name | None = None
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None


def check_profiles(profiles: Sequence[FeatureProfile], features: Sequence[Feature]) -> None:
    """Raise LoadError (stage `signature`) unless there is one valid profile per feature, or none at all."""
    if not profiles:
        return
    if [profile.name for profile in profiles] != [feature.name for feature in features]:
        raise LoadError(
            "signature", "the graph's feature_profiles are not of its features, in order"
        )
    for profile, feature in zip(profiles, features, strict=True):
        if fault := _fault(profile, feature):
            raise LoadError("signature", f"feature_profiles of {feature.name!r}: {fault}")


def _fault(profile: FeatureProfile, feature: Feature) -> str | None:
    low, median, high = profile.minimum, profile.median, profile.maximum
    given = [value for value in (low, median, high) if value is not None]
    if given and feature.dtype in {"bool", "string"}:
        return f"a {feature.type} has no minimum, median or maximum"
    if (low is None) != (high is None):
        return "it has one of minimum and maximum without the other"
    if given != sorted(given):
        return "minimum, median and maximum must be in this order"
    least, most = feature.minimum, feature.maximum
    if least is not None and most is not None and not all(least <= v <= most for v in given):
        return f"its numbers must fit {feature.dtype}"
    return None


def read_background(
    rows: Sequence[Sequence[Any]], features: Sequence[Feature]
) -> tuple[tuple[Value, ...], ...]:
    """The rows, with each value converted to its feature's type.

    Raises LoadError (stage `signature`) for rows that do not fit the features, and for too many rows.
    """
    if len(rows) > _MAX_ROWS:
        raise LoadError("signature", f"the graph's background has over {_MAX_ROWS} rows")
    return tuple(_background_row(row, features, number) for number, row in enumerate(rows, 1))


def _background_row(
    row: Sequence[Any], features: Sequence[Feature], number: int
) -> tuple[Value, ...]:
    if len(row) != len(features):
        raise LoadError(
            "signature",
            f"the graph's background is not rows of its features: row {number} has {len(row)} values",
        )
    values = []
    for value, feature in zip(row, features, strict=True):
        try:
            values.append(parse_value(value, feature))
        except InvalidValue as fault:
            # The message does not quote the value, which belongs to a patient.
            raise LoadError(
                "signature",
                f"the graph's background is not rows of its features: row {number}, "
                f"{feature.name!r}: {fault}",
            ) from None
    return tuple(values)


_ROUND: dict[str, Callable[[Any], Any]] = {"float16": np.float16, "float32": np.float32}
_LARGEST = float(np.finfo(np.float32).max)


class OutOfRange(msgspec.Struct, frozen=True):
    """A warning: a value is below the `minimum` of the training data, or above its `maximum`.

    `value` is the graph's input: a float32 is written with the fewest digits that identify it.
    """

    feature: str
    value: float | int
    minimum: float
    maximum: float
    message: str


Warnings = dict[int, list[OutOfRange]]
"""The warnings of each row that has some, by row index, in the order of the features."""


def features_in_range(
    features: Sequence[Feature], profiles: Sequence[FeatureProfile]
) -> tuple[Feature, ...]:
    """The features, each limited to the float64 values that are in its training range as a float32.

    Empty unless all features are float32 numbers: a decoder can only compare those.
    """
    if not profiles or any((f.type, f.dtype) != ("number", "float32") for f in features):
        return ()
    return tuple(map(_in_range, features, profiles))


def _in_range(feature: Feature, profile: FeatureProfile) -> Feature:
    if profile.minimum is None or profile.maximum is None:
        return feature
    low, high = _outermost(profile.minimum, -np.inf), _outermost(profile.maximum, np.inf)
    return replace(feature, minimum=low, maximum=high)


def _outermost(value: float, towards: float) -> float:
    """The float64 farthest from `value`, towards -inf or inf, that rounds to the same float32."""
    single = np.float32(value)
    if abs(single) == _LARGEST and (single > 0) == (towards > 0):  # there is no float32 beyond it
        return float(single)
    between = (float(single) + float(np.nextafter(single, np.float32(towards)))) / 2
    return between if np.float32(between) == single else float(np.nextafter(between, -towards))


class Ranges:
    """The training ranges of one version's features. Without profiles, no value is outside."""

    def __init__(self, signature: Signature, profiles: Sequence[FeatureProfile]) -> None:
        self._signature = signature
        self._profiles = profiles
        self._columns = [c for c, each in enumerate(profiles) if each.minimum is not None]
        self._packed = bool(self._columns) and signature.pack is not None
        if self._packed:
            self._low = _bounds([each.minimum for each in profiles], -np.inf)
            self._high = _bounds([each.maximum for each in profiles], np.inf)

    def outside(self, rows: Sequence[Row]) -> Warnings:
        """A warning for each value that is outside its feature's range."""
        if not self._columns or not rows:
            return {}
        found: Warnings = {}
        for row, column, value in self._in_table(rows) if self._packed else self._each(rows):
            found.setdefault(row, []).append(_warning(self._profiles[column], value))
        return found

    def _in_table(self, rows: Sequence[Row]) -> Iterable[tuple[int, int, float]]:
        table = self._signature.table(rows)
        places = np.argwhere((table < self._low) | (table > self._high)).tolist()
        return [(row, column, float(str(table[row, column]))) for row, column in places]

    def _each(self, rows: Sequence[Row]) -> Iterator[tuple[int, int, Any]]:
        """As `_in_table`, for graphs that take columns of other types."""
        for column in self._columns:
            profile, dtype = self._profiles[column], self._signature.features[column].dtype
            rounded = _ROUND.get(dtype, lambda value: value)
            low, high = rounded(profile.minimum), rounded(profile.maximum)
            for number, row in enumerate(rows):
                given: Any = row[column]
                value = rounded(given)
                if value < low or value > high:  # both are false for NaN, a missing value
                    yield number, column, given + 0  # turns true into 1


def _bounds(values: Sequence[float | None], default: float) -> NDArray[np.float32]:
    return np.array([default if value is None else value for value in values], np.float32)


def _warning(profile: FeatureProfile, value: float) -> OutOfRange:
    low, high = profile.minimum, profile.maximum
    if low is None or high is None:
        raise ValueError(f"{profile.name} has no range")
    return OutOfRange(profile.name, value, low, high, warning_text(profile.name, value, low, high))


def warning_text(feature: str, value: float, minimum: float, maximum: float) -> str:
    """The message of a warning."""
    return (
        f"{feature} is {_plain(value)}, outside the range of the training data, {_plain(minimum)} to "
        f"{_plain(maximum)}"
    )


def _plain(number: float) -> str:
    return repr(number).removesuffix(".0")
