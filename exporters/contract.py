"""Contract of an exported graph: names of inputs and outputs, and metadata.

The predictor reads these names from the artifact; it never imports this package.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from exporters.training_data import TrainingData, background, feature_profiles

INPUT = "features"  # float32 [N, F]
LABEL = "label"  # string [N]
PROBABILITIES = "probabilities"  # float32 [N, C], columns in the order of `class_labels`


@dataclass(frozen=True)
class LinearModel:
    """`intercept + coefficients . features`, in the features' own units: log-odds of the positive class."""

    coefficients: list[float]
    intercept: float


@dataclass(frozen=True)
class RecordedExample:
    """One row with scikit-learn's prediction, which the predictor compares before it serves."""

    record: dict[str, float]
    prediction: str
    probabilities: dict[str, float]


def record_examples(
    pipeline: Any, rows: pd.DataFrame, positive_class: str, *, count: int = 5
) -> list[RecordedExample]:
    """Rows from the lowest to the highest probability of `positive_class`, with scikit-learn's predictions.

    Args:
        pipeline: a fitted classifier with `predict_proba`.
        rows: float64 [N, F], named columns.
        positive_class: the label whose probability orders the rows.
        count: how many to record, at least two; fewer if `rows` has fewer.
    """
    labels = [str(label) for label in pipeline.classes_]
    probabilities = pipeline.predict_proba(rows)
    predictions = pipeline.predict(rows)
    order = np.argsort(probabilities[:, labels.index(positive_class)], kind="stable")
    picked = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(int))
    return [
        RecordedExample(
            record={str(name): float(value) for name, value in rows.iloc[row].items()},
            prediction=str(predictions[row]),
            probabilities=dict(zip(labels, probabilities[row].tolist(), strict=True)),
        )
        for row in order[picked]
    ]


def linear_model(pipeline: Any, positive_class: str) -> LinearModel | None:
    """The linear model of a logistic regression of two classes, scaled or not; None for other pipelines."""
    *before, (_, final) = pipeline.steps
    if type(final) is not LogisticRegression or len(final.classes_) != 2:  # noqa: PLR2004
        return None
    sign = 1.0 if str(final.classes_[1]) == positive_class else -1.0
    coefficients, intercept = sign * final.coef_[0], sign * float(final.intercept_[0])
    for _, step in reversed(before):
        if type(step) is not StandardScaler:
            return None
        # w . (x - mean) / scale = (w / scale) . x - (w / scale) . mean
        if step.scale_ is not None:
            coefficients = coefficients / step.scale_
        if step.with_mean:
            intercept -= float(coefficients @ step.mean_)
    return LinearModel(coefficients.tolist(), intercept)


def metadata(
    feature_names: list[str],
    class_labels: list[str],
    positive_class: str,
    examples: list[RecordedExample],
    *,
    training: TrainingData | None = None,
    linear: LinearModel | None = None,
) -> dict[str, str]:
    """The graph's `metadata_props`; every value is JSON.

    `training` adds `feature_profiles`, one object per feature in order, and `background`, some of the rows
    as lists of values. `linear` adds the coefficients, so that the predictor explains predictions exactly.
    """
    entries: dict[str, Any] = {
        "feature_names": feature_names,
        "class_labels": class_labels,
        "positive_class": positive_class,
        "recorded_examples": [asdict(example) for example in examples],
    }
    if training is not None:
        entries["feature_profiles"] = [asdict(profile) for profile in feature_profiles(training)]
        entries["background"] = background(training)
    if linear is not None:
        entries["linear"] = asdict(linear)
    return {name: json.dumps(value) for name, value in entries.items()}
