"""Training data in an artifact: a profile of each feature, and a few background rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BACKGROUND_ROWS = 50


@dataclass(frozen=True)
class Description:
    """A description of one feature for people; unknown parts are None."""

    group: str | None = None
    text: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class TrainingData:
    """The rows that a pipeline was fitted on, and descriptions of its features.

    `features` is float64 [N, F] with named columns, all finite; `labels` is [N]; `descriptions` are
    by column name, and may be incomplete.
    """

    features: pd.DataFrame
    labels: NDArray[np.str_]
    descriptions: Mapping[str, Description] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureProfile:
    """One feature: its description and the range of its training values."""

    name: str
    group: str | None
    description: str | None
    unit: str | None
    minimum: float
    median: float
    maximum: float


def feature_profiles(training: TrainingData) -> list[FeatureProfile]:
    """One profile per column, in order."""
    values = training.features.to_numpy(np.float64)
    numbers = np.stack([values.min(axis=0), np.median(values, axis=0), values.max(axis=0)], axis=1)
    profiles = []
    for column, (minimum, median, maximum) in zip(training.features, numbers.tolist(), strict=True):
        known = training.descriptions.get(str(column), Description())
        profiles.append(
            FeatureProfile(
                str(column), known.group, known.text, known.unit, minimum, median, maximum
            )
        )
    return profiles


def background(
    training: TrainingData, *, count: int = BACKGROUND_ROWS, seed: int = 0
) -> list[list[float]]:
    """At most `count` rows, in which each label has the same share as in the data.

    The same data and seed give the same rows, in the order of the data.
    """
    shuffled = np.random.default_rng(seed).permutation(len(training.labels))
    by_label = shuffled[np.argsort(training.labels[shuffled], kind="stable")]
    # Evenly spaced positions in rows that are sorted by label keep each label's share.
    places = np.unique(np.linspace(0, len(by_label) - 1, count).round().astype(int))
    picked = np.sort(by_label[places])
    rows: list[list[float]] = training.features.to_numpy(np.float64)[picked].tolist()
    return rows
