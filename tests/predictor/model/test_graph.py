"""What ONNX Runtime does not tell: class labels and external files, read without the onnx package."""

import contextlib
import functools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, load_from_string
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from predictor.model.graph import read_graph
from predictor.model.signature import label_name
from tests.faults.broken import sparse
from tests.predictor.graphs import classifier, converted, graph, regressor, tensor
from tests.predictor.graphs import with_external_data as external
from tests.predictor.parts import servable_of

ESTIMATORS = {
    "logistic": LogisticRegression(max_iter=200),
    "forest": RandomForestClassifier(3, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=3),
    "tree": DecisionTreeClassifier(max_depth=3),
    "mlp": MLPClassifier((4,), max_iter=30, random_state=0),
    "naive_bayes": GaussianNB(),
    "neighbours": KNeighborsClassifier(3),
    "calibrated_svc": CalibratedClassifierCV(SVC(), cv=2, ensemble=False),
    "calibrated_linear_svc": CalibratedClassifierCV(LinearSVC(), cv=2),
    "one_vs_rest": OneVsRestClassifier(LogisticRegression()),
    "quadratic": QuadraticDiscriminantAnalysis(),
    "bagging": BaggingClassifier(n_estimators=2, random_state=0),
    "stacking": StackingClassifier([("nb", GaussianNB()), ("tree", DecisionTreeClassifier())]),
}
CLASSES = {"text": ("setosa", "versicolor", "virginica"), "odd numbers": (3, 5, 70)}


@functools.cache
def export(name: str, kind: str, zipmap: bool):
    rows, target = load_iris(return_X_y=True)
    labels = np.array(CLASSES[kind])[target]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = ESTIMATORS[name].fit(rows.astype(np.float32), labels)
        return converted(estimator, 4, zipmap=zipmap), rows, estimator.predict_proba(rows)


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_class_labels_are_found_in_exports(name, kind, zipmap, tmp_path):
    """In the order of the probability columns, whatever node lists them; answers prove the order."""
    model, rows, expected = export(name, kind, zipmap)
    assert read_graph(model).class_labels == CLASSES[kind]
    servable = servable_of(tmp_path, model)
    answers = servable.answer([tuple(map(float, row)) for row in rows[::10]])
    names = [label_name(label) for label in CLASSES[kind]]
    given_ = [[answer.probabilities[name] for name in names] for answer in answers]
    np.testing.assert_allclose(given_, expected[::10], atol=2e-3)


@pytest.mark.parametrize(
    ("estimator", "zipmap"),
    [
        (SVC(), None),
        (SVC(), False),
        (LinearSVC(), None),
        (SGDClassifier(random_state=0), None),
        (SGDClassifier(random_state=0), False),
        (RidgeClassifier(), None),
    ],
    ids=str,
)
def test_scores_are_not_served_as_probabilities(estimator, zipmap, tmp_path):
    """A margin is no probability, neither in a tensor nor in a ZipMap: the label answers alone."""
    rows, target = load_iris(return_X_y=True)
    estimator = estimator.fit(rows, np.array(CLASSES["text"])[target])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = converted(estimator, 4, zipmap=zipmap)
    servable = servable_of(tmp_path, model)
    answers = servable.answer([tuple(map(float, row)) for row in rows])
    assert [a.prediction for a in answers] == estimator.predict(rows).tolist()
    assert not any(answer.probabilities or answer.probability for answer in answers)


def test_classes_of_a_part_of_the_model_are_not_its_own(tmp_path):
    """One against one votes with classifiers of two classes each: a third class is a good answer."""
    rows, target = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    voting = OneVsOneClassifier(LogisticRegression(max_iter=500)).fit(rows, target)
    model = converted(voting, 4, zipmap=False)
    assert read_graph(model).class_labels == ()
    answers = servable_of(tmp_path, model).answer([tuple(map(float, row)) for row in rows])
    assert [answer.prediction for answer in answers] == voting.predict(rows).tolist()


def test_a_graph_without_classes_has_no_labels():
    """A regressor has none."""
    assert read_graph(regressor()).class_labels == ()


def test_a_cycle_in_a_graph_ends():
    """A graph that feeds itself is read to its end; ONNX Runtime refuses it later."""
    nodes = [helper.make_node("Identity", ["a"], ["b"]), helper.make_node("Identity", ["b"], ["a"])]
    assert read_graph(graph(nodes, [tensor("x")], [tensor("a")])).class_labels == ()


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("element", ["int32", "int64"])
def test_labels_in_a_constant_are_read_in_every_encoding(element, raw):
    """Bytes or a list of numbers, 32 bits or 64."""
    kind = {"int32": TensorProto.INT32, "int64": TensorProto.INT64}[element]
    values = np.array([4, -9], element)
    constant = helper.make_tensor("c", kind, [2], values.tobytes() if raw else values, raw=raw)
    node = helper.make_node("ArrayFeatureExtractor", ["c", "i"], ["y"], domain="ai.onnx.ml")
    model = load_from_string(graph([node], [tensor("i", "int64", (1,))], [tensor("y", element)]))
    model.graph.initializer.append(constant)
    assert read_graph(model.SerializeToString()).class_labels == (4, -9)


def test_external_files_are_named_once_and_sorted():
    """All files that the version needs are known, so that they can be fetched."""
    assert read_graph(external("b/w.bin")).external_files == ("b/w.bin",)
    assert read_graph(classifier()).external_files == ()


def test_external_files_inside_a_branch_are_named():
    """A tensor may hide in a subgraph's node."""
    inner = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    inner.ClearField("float_data")
    inner.data_location = TensorProto.EXTERNAL
    inner.external_data.add(key="location", value="deep.bin")
    constant = helper.make_node("Constant", [], ["k"], value=inner)
    branch = helper.make_graph([constant], "b", [], [tensor("k", shape=(1,))])
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = graph([node], [tensor("c", "bool", (1,))], [tensor("y", shape=(1,))])
    assert read_graph(model).external_files == ("deep.bin",)


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(content):
    """Bytes that are no ONNX model are said to be none, in no other way."""
    said = "not an ONNX model"
    try:
        read_graph(content)
    except ValueError as error:
        said = str(error)
    assert "not an ONNX model" in said


@given(st.data())
def test_a_damaged_model_is_read_or_refused(data):
    """One changed byte never raises anything but ValueError."""
    model = bytearray(classifier())
    model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        read_graph(bytes(model))


def in_a_function(location):
    """A regressor whose weights are a constant of a function, in a file of their own."""
    parsed = load_from_string(external(location))
    weights = parsed.graph.initializer.pop()
    constant = helper.make_node("Constant", [], ["out"], value=weights)
    opset = helper.make_opsetid("", 17)
    parsed.functions.append(helper.make_function("own", "W", [], ["out"], [constant], [opset]))
    parsed.opset_import.append(helper.make_opsetid("own", 1))
    parsed.graph.node.insert(0, helper.make_node("W", [], ["w"], domain="own"))
    return parsed.SerializeToString()


@pytest.mark.parametrize("model", [sparse, in_a_function])
@pytest.mark.parametrize("location", ["weights.bin", "../../../../etc/passwd"])
def test_files_that_onnx_runtime_would_open_itself(model, location):
    """It would open them on this machine, not in the artifact: such a graph is refused."""
    with pytest.raises(ValueError, match="sparse weights or functions"):
        read_graph(model(location))
