"""A fitted pipeline becomes an ONNX model that says what a server must know."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import onnx
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from exporters.contract import linear_model
from exporters.errors import ConversionError
from exporters.parity import compare, session
from exporters.rows import parity_rows
from exporters.sklearn_onnx import export
from trainer.candidates import CATALOGUE
from trainer.wdbc import FEATURES


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_candidate_answers_like_the_original_in_onnx(fitted, rows, name):
    pipeline = fitted(name)
    exported = export(pipeline, rows.test.features, "malignant")
    report = compare(pipeline, exported.content, parity_rows(pipeline, rows.train.features))
    report.require()
    assert report.rows_by_kind["dataset"] == 455
    assert report.rows_by_kind["generated"] == 1500
    if name in {"random_forest", "hist_gradient_boosting"}:
        assert report.rows_by_kind["threshold"] > 1000


@pytest.fixture(scope="module")
def exported(fitted, rows):
    return export(fitted("logistic_regression"), rows.test.features, "malignant")


def test_the_graph_takes_one_float_tensor_and_answers_two_plain_tensors(exported):
    running = session(exported.content)
    (taken,) = running.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("features", "tensor(float)", [None, 30])
    answered = [(each.name, each.type, each.shape) for each in running.get_outputs()]
    assert answered == [
        ("label", "tensor(string)", [None]),
        ("probabilities", "tensor(float)", [None, 2]),
    ]


def test_the_file_is_valid_names_each_opset_once_and_has_the_digest_it_says(exported):
    proto = onnx.load_from_string(exported.content)
    onnx.checker.check_model(proto)
    domains = [each.domain for each in proto.opset_import]
    assert sorted(domains) == ["", "ai.onnx.ml"]
    assert exported.sha256 == hashlib.sha256(exported.content).hexdigest()


def test_names_labels_and_recorded_examples_travel_inside_the_file(exported, fitted, rows):
    proto = onnx.load_from_string(exported.content)
    props = {each.key: json.loads(each.value) for each in proto.metadata_props}
    assert props["feature_names"] == list(FEATURES)
    assert props["class_labels"] == ["benign", "malignant"]
    assert props["positive_class"] == "malignant"
    examples = props["recorded_examples"]
    assert len(examples) == 5
    assert examples[0]["prediction"] == "benign"
    assert examples[0]["probabilities"]["benign"] > 0.99
    assert examples[-1]["prediction"] == "malignant"
    assert examples[-1]["probabilities"]["malignant"] > 0.99
    for example in examples:
        row = np.array([[example["record"][name] for name in FEATURES]], np.float32)
        labels, probabilities = session(exported.content).run(None, {"features": row})
        assert labels[0] == example["prediction"]
        expected = [example["probabilities"][label] for label in props["class_labels"]]
        np.testing.assert_allclose(probabilities[0], expected, atol=1e-5)


def test_the_same_pipeline_exports_to_the_same_bytes(exported, fitted, rows):
    again = export(fitted("logistic_regression"), rows.test.features, "malignant")
    assert again == exported


def linear_entry(pipeline, rows):
    content = export(pipeline, rows.test.features, "malignant").content
    props = onnx.load_from_string(content).metadata_props
    return next((json.loads(each.value) for each in props if each.key == "linear"), None)


@pytest.mark.parametrize(
    ("scaler", "positive"),
    [
        (None, "malignant"),
        (StandardScaler(), "malignant"),
        (StandardScaler(), "benign"),
        (StandardScaler(with_mean=False), "malignant"),
        (StandardScaler(with_std=False), "malignant"),
        (StandardScaler(with_mean=False, with_std=False), "malignant"),
    ],
    ids=str,
)
def test_coefficients_of_a_logistic_regression_are_in_the_features_units(scaler, positive, rows):
    scale = [("scale", scaler)] if scaler else []
    pipeline = Pipeline([*scale, ("classify", LogisticRegression(solver="liblinear"))])
    pipeline.fit(rows.train.features, rows.train.diagnosis)
    linear = linear_model(pipeline, positive)
    sums = rows.test.features.to_numpy() @ linear.coefficients + linear.intercept
    sign = 1 if pipeline.classes_[1] == positive else -1
    expected = sign * pipeline.decision_function(rows.test.features)
    np.testing.assert_allclose(sums, expected, rtol=1e-9, atol=1e-9)
    if positive == "malignant":
        assert linear_entry(pipeline, rows) == asdict(linear)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name != "logistic_regression"])
def test_other_candidates_have_no_coefficients(name, fitted):
    assert linear_model(fitted(name), "malignant") is None


@pytest.mark.parametrize("step", [MinMaxScaler(clip=True), Normalizer()], ids=str)
def test_other_steps_have_no_coefficients(step, rows):
    pipeline = Pipeline([("step", step), ("classify", LogisticRegression(solver="liblinear"))])
    pipeline.fit(rows.train.features, rows.train.diagnosis)
    assert linear_model(pipeline, "malignant") is None


class Odd(TransformerMixin, BaseEstimator):
    """A transformer that nobody wrote a converter for."""

    def fit(self, features, target=None):
        self.n_features_in_ = features.shape[1]
        return self

    def transform(self, features):
        return features


def test_a_step_without_a_converter_is_named_in_one_paragraph(rows):
    pipeline = Pipeline([("odd", Odd()), ("classify", LogisticRegression(solver="liblinear"))])
    pipeline.fit(rows.train.features / 1000, rows.train.diagnosis)
    with pytest.raises(ConversionError) as raised:
        export(pipeline, rows.test.features, "malignant")
    assert raised.value.step == "odd (Odd)"
    message = str(raised.value)
    assert "odd (Odd)" in message
    assert "\n" not in message
    assert len(message) < 450
