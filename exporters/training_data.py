"""Training data in an artifact: a profile of each feature, and a few background rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.table import Column, Table

BACKGROUND_ROWS = 50
MAX_BACKGROUND_ROWS = 1000  # the service refuses a version with more


@dataclass(frozen=True)
class Description:
    """A description of one feature for people; unknown parts are None."""

    group: str | None = None
    text: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class FeatureProfile:
    """One feature: its description, and the range of its training values if it is a number."""

    name: str
    group: str | None
    description: str | None
    unit: str | None
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None


def feature_profiles(table: Table, descriptions: Mapping[str, Description]) -> list[FeatureProfile]:
    """One profile per column, in order. Missing values do not count."""
    return [
        _profile(column, table.frame.iloc[:, place].to_numpy(), descriptions)
        for place, column in enumerate(table.columns)
    ]


def _profile(
    column: Column, values: NDArray[Any], descriptions: Mapping[str, Description]
) -> FeatureProfile:
    known = descriptions.get(column.name, Description())
    described = (column.name, known.group, known.text, known.unit)
    if column.kind in {"boolean", "text"}:
        return FeatureProfile(*described)
    numbers = values.astype(np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if not numbers.size:
        return FeatureProfile(*described)
    minimum, median, maximum = np.min(numbers), np.median(numbers), np.max(numbers)
    return FeatureProfile(*described, float(minimum), float(median), float(maximum))


def background(
    table: Table, labels: NDArray[Any] | None, *, count: int = BACKGROUND_ROWS, seed: int = 0
) -> list[list[Any]]:
    """At most `count` rows as JSON values, in which each label has the same share as in the data.

    `labels` [N] are None for a regressor, whose rows are a plain sample. The same data and seed give the
    same rows, in the order of the data.
    """
    shuffled = np.random.default_rng(seed).permutation(len(table.frame))
    if labels is not None:
        shuffled = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Evenly spaced positions in rows that are sorted by label keep each label's share.
    places = np.unique(np.linspace(0, len(shuffled) - 1, count).round().astype(int))
    picked = np.sort(shuffled[places])
    return table.with_rows(table.frame.iloc[picked]).json_rows()
