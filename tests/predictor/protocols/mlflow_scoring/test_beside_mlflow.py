"""Versions that `mlflow.onnx` logged: what MLflow's own scoring application answers, and what we answer.

In one process, because a server for each would take minutes; `test_mlflow_scoring.py` has a real one.
"""

import json
import math
from collections import Counter
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.pyfunc.scoring_server import init
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from predictor.model.artifact import Fetched
from tests.predictor.graphs import OPSETS
from tests.predictor.live import Live
from tests.predictor.parts import version

NAMES = ["age", "dose"]
FRAME = pd.DataFrame({"age": np.linspace(20, 80, 40), "dose": np.arange(40) % 7}, dtype=np.float32)
X = FRAME.to_numpy()
SUM, SICK = 3 * X[:, 0] - X[:, 1], (X[:, 0] > 50).astype(int)
VALUE = to_onnx(LinearRegression().fit(X, SUM), X[:1])
SCALED = ColumnTransformer([("scaled", StandardScaler(), NAMES)])
PER_COLUMN = to_onnx(
    make_pipeline(SCALED, LinearRegression()).fit(FRAME, SUM),
    initial_types=[(name, FloatTensorType([None, 1])) for name in NAMES],
)
CLASSIFIER = LogisticRegression().fit(X, SICK)
MAPS = to_onnx(CLASSIFIER, X[:1])
TABLE = to_onnx(CLASSIFIER, X[:1], options={"zipmap": False})
BOTH = np.c_[SICK, X[:, 1] > 3].astype(int)
OUTLIERS = to_onnx(
    IsolationForest(n_estimators=5, random_state=0).fit(X), X[:1], target_opset=OPSETS
)
CLUSTERS = to_onnx(KMeans(3, n_init=1, random_state=0).fit(X), X[:1])
DEVIATION = GaussianProcessRegressor(alpha=1.0).fit(X, SUM)
DEVIATION = to_onnx(DEVIATION, X[:1], options={id(DEVIATION): {"return_std": True}})
TARGETS = to_onnx(MultiOutputClassifier(CLASSIFIER).fit(X, BOTH), X[:1], options={"zipmap": False})
VALUES = to_onnx(LinearRegression().fit(X, BOTH), X[:1])
TENSORS = Schema([TensorSpec(np.dtype("float32"), (-1, 1), name) for name in NAMES])
PARAMS = ParamSchema([ParamSpec("n", "long", 1), ParamSpec("t", "double", 0.5)])
BY_NAME = infer_signature(FRAME, SUM)
VERSIONS = {
    "a value, no signature": (VALUE, None),
    "a value, columns and params": (VALUE, ModelSignature(BY_NAME.inputs, params=PARAMS)),
    "a value, a tensor": (VALUE, infer_signature(X, SUM)),
    "maps, no signature": (MAPS, None),
    "maps, columns": (MAPS, BY_NAME),
    "a table, no signature": (TABLE, None),
    "a table, columns": (TABLE, BY_NAME),
    "a table, a tensor": (TABLE, infer_signature(X, SICK)),
    "an outlier detector, no signature": (OUTLIERS, None),
    "an outlier detector, columns": (OUTLIERS, BY_NAME),
    "an outlier detector, a tensor": (OUTLIERS, infer_signature(X, SICK)),
    "a deviation, no signature": (DEVIATION, None),
    "a deviation, columns": (DEVIATION, BY_NAME),
    "clusters, a tensor": (CLUSTERS, infer_signature(X, SICK)),
    "several targets, a tensor": (TARGETS, infer_signature(X, BOTH)),
    "several targets, no signature": (TARGETS, None),
    "several values, a tensor": (VALUES, infer_signature(X, BOTH.astype(np.float32))),
    "one input per column, tensors": (PER_COLUMN, ModelSignature(TENSORS)),
}
ROWS = [[30.5, 2.0], [70.25, 5.5]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
COLUMNS = {"age": [30.5, 70.25], "dose": [2.0, 5.5]}
ASKED: list[Any] = [
    {"dataframe_split": {"columns": NAMES, "data": ROWS}},
    {"dataframe_split": {"data": ROWS}},
    {"dataframe_records": RECORDS},
    {"instances": ROWS},
    {"inputs": ROWS},
    {"instances": RECORDS},
    {"inputs": RECORDS},
    {"inputs": {"X": ROWS}},
    {"instances": [{"X": row} for row in ROWS]},
    {"inputs": COLUMNS},
    {"inputs": {name: [[value] for value in values] for name, values in COLUMNS.items()}},
    {"inputs": [[1.0, 2.0, 3.0]]},
    {"dataframe_split": {"data": [[1.0]]}},
    {"inputs": [1.0, 2.0]},
    {"inputs": 2.5},
    {"dataframe_records": [{"age": 3.0}]},
    {"instances": []},
    {"inputs": RECORDS, "params": {"n": 2, "t": 1}},
    {"inputs": RECORDS, "params": {"n": "2"}},
    {"inputs": RECORDS, "params": {"t": True}},
    {"inputs": RECORDS, "params": {"other": []}},
    {"inputs": RECORDS, "params": [1]},
    "age,dose\n30.5,2.0\n70.25,5.5\n",
]


def alike(theirs: Any, ours: Any) -> bool:
    """Whether two answers are the same, but for the order in which floats were added."""
    if isinstance(theirs, dict):
        return isinstance(ours, dict) and list(theirs) == list(ours) and all(
            alike(theirs[key], ours[key]) for key in theirs
        )  # fmt: skip
    if isinstance(theirs, list):
        return isinstance(ours, list) and len(theirs) == len(ours) and all(map(alike, theirs, ours))
    if isinstance(theirs, float):
        return isinstance(ours, float) and math.isclose(theirs, ours, rel_tol=1e-5, abs_tol=1e-6)
    return bool(theirs == ours)


@pytest.mark.parametrize("named", VERSIONS)
async def test_what_mlflow_answers_we_answer_and_what_we_refuse_mlflow_does(
    named, tmp_path, monkeypatch
):
    """We may answer what MLflow cannot: it feeds columns and probabilities that fit no frame."""
    graph, signature = VERSIONS[named]
    folder = tmp_path / "model"
    mlflow.onnx.save_model(graph, str(folder), signature=signature, pip_requirements=[])
    loaded = mlflow.pyfunc.load_model(str(folder))
    monkeypatch.setenv(
        "_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true"
    )  # as `init` does, but not for good
    transport = httpx.ASGITransport(init(loaded), raise_app_exceptions=False)
    theirs_of = httpx.AsyncClient(transport=transport, base_url="http://mlflow")
    live = Live(tmp_path)
    files = {path: (folder / path).read_bytes() for path in ("MLmodel", "model.onnx")}
    live.source.files = lambda _: Fetched.of("model.onnx", files, {})  # type: ignore[method-assign]
    await live.say(version(1))
    outcomes: Counter[str] = Counter()
    for asked in ASKED:
        text = isinstance(asked, str)
        sent = {
            "content": asked if text else json.dumps(asked),
            "headers": {"content-type": "text/csv" if text else "application/json"},
        }
        theirs = await theirs_of.post("/invocations", **sent)
        ours = await live.client.post("/invocations", **sent)
        told = f"{asked}: {theirs.text[:300]}, {ours.text[:300]}"
        if named == "a value, columns and params":
            assert ours.status_code == theirs.status_code, told
        if theirs.status_code == 200:
            assert ours.status_code == 200, told
            assert alike(theirs.json(), ours.json()), told
            outcomes["answered"] += 1
        elif ours.status_code == 200:
            outcomes["answered here only"] += 1
        else:
            assert ours.status_code == 400, told
            outcomes["refused"] += 1
    assert outcomes["answered"] or named == "a table, columns", outcomes
    assert outcomes["refused"] >= 6
    await live.reconciler.close()
