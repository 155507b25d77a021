"""Explained: the answer to one record, and why it is that; as JSON."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from predictor.records.answers import Prediction
from predictor.records.ranges import OutOfRange
from predictor.signature import Value

Floats = NDArray[np.float64]


class Contribution(msgspec.Struct, frozen=True):
    """What one feature's value added to the answer, or took from it, against the baseline.

    `value` is None where it is missing.
    """

    feature: str
    value: Value | None
    contribution: float
    standard_error: float


class Baseline(msgspec.Struct, frozen=True):
    """What is explained is how the answer differs from this: the mean over rows of a background."""

    rows: int
    value: float
    kind: Literal["background"] = "background"


class Explanation(msgspec.Struct, frozen=True):
    """The contributions, the largest first; they add up to `value` less the baseline's value.

    `output` is the class that is explained, or `prediction`; `scale` is that of all numbers here.
    `permutations` is how many were sampled: none where the contributions are exact.
    """

    output: str
    scale: Literal["probability", "log_odds", "value"]
    method: Literal["linear", "permutation"]
    baseline: Baseline
    value: float
    contributions: list[Contribution]
    permutations: int


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an answer. The fields beside `explanation` are those of `/predict`."""

    prediction: Prediction
    probability: float | UnsetType = UNSET
    probabilities: dict[str, float] | UnsetType = UNSET
    outputs: dict[str, Any] | UnsetType = UNSET
    warnings: Sequence[OutOfRange] | UnsetType = UNSET
    explanation: Explanation
    model_name: str
    model_version: str


def largest_first(
    names: Sequence[str], values: Sequence[Value | None], contributions: Floats, errors: Floats
) -> list[Contribution]:
    """The contributions of the features, which come in the signature's order."""
    listed = map(Contribution, names, values, contributions.tolist(), errors.tolist())
    return sorted(listed, key=lambda each: -abs(each.contribution))
