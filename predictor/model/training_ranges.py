"""What an artifact says about its training data, and which of a row's values lie outside it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError
from predictor.model.signature import Feature, Row, Signature, Value
from predictor.model.validation import InvalidValue, parse_value

_MOST_ROWS = 1000  # of a background; what explains an answer computes with all of them
_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Text = Annotated[str, msgspec.Meta(max_length=1000)]


class FeatureProfile(msgspec.Struct, frozen=True):
    """What one feature is, and the least, the middle and the greatest of its training values.

    A feature that is no number has no such values; `minimum` and `maximum` are there both or neither.
    """

    name: str
    group: _Name | None = None
    description: _Text | None = None
    unit: _Name | None = None
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None


def check_profiles(profiles: Sequence[FeatureProfile], features: Sequence[Feature]) -> None:
    """Raises LoadError (stage `signature`) unless there are none, or one that fits each feature."""
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
    low, middle, high = profile.minimum, profile.median, profile.maximum
    given = [value for value in (low, middle, high) if value is not None]
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
    """The rows, each value of its feature's type.

    Raises LoadError (stage `signature`) for rows that are not of these features, or too many.
    """
    if len(rows) > _MOST_ROWS:
        raise LoadError("signature", f"the graph's background has over {_MOST_ROWS} rows")
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
            # It says what is expected, and not the value, which is a patient's.
            raise LoadError(
                "signature",
                f"the graph's background is not rows of its features: row {number}, "
                f"{feature.name!r}: {fault}",
            ) from None
    return tuple(values)


_ROUNDS: dict[str, Callable[[Any], Any]] = {"float16": np.float16, "float32": np.float32}


_LARGEST = float(np.finfo(np.float32).max)


class OutOfRange(msgspec.Struct, frozen=True):
    """A warning: a value that is less than the `minimum` of the training data, or more than its `maximum`.

    `value` is what the graph is fed: a float32 in the fewest digits that mean it.
    """

    feature: str
    value: float | int
    minimum: float
    maximum: float
    message: str


Warnings = dict[int, list[OutOfRange]]
"""What is to be said of some rows, by their places; in the order of the features. Never empty lists."""


def usual(features: Sequence[Feature], profiles: Sequence[FeatureProfile]) -> tuple[Feature, ...]:
    """The features, each with the range of what is within its training values once it is a float32.

    Empty where they are not all numbers that become float32, of which alone a decoder can tell.
    """
    if not profiles or any((f.type, f.dtype) != ("number", "float32") for f in features):
        return ()
    return tuple(map(_usual, features, profiles))


def _usual(feature: Feature, profile: FeatureProfile) -> Feature:
    if profile.minimum is None or profile.maximum is None:
        return feature
    low, high = _last(profile.minimum, -np.inf), _last(profile.maximum, np.inf)
    return replace(feature, minimum=low, maximum=high)


def _last(value: float, towards: float) -> float:
    """The last float64, in this direction, that is the same float32 as `value`."""
    single = np.float32(value)
    if abs(single) == _LARGEST and (single > 0) == (towards > 0):  # there is no float32 beyond it
        return float(single)
    between = (float(single) + float(np.nextafter(single, np.float32(towards)))) / 2
    return between if np.float32(between) == single else float(np.nextafter(between, -towards))


class Ranges:
    """The ranges of one version's features; without profiles, everything is within."""

    def __init__(self, signature: Signature, profiles: Sequence[FeatureProfile]) -> None:
        self._signature = signature
        self._profiles = profiles
        self._columns = [c for c, each in enumerate(profiles) if each.minimum is not None]
        self._packed = bool(self._columns) and signature.pack is not None
        if self._packed:
            self._low = _bounds([each.minimum for each in profiles], -np.inf)
            self._high = _bounds([each.maximum for each in profiles], np.inf)

    def outside(self, rows: Sequence[Row]) -> Warnings:
        """What is outside, of those rows that have something outside."""
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
            profile, fed_as = self._profiles[column], self._signature.features[column].dtype
            rounded = _ROUNDS.get(fed_as, _as_it_is)
            low, high = rounded(profile.minimum), rounded(profile.maximum)
            for number, row in enumerate(rows):
                given: Any = row[column]
                value = rounded(given)
                if value < low or value > high:  # neither for a missing value, which is NaN
                    yield number, column, given + 0  # of true, 1


def _bounds(values: Sequence[float | None], none: float) -> NDArray[np.float32]:
    return np.array([none if value is None else value for value in values], np.float32)


def _as_it_is(value: Any) -> Any:
    return value


def _warning(profile: FeatureProfile, value: float) -> OutOfRange:
    low, high = profile.minimum, profile.maximum
    if low is None or high is None:
        raise ValueError(f"{profile.name} has no range")
    message = (
        f"{profile.name} is {_plain(value)}, outside the range of the training data, {_plain(low)} to "
        f"{_plain(high)}"
    )
    return OutOfRange(profile.name, value, low, high, message)


def _plain(number: float) -> str:
    return repr(number).removesuffix(".0")
