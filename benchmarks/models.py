"""Models for the benchmarks, fitted and exported to ONNX like the trainer's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.pipeline import Pipeline

from exporters.sklearn_onnx import OnnxExport, export
from trainer import data
from trainer.candidates import CATALOGUE

LOGISTIC = "logistic regression"
FOREST = "forest of 300 trees"
BOOSTING = "gradient boosting"
MLP = "MLP"
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    LOGISTIC: ("logistic_regression", {}),
    FOREST: ("random_forest", {"classify__n_estimators": 300}),
    BOOSTING: ("hist_gradient_boosting", {}),
    MLP: ("multilayer_perceptron", {}),
}
_SEED = 0


@dataclass(frozen=True)
class Model:
    """A fitted classifier, its export, and request records (feature name to value)."""

    pipeline: Pipeline
    export: OnnxExport
    records: tuple[dict[str, float], ...]


def diagnosis(kind: str, **parameters: Any) -> Model:
    """A classifier of the 30 measurements; `parameters` configure its last pipeline step."""
    rows = data.load()
    candidate, known = _KINDS[kind]
    pipeline = _build(candidate, {**known, **parameters}).fit(rows.features, rows.diagnosis)
    return _model(pipeline, rows.features)


def synthetic(features: int) -> Model:
    """A logistic regression with this many features, fitted on random rows."""
    values, classes = make_classification(400, features, random_state=_SEED)
    names = [f"feature_{number}" for number in range(features)]
    frame = pd.DataFrame(values.astype(np.float32).astype(np.float64), columns=names)
    labels = np.where(classes == 1, data.POSITIVE, data.NEGATIVE)
    pipeline = _build("logistic_regression", {}).fit(frame, labels)
    return _model(pipeline, frame)


def _build(candidate: str, parameters: dict[str, Any]) -> Pipeline:
    return CATALOGUE[candidate].build(_SEED).set_params(**parameters)


def _model(pipeline: Pipeline, rows: pd.DataFrame) -> Model:
    """Sort the records by confidence, the lowest first: it shows a wrong answer best."""
    by_confidence = np.argsort(pipeline.predict_proba(rows).max(axis=1), kind="stable")
    records = tuple(
        {str(name): float(value) for name, value in row.items()}
        for _, row in rows.iloc[by_confidence].iterrows()
    )
    return Model(pipeline, export(pipeline, rows, data.POSITIVE), records)
