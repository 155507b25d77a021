"""What an exported model promises to whoever serves it: names, metadata, examples, training data.

The predictor knows these names from the artifact alone; it never imports this package.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from exporters.training_data import TrainingData, background, feature_profiles

INPUT = "features"  # float32 [N, F]
LABEL = "label"  # string [N]
PROBABILITIES = "probabilities"  # float32 [N, C], columns in the order of `class_labels`


@dataclass(frozen=True)
class RecordedExample:
    """One row with the answer that scikit-learn gave, for a server to replay before it serves."""

    record: dict[str, float]
    prediction: str
    probabilities: dict[str, float]


def record_examples(
    pipeline: Any, rows: pd.DataFrame, positive_class: str, *, count: int = 5
) -> list[RecordedExample]:
    """Rows spread from the surest negative to the surest positive, with scikit-learn's answers.

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


def metadata(
    feature_names: list[str],
    class_labels: list[str],
    positive_class: str,
    examples: list[RecordedExample],
    training: TrainingData | None = None,
) -> dict[str, str]:
    """The graph's `metadata_props`: every value is JSON.

    With `training`, also `feature_profiles`, one object a feature, in order, and `background`, some
    of the rows, each a list of values in the order of the features.
    """
    said: dict[str, Any] = {
        "feature_names": feature_names,
        "class_labels": class_labels,
        "positive_class": positive_class,
        "recorded_examples": [asdict(example) for example in examples],
    }
    if training is not None:
        said["feature_profiles"] = [asdict(profile) for profile in feature_profiles(training)]
        said["background"] = background(training)
    return {name: json.dumps(value) for name, value in said.items()}
