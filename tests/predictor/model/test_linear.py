"""Linear models are read from their graphs, and only those that are linear."""

import warnings

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from predictor.model.answers import Answer
from predictor.model.linear import Linear
from predictor.model.linear_graph import read_linear
from tests.predictor.graphs import classifier, converted, graph, tensor, with_metadata
from tests.predictor.parts import servable_of

ROWS, TARGET = load_breast_cancer(return_X_y=True)
LABELS = np.array(["malignant", "benign"])[TARGET]


def fitted(estimator, target, background=ROWS[::12], **zipmap):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(ROWS.astype(np.float32), target)
        model = converted(estimator, 30, **zipmap)
    return with_metadata(model, background=background.tolist())


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("target", [LABELS, TARGET], ids=["text", "numbers"])
@pytest.mark.parametrize(
    "scalers",
    [
        (),
        (StandardScaler(),),
        (StandardScaler(with_mean=False),),
        (StandardScaler(with_std=False),),
        (MinMaxScaler(),),
        (RobustScaler(), MaxAbsScaler()),
    ],
    ids=["none", "standard", "no mean", "no deviation", "range", "robust, then range"],
)
def test_log_odds_of_a_logistic_regression(scalers, target, zipmap, tmp_path):
    """For each class those of scikit-learn, in raw features, whatever scaled them."""
    estimator = make_pipeline(*scalers, LogisticRegression(max_iter=50))
    servable = servable_of(tmp_path, fitted(estimator, target, zipmap=zipmap))
    linear = servable.linear
    assert linear is not None
    expected = estimator.decision_function(ROWS)
    labels = [str(label) for label in estimator.classes_]
    for label, sign in zip(labels, (-1, 1), strict=True):
        np.testing.assert_allclose(
            linear.of(label).scores(ROWS), sign * expected, rtol=1e-4, atol=1e-3
        )


@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge()], ids=str)
def test_the_value_of_a_linear_regression(estimator, tmp_path):
    pipeline = make_pipeline(StandardScaler(), estimator)
    servable = servable_of(tmp_path, fitted(pipeline, ROWS[:, 0] * 2 + TARGET))
    assert servable.linear is not None
    assert servable.linear.label is None
    np.testing.assert_allclose(servable.linear.scores(ROWS), pipeline.predict(ROWS), rtol=1e-5)


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (make_pipeline(Normalizer(), LogisticRegression()), LABELS),
        (make_pipeline(PolynomialFeatures(2), Ridge()), TARGET),
        (make_pipeline(StandardScaler(), MLPClassifier((3,), max_iter=5)), LABELS),
        (RandomForestClassifier(2), LABELS),
        (PoissonRegressor(max_iter=5), TARGET),
        (Ridge(), np.stack([TARGET, TARGET + 1], axis=1)),
        (LogisticRegression(max_iter=5), (ROWS[:, 0] // 8).astype(int)),
    ],
    ids=["by row", "polynomial", "mlp", "forest", "poisson", "two targets", "several classes"],
)
def test_what_is_not_linear_is_not_read_as_such(estimator, target, tmp_path):
    servable = servable_of(tmp_path, fitted(estimator, target))
    assert servable.background
    assert servable.linear is None


@pytest.mark.parametrize("transform", ["SOFTMAX", "LOGISTIC"])
def test_either_transformation_of_two_scores(transform, tmp_path):
    """By a softmax, the two scores of opposite sign count twice."""
    background = [[1.0, 0.5], [-0.5, 0.25], [0.0, 0.0]]
    model = with_metadata(classifier((1.0, -2.0), post_transform=transform), background=background)
    linear = servable_of(tmp_path, model).linear
    assert linear is not None
    times = 2 if transform == "SOFTMAX" else 1
    assert linear.of("malignant").weights.tolist() == [times, -2 * times]
    assert linear.of("benign").weights.tolist() == [-times, 2 * times]


def value_of(*nodes, **constants):
    """A regressor of two features: these nodes from X to Y, then a weighted sum of Y."""
    ends = helper.make_node(
        "LinearRegressor", ["Y"], ["value"], domain="ai.onnx.ml", coefficients=[1.0, 10.0]
    )
    return with_metadata(
        graph([*nodes, ends], [tensor("X")], [tensor("value", shape=(None, 1))], constants),
        background=[[0.5, 1.0], [2.0, -3.0], [4.0, 0.25]],
    )


def one(operation, *more, **attributes):
    return helper.make_node(operation, ["X", *more], ["Y"], **attributes)


FLOATS = np.array([2.0, 4.0], np.float32)


@pytest.mark.parametrize(
    ("model", "weights", "intercept"),
    [
        (value_of(one("Add", "c"), c=FLOATS), [1, 10], 42),
        (value_of(one("Sub", "c"), c=FLOATS), [1, 10], -42),
        (value_of(one("Mul", "c"), c=FLOATS), [2, 40], 0),
        (value_of(one("Div", "c"), c=FLOATS), [0.5, 2.5], 0),
        (value_of(one("Mul", "c"), c=np.float32(3)), [3, 30], 0),
        (value_of(one("Identity")), [1, 10], 0),
    ],
    ids=["Add", "Sub", "Mul", "Div", "scalar", "Identity"],
)
def test_arithmetic_by_column(model, weights, intercept, tmp_path):
    linear = servable_of(tmp_path, model).linear
    assert linear is not None
    assert linear.weights.tolist() == pytest.approx(weights)
    assert linear.intercept == pytest.approx(intercept)


@pytest.mark.parametrize(
    "model",
    [
        value_of(one("Abs")),
        value_of(helper.make_node("Sub", ["c", "X"], ["Y"]), c=FLOATS),  # the other way round
        value_of(one("Mul", "X")),
        value_of(
            helper.make_node("Cast", ["X"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Cast", ["whole"], ["Y"], to=TensorProto.FLOAT),
        ),
    ],
    ids=["Abs", "c - X", "squared", "rounded"],
)
def test_other_steps_are_not_linear(model, tmp_path):
    assert servable_of(tmp_path, model).linear is None


def test_the_model_itself_has_the_last_word(tmp_path):
    """A reading that is off by a little more than rounding is none."""
    servable = servable_of(tmp_path, fitted(LogisticRegression(max_iter=50), LABELS))
    linear = servable.linear
    rows = np.array(servable.background)
    answers = list(servable.answer(servable.background))
    assert linear.agrees(rows, answers)
    assert linear.of("benign").agrees(rows, answers)
    assert not Linear(linear.weights, linear.intercept + 0.01, *labels(linear)).agrees(
        rows, answers
    )
    assert not Linear(linear.weights * 1.01, linear.intercept, *labels(linear)).agrees(
        rows, answers
    )
    assert not Linear(linear.weights, linear.intercept, *labels(linear)[::-1]).agrees(rows, answers)
    assert not linear.agrees(rows[:1], [Answer("benign")])


def labels(linear):
    return linear.label, linear.other


def test_graphs_without_a_background_are_not_even_read(tmp_path):
    """What others made loads as before."""
    assert servable_of(tmp_path, classifier()).linear is None
    assert servable_of(tmp_path, classifier()).background == ()


def test_a_graph_of_several_inputs_is_not_read(tmp_path):
    servable = servable_of(tmp_path, classifier())
    ports = servable.signature.ports
    signature = type(servable.signature)(
        servable.signature.features, ports * 2, servable.signature.outputs,
        servable.signature.class_labels,
    )  # fmt: skip
    assert read_linear(classifier(), servable.signature) is not None
    assert read_linear(classifier(), signature) is None
