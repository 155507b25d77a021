"""Answers as MLflow's `python_function` has them, which depends on who loads the version."""

import json
from functools import partial
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from predictor.errors import LoadError
from predictor.inference.compute import compute_one, run_in_calls
from predictor.model.mlmodel import PythonFunction
from predictor.protocols.mlflow_scoring.invocation import Invocations
from tests.predictor.graphs import NAMES, OURS, classifier, converted, regressor
from tests.predictor.protocols.mlflow_scoring.parts import COLUMNS, servable, tensor

ONNX = "mlflow.onnx"
ROWS = [[1.0, 0.0], [-1.0, 0.0]]
CHANCES = [pytest.approx([0.8807971, 0.1192029]), pytest.approx([0.1192029, 0.8807971])]
SPLIT = {"dataframe_split": {"columns": NAMES, "data": ROWS}}


def answered(of: Any, body: Any) -> Any:
    """What stands under `predictions`."""
    run = partial(run_in_calls, of, lambda *_: None)
    (reply,) = compute_one(Invocations("json"), json.dumps(body).encode(), of, run).results
    assert ("X-Model-Version", of.model_version.version) in reply.headers
    whole = json.loads(reply.body)
    assert list(whole) == ["predictions"]
    return whole["predictions"]


def test_others_give_labels_and_values():
    assert answered(servable(OURS, COLUMNS), SPLIT) == ["malignant", "benign"]
    assert answered(servable(classifier(labels=(0, 1)), loader=""), {"inputs": ROWS}) == [0, 1]
    assert answered(servable(regressor()), {"inputs": [[1, 2]]}) == [3.0]
    assert answered(servable(regressor(targets=2)), {"inputs": [[1, 2]]}) == [[3.0, 6.0]]


def test_predict_proba_gives_probabilities():
    """In the order of the classes."""
    proba = servable(OURS, COLUMNS, predict_fn="predict_proba")
    assert answered(proba, SPLIT) == CHANCES


def test_mlflow_onnx_gives_records_of_outputs_for_a_dataframe():
    """And where it cannot, because probabilities are a table, they are a list in each record."""
    of = servable(classifier(), COLUMNS, loader=ONNX)
    assert answered(of, SPLIT) == [
        {"label": label, "probabilities": chances}
        for label, chances in zip(["malignant", "benign"], CHANCES, strict=True)
    ]
    assert answered(servable(regressor(), loader=ONNX), SPLIT) == [{"value": 1.0}, {"value": -1.0}]


def test_mlflow_onnx_gives_an_object_of_outputs_for_tensors():
    """Each in the shape that the graph gives it."""
    both = {"label": ["malignant", "benign"], "probabilities": CHANCES}
    for signature in (None, [tensor(-1, 2)]):
        of = servable(classifier(), signature, loader=ONNX)
        assert answered(of, {"inputs": ROWS}) == both
    assert answered(of, {"dataframe_split": {"data": ROWS}}) == both
    assert answered(servable(regressor(), loader=ONNX), {"instances": [[1, 2]]}) == {
        "value": [[3.0]]
    }
    wide = servable(regressor(targets=2), loader=ONNX)
    assert answered(wide, {"instances": [[1, 2]]}) == {"value": [[3.0, 6.0]]}


def test_mlflow_onnx_gives_the_maps_of_a_zipmap():
    estimator = LogisticRegression().fit(ROWS, [1, 0])
    of = servable(converted(estimator, 2), loader=ONNX)
    first, second = answered(of, {"dataframe_split": {"data": ROWS}})
    assert (first["output_label"], second["output_label"]) == (1, 0)
    assert list(first["output_probability"]) == ["0", "1"]
    by_output = answered(of, {"inputs": ROWS})
    assert by_output["output_label"] == [1, 0]
    assert by_output["output_probability"] == [
        first["output_probability"], second["output_probability"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        (None, "none"),
        (COLUMNS, "columns"),
        ([{"type": "double"}, {"type": "double"}], "unnamed columns"),
        ([tensor(-1, 2)], "tensor"),
        ([tensor(-1, 1, name="a"), tensor(-1, 1, name="b")], "tensors"),
    ],
)
def test_what_mlmodel_says(inputs, kind):
    signature = {"inputs": json.dumps(inputs)} if inputs else None
    assert PythonFunction.read({"signature": signature}).inputs == kind


@pytest.mark.parametrize(
    "mlmodel",
    [
        {"flavors": {"python_function": [1]}},
        {"signature": {"inputs": '{"a": 1}'}},
        {"signature": {"params": "["}},
        {"signature": {"params": '[{"name": "x"}]'}},
    ],
)
def test_an_mlmodel_that_cannot_be_read(mlmodel):
    with pytest.raises(LoadError, match="not readable") as raised:
        PythonFunction.read(mlmodel)
    assert raised.value.stage == "signature"
