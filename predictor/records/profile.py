"""What an artifact says about its training data: where each feature's values lay, and some rows.

Both are in the graph's metadata, where our exporter writes them. A graph that has none is served
without; one whose metadata contradict its features is refused, as any contradiction is.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from predictor.errors import LoadError
from predictor.records.faults import Unfit, settled
from predictor.signature import Feature, Value

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
            values.append(settled(value, feature))
        except Unfit as fault:
            # It says what is expected, and not the value, which is a patient's.
            raise LoadError(
                "signature",
                f"the graph's background is not rows of its features: row {number}, "
                f"{feature.name!r}: {fault}",
            ) from None
    return tuple(values)
