"""A category that the version was not trained on: the refusal names its column, by every door."""

import json

import numpy as np
import pandas as pd
import pytest
import skl2onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.predictor.live import Live

FRAME = pd.DataFrame(
    {"colour": ["red", "blue", "red", "green"], "size": ["s", "m", "l", "m"], "code": [1, 2, 3, 2],
     "dose": [1.0, 2.0, 3.0, 5.0]}
)  # fmt: skip
GOOD = {"colour": "red", "size": "s", "code": 2, "dose": 1.0}
SAID = "not a category that this version knows"


def encoded(handle_unknown="error"):
    """A regression on one-hot columns, as scikit-learn's exporter writes it."""
    encoders = [
        ("texts", OneHotEncoder(handle_unknown=handle_unknown), ["colour", "size"]),
        ("codes", OneHotEncoder(handle_unknown=handle_unknown), ["code"]),
    ]
    columns = ColumnTransformer(encoders, remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(FRAME, [1, 2, 3, 4])
    types = [
        ("colour", StringTensorType([None, 1])), ("size", StringTensorType([None, 1])),
        ("code", Int64TensorType([None, 1])), ("dose", FloatTensorType([None, 1])),
    ]  # fmt: skip
    return skl2onnx.convert_sklearn(model, initial_types=types).SerializeToString()


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    await made.serve(1, encoded())
    yield made
    await made.reconciler.close()


@pytest.mark.parametrize(
    ("wrong", "columns"),
    [
        ({"colour": "purple"}, ["colour"]),
        ({"size": "xxl"}, ["size"]),
        ({"code": 9}, ["code"]),
        ({"colour": "purple", "code": 9}, ["colour", "code"]),
    ],
)
async def test_the_column_is_named(live, wrong, columns):
    """With its place in a batch; the value, maybe a patient's, is not repeated."""
    record = {**GOOD, **wrong}
    assert (await live.client.post("/predict", json=GOOD)).status_code == 200
    answer = await live.client.post("/predict", json=record)
    assert answer.status_code == 422
    assert {each["field"]: each["message"] for each in answer.json()["errors"]} == dict.fromkeys(
        columns, SAID
    )
    answer = await live.client.post("/predict/batch", json={"instances": [GOOD, record]})
    assert [e["field"] for e in answer.json()["errors"]] == [f"instances[1].{c}" for c in columns]
    answer = await live.client.post("/invocations", json={"inputs": [GOOD, record]})
    assert f"{columns[0]}: {SAID}" in answer.json()["message"]
    types = {"colour": "BYTES", "size": "BYTES", "code": "INT64", "dose": "FP32"}
    inputs = [
        {"name": n, "datatype": t, "shape": [2, 1], "data": [GOOD[n], record[n]]}
        for n, t in types.items()
    ]
    answer = await live.client.post("/v2/models/m/infer", json={"inputs": inputs})
    assert f"row 1: {columns[0]}: {SAID}" in answer.json()["error"]


async def test_an_encoder_that_takes_everything_refuses_nothing(tmp_path):
    """What is not known is no column of it, and the record is computed."""
    live = Live(tmp_path)
    await live.serve(1, encoded("ignore"))
    assert (
        await live.client.post("/predict", json={**GOOD, "colour": "purple"})
    ).status_code == 200
    await live.reconciler.close()


async def test_codes_in_a_table_of_floats(tmp_path):
    """The column of a table is named as well."""
    rows = np.array([[1, 0.5], [2, 1.5], [3, 2.5]], np.float32)
    columns = ColumnTransformer([("code", OneHotEncoder(), [0])], remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(rows, [1, 2, 3])
    graph = skl2onnx.convert_sklearn(model, initial_types=[("X", FloatTensorType([None, 2]))])
    live = Live(tmp_path)
    signature = json.dumps([{"type": "double", "name": n} for n in ("code", "dose")])
    await live.serve(1, graph.SerializeToString(), signature)
    assert (await live.client.post("/predict", json={"code": 2, "dose": 1})).status_code == 200
    answer = await live.client.post("/predict", json={"code": 9, "dose": 1})
    assert [e["field"] for e in answer.json()["errors"]] == ["code"]
    await live.reconciler.close()
