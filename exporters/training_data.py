"""What an artifact says about the rows it was trained on: a profile of each feature, and a few rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BACKGROUND_ROWS = 50


@dataclass(frozen=True)
class Description:
    """What one feature is, for people; `unit` only where it is known."""

    group: str | None = None
    text: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class TrainingData:
    """The rows that a pipeline was fitted on, and what is known of its features.

    `features` is float64 [N, F] with named columns, all finite; `labels` is [N]; `descriptions` are
    by the columns' names, and need not be complete.
    """

    features: pd.DataFrame
    labels: NDArray[np.str_]
    descriptions: Mapping[str, Description] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureProfile:
    """One feature: what it is, and where its training values lay."""

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
    """`count` rows, fewer if there are fewer, of each label as large a share as it has of all rows.

    The same rows for the same data and seed, in the order of the data.
    """
    shuffled = np.random.default_rng(seed).permutation(len(training.labels))
    by_label = shuffled[np.argsort(training.labels[shuffled], kind="stable")]
    # Evenly spaced over rows sorted by label: that many of each as it takes of the whole.
    places = np.unique(np.linspace(0, len(by_label) - 1, count).round().astype(int))
    picked = np.sort(by_label[places])
    rows: list[list[float]] = training.features.to_numpy(np.float64)[picked].tolist()
    return rows
