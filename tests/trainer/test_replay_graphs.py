"""Replay of each kind of graph that the service serves, with what the service recorded of it."""

import asyncio
import json
from importlib import import_module

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tests.predictor import graphs
from tests.predictor.graphs import classifier, converted, graph, regressor, tensor, with_metadata
from tests.trainer.recorded import record
from trainer.version_files import VersionContents

pytestmark = pytest.mark.whole

pytest.importorskip("pyarrow", reason="pyarrow is not installed; `make environments` installs it")
pq = pytest.importorskip("pyarrow.parquet", reason="as pyarrow")

replay = import_module("trainer.replay")

X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
TWO = [{"feature_0": float(a), "feature_1": float(b)} for a, b in X[:9]]
NAMES = {"feature_names": ["feature_0", "feature_1"]}


def named(model, **said):
    return with_metadata(model, **NAMES, **said)


def probabilities_only(width):
    """Softmax of two columns, or the sigmoid of one."""
    w = np.array([[1.0, -1.0], [0.5, 2.0]], np.float32)[:, :width]
    nodes = [helper.make_node("MatMul", ["X", "w"], ["s"])]
    nodes.append(helper.make_node("Softmax" if width > 1 else "Sigmoid", ["s"], ["p"]))
    return graph(nodes, [tensor("X")], [tensor("p", shape=(None, width))], {"w": w})


def mixing():
    """The share of a row in the sum of all rows of the call."""
    nodes = [
        helper.make_node("ReduceSum", ["X", "all"], ["total"], keepdims=1),
        helper.make_node("Div", ["X", "total"], ["share"]),
        helper.make_node("ReduceSum", ["share", "columns"], ["value"], keepdims=1),
    ]
    constants = {"all": np.array([0]), "columns": np.array([1])}
    return graph(nodes, [tensor("X")], [tensor("value", shape=(None, 1))], constants)


def half():
    nodes = [
        helper.make_node("ReduceSum", ["X", "axes"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["sum"], ["value"], to=TensorProto.FLOAT),
    ]
    inputs, outputs = [tensor("X", "float16")], [tensor("value", shape=(None, 1))]
    return graph(nodes, inputs, outputs, {"axes": np.array([1])})


CLASSES = (X[:, 0] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
SEVERAL = np.stack([CLASSES, X[:, 1] > 0], axis=1)
PEOPLE = [
    {"age": 40 + n, "smoker": bool(n % 2), "dose": 0.1 * n, "code": "ABC"[n % 3]} for n in range(9)
]
GRAPHS = {
    "labels of texts": (named(classifier()), TWO),
    "labels of numbers": (named(classifier(labels=(0, 1))), TWO),
    "numbers that stand for texts": (named(classifier(labels=(0, 1)), class_labels=["ill", "well"]), TWO),
    "maps": (named(converted(LogisticRegression().fit(X, THREE), 2, zipmap=True)), TWO),
    "margins": (named(converted(LinearSVC().fit(X, CLASSES), 2)), TWO),
    "a tree": (named(converted(DecisionTreeClassifier().fit(X, THREE), 2, zipmap=False)), TWO),
    "probabilities alone": (named(probabilities_only(2), class_labels=["ill", "well"]), TWO),
    "the probability of one class": (named(probabilities_only(1), class_labels=["ill", "well"]), TWO),
    "a value": (named(regressor()), TWO),
    "several values": (named(regressor(targets=3)), TWO),
    "several labels": (named(converted(DecisionTreeClassifier().fit(X, SEVERAL), 2, zipmap=False)), TWO),
    "rows that depend on each other": (named(mixing()), TWO),
    "one row at a time": (named(classifier(rows=1)), TWO),
    "float16": (named(half()), TWO),
    "inputs of all types": (graphs.one_input_per_column(), PEOPLE),
}  # fmt: skip


def contents(model, signature=None, **external):
    mlmodel = json.dumps({"flavors": {"onnx": {"data": "model.onnx"}}, "signature": signature})
    return VersionContents(
        {"MLmodel": mlmodel.encode(), "model.onnx": model, **external}, "model.onnx"
    )


@pytest.mark.parametrize("kind", GRAPHS)
def test_every_answer_is_the_same(kind, tmp_path):
    """Alone and in a batch; the answers are those of the graph, not all answers."""
    model, rows = GRAPHS[kind]
    requests = [("/predict", row, {"x-request-id": f"{n}"}) for n, row in enumerate(rows)]
    requests.append(("/predict/batch", {"instances": rows}, {"x-request-id": "all"}))
    folder = asyncio.run(record(tmp_path, {1: model}, requests))
    version = replay.Graph("version 1", contents(model))
    total = 0
    for file in folder.rglob("*.parquet"):
        table = pq.read_table(file)
        recorded = replay.Recorded.read(str(file), table, range(len(table)))
        assert version.compare(recorded) == []
        total += len(table)
        assert all("prediction" in each for each in recorded.answers().values())
        name = next(each for each in table.column_names if each.startswith("feature_"))
        place = table.column_names.index(name)
        other = table.set_column(place, name, [table[name].take(list(range(len(table)))[::-1])])
        different = version.compare(replay.Recorded.read(str(file), other, range(len(table))))
        assert different or len(table) == 1
    assert total == 2 * len(rows)


def test_weights_outside_the_graph(tmp_path):
    """They are files of the version."""
    weights = np.array([1.0, 2.0], np.float32).tobytes()
    version = contents(graphs.with_external_data(), **{"weights.bin": weights})
    assert version.external_data == {"weights.bin": weights}
    inner = named(graphs.with_external_data())
    assert replay.Graph("version 1", contents(inner, **{"weights.bin": weights})).features == (
        "feature_0",
        "feature_1",
    )
