"""Contract of an exported graph: names of inputs and outputs, and metadata.

The predictor reads these names from the artifact; it never imports this package.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

INPUT = (
    "features"  # float32 or float64 [N, F]; with text columns one input [N, 1] per column instead
)
LABEL = "label"  # [N], or [N, T] for several targets
PROBABILITIES = "probabilities"  # [N, C], columns in the order of `class_labels`
SCORES = "scores"  # of a model with labels and without probabilities
VALUE = "value"  # of a regressor, [N, 1] or [N, T]

Precision = Literal["float32", "float64", "float64_input"]
"""What a graph computes with: float32; float64 after a float32 input; or float64 throughout."""


@dataclass(frozen=True)
class LinearModel:
    """`intercept + coefficients . features`, in the features' own units.

    That is the log-odds of the positive class, or the value of a regressor.
    """

    coefficients: list[float]
    intercept: float


@dataclass(frozen=True)
class RecordedExample:
    """One row with the library's prediction, which the predictor compares before it serves."""

    record: dict[str, Any]
    prediction: Any
    probabilities: dict[str, float]


def linear_model(model: Any, positive_class: Any) -> LinearModel | None:
    """The linear model of a logistic regression of two classes or of a linear regression, scaled or not.

    None for other models. `positive_class` is one of the model's `classes_`, None for a regressor.
    """
    *before, (_, final) = getattr(model, "steps", [("model", model)])
    found = _of_final(final, positive_class)
    if found is None:
        return None
    coefficients, intercept = found
    for _, step in reversed(before):
        if type(step) is not StandardScaler:
            return None
        # w . (x - mean) / scale = (w / scale) . x - (w / scale) . mean
        if step.scale_ is not None:
            coefficients = coefficients / step.scale_
        if step.with_mean:
            intercept -= float(coefficients @ step.mean_)
    return LinearModel(coefficients.tolist(), intercept)


def _of_final(final: Any, positive_class: Any) -> tuple[NDArray[np.float64], float] | None:
    if type(final) is LogisticRegression and len(final.classes_) == 2:  # noqa: PLR2004
        sign = 1.0 if final.classes_[1] == positive_class else -1.0
        return sign * final.coef_[0], sign * float(final.intercept_[0])
    if type(final) in {LinearRegression, Ridge} and np.ndim(final.coef_) == 1:
        return np.asarray(final.coef_, np.float64), float(final.intercept_)
    return None


def metadata(entries: Mapping[str, Any]) -> dict[str, str]:
    """The graph's `metadata_props`: every value as JSON; entries that are None are left out."""
    return {
        name: json.dumps(value, allow_nan=False)
        for name, value in entries.items()
        if value is not None
    }
