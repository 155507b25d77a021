"""Models for the benchmarks, most of them fitted and exported to ONNX like the trainer's."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from exporters.export import export
from exporters.graph import OPSETS
from exporters.metadata import Settings
from stress.truth import Record
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
_WORDS = ("north", "south", "east", "west", "centre")
_TREE_ROWS, _TREES, _COPIES = 20_000, 4, 100  # of the large forest: 100 MB as ONNX


@dataclass(frozen=True)
class Graph:
    """A serialised ONNX model and the SHA-256 of its bytes, in hexadecimal."""

    content: bytes
    sha256: str


@dataclass(frozen=True)
class Model:
    """A classifier's export, request records, and the pipeline if it was fitted in this process."""

    export: Graph
    records: tuple[Record, ...]
    pipeline: Pipeline | None = None


def diagnosis(kind: str, **parameters: Any) -> Model:
    """A classifier of the 30 measurements; `parameters` configure its last pipeline step."""
    rows = data.load()
    candidate, known = _KINDS[kind]
    pipeline = _build(candidate, {**known, **parameters}).fit(rows.features, rows.target)
    return _model(pipeline, rows.features)


def synthetic(features: int) -> Model:
    """A logistic regression with this many features, fitted on random rows."""
    frame, labels = _random_rows(400, features)
    return _model(_build("logistic_regression", {}).fit(frame, labels), frame)


def with_texts(features: int, texts: int) -> Model:
    """As `synthetic`, but the last `texts` columns have one of five words each.

    The graph has one input for each column, as skl2onnx makes it from a table of several types.
    """
    frame, labels = _random_rows(400, features)
    numbers, words = list(frame.columns[:-texts]), list(frame.columns[-texts:])
    for name in words:
        frame[name] = np.array(_WORDS, object)[pd.qcut(frame[name], len(_WORDS), labels=False)]
    encode = ColumnTransformer(
        [
            ("numbers", StandardScaler(), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        ]
    )
    pipeline = Pipeline([("encode", encode), ("classify", LogisticRegression())])
    pipeline.fit(frame, labels)
    types = [
        (name, (StringTensorType if name in words else FloatTensorType)([None, 1]))
        for name in frame.columns
    ]
    options = {id(pipeline[-1]): {"zipmap": False}}
    graph = to_onnx(pipeline, initial_types=types, options=options, target_opset=OPSETS)
    entries = {"feature_names": list(frame.columns), "class_labels": list(pipeline.classes_)}
    onnx.helper.set_model_props(graph, {name: json.dumps(entry) for name, entry in entries.items()})
    return Model(_exported(graph), _records(frame), pipeline)


def large_forest(seed: int) -> Model:
    """A forest of about 100 MB: a few trees of random classes, each many times with less weight."""
    frame, labels = _random_rows(_TREE_ROWS, 30)
    np.random.default_rng(seed).shuffle(labels)
    forest = RandomForestClassifier(_TREES, random_state=seed)
    small = _model(Pipeline([("classify", forest)]).fit(frame, labels), frame.head(100))
    graph = onnx.load_from_string(small.export.content)
    (node,) = (node for node in graph.graph.node if node.op_type == "TreeEnsembleClassifier")
    for attribute in node.attribute:
        _repeat(attribute)
    return Model(_exported(graph), small.records)


def _repeat(attribute: Any) -> None:
    """Repeat a list that describes a forest's nodes or leaves, with new numbers of trees."""
    if attribute.name.endswith("_treeids"):
        trees = np.array(attribute.ints)
        copies = np.concatenate([trees + _TREES * n for n in range(_COPIES)])
        attribute.ints[:] = copies.tolist()
    elif attribute.name == "class_weights":
        attribute.floats[:] = np.tile(np.array(attribute.floats) / _COPIES, _COPIES).tolist()
    elif attribute.name.startswith(("nodes_", "class_")):
        for values in (attribute.ints, attribute.floats, attribute.strings):
            values[:] = [*values] * _COPIES


def _random_rows(count: int, features: int) -> tuple[pd.DataFrame, NDArray[np.str_]]:
    """Rows whose numbers are exact in float32, and their classes."""
    values, classes = make_classification(count, features, random_state=_SEED)
    names = [f"feature_{number}" for number in range(features)]
    frame = pd.DataFrame(values.astype(np.float32).astype(np.float64), columns=names)
    return frame, np.where(classes == 1, data.POSITIVE, data.NEGATIVE)


def _build(candidate: str, parameters: dict[str, Any]) -> Pipeline:
    return CATALOGUE[candidate].build(_SEED).set_params(**parameters)


def _model(pipeline: Pipeline, rows: pd.DataFrame) -> Model:
    """Sort the records by confidence, the lowest first: it shows a wrong answer best."""
    by_confidence = np.argsort(pipeline.predict_proba(rows).max(axis=1), kind="stable")
    records = _records(rows.iloc[by_confidence])
    exported = export(pipeline, rows, Settings(positive_class=data.POSITIVE))
    return Model(Graph(exported.content, exported.sha256), records, pipeline)


def _exported(graph: Any) -> Graph:
    content = graph.SerializeToString(deterministic=True)
    return Graph(content, sha256(content).hexdigest())


def _records(rows: pd.DataFrame) -> tuple[Record, ...]:
    return tuple(
        {str(name): value for name, value in row.items()} for row in rows.to_dict("records")
    )
