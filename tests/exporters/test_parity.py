"""A wrong export is caught, with numbers that are right."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from exporters.errors import ParityError
from exporters.parity import compare
from exporters.rows import parity_rows
from exporters.sklearn_onnx import _convert, export


def with_linear_classifier(content, **changes):
    """A logistic regression's model with attributes of its classifier node replaced."""
    proto = onnx.load_from_string(content)
    node = next(each for each in proto.graph.node if each.op_type == "LinearClassifier")
    for name, change in changes.items():
        attribute = next(each for each in node.attribute if each.name == name)
        changed = change(np.array(onnx.helper.get_attribute_value(attribute)))
        node.attribute.remove(attribute)
        node.attribute.append(onnx.helper.make_attribute(name, changed.tolist()))
    return proto.SerializeToString()


@pytest.fixture(scope="module")
def linear(fitted, rows):
    """A pipeline and its faithful export."""
    pipeline = fitted("logistic_regression")
    return pipeline, export(pipeline, rows.test.features, "malignant").content


def test_a_shifted_intercept_is_reported_with_its_rows_its_size_and_its_worst_row(linear, rows):
    pipeline, content = linear
    broken = with_linear_classifier(content, intercepts=lambda old: np.add(old, [-1, 1]))
    logit = pipeline.decision_function(rows.test.features)
    difference = expit(logit + 1) - expit(logit)
    # The logit is also what the label is decided by.
    relabelled = (logit < 0) & (logit + 1 > 0)

    report = compare(pipeline, broken, {"dataset": rows.test.features})

    assert not report.passed
    assert report.rows == 114
    assert report.mismatches == int((difference > 1e-5).sum())
    assert report.label_mismatches == int(relabelled.sum()) > 0
    assert report.largest_difference == pytest.approx(difference.max(), abs=1e-6)
    worst = np.flatnonzero(relabelled)[difference[relabelled].argmax()]
    assert (report.worst.kind, report.worst.index) == ("dataset", worst)
    assert report.worst.record == rows.test.features.iloc[worst].to_dict()
    assert report.worst.expected.prediction == "benign"
    assert report.worst.answered.prediction == "malignant"


def test_the_error_carries_the_report_and_its_message_the_numbers(linear, rows):
    pipeline, content = linear
    broken = with_linear_classifier(content, coefficients=lambda old: -old)
    report = compare(pipeline, broken, {"dataset": rows.test.features})
    with pytest.raises(ParityError) as raised:
        report.require()
    assert raised.value.report is report
    message = str(raised.value)
    assert f"{report.mismatches} of 114 rows" in message
    assert f"{report.largest_difference:.3g}" in message
    assert f"dataset row {report.worst.index}" in message
    assert "\n" not in message
    assert json.loads(json.dumps(report.as_dict()))["mismatches"] == report.mismatches


def test_labels_in_the_wrong_order_are_caught_though_every_probability_agrees(linear, rows):
    pipeline, content = linear
    broken = with_linear_classifier(content, classlabels_strings=lambda old: old[::-1])
    report = compare(pipeline, broken, {"dataset": rows.test.features})
    assert report.label_mismatches == report.mismatches == 114
    assert report.largest_difference < 1e-6


def test_an_answer_that_is_no_number_is_a_mismatch(linear, rows):
    pipeline, content = linear
    broken = with_linear_classifier(content, intercepts=lambda old: old * np.nan)
    report = compare(pipeline, broken, {"dataset": rows.test.features})
    assert report.mismatches == 114
    assert report.largest_difference == np.inf


class Undecided:
    """A classifier whose answer is the same for every row."""

    classes_ = np.array(["benign", "malignant"])

    def __init__(self, label, malignant):
        self.label = label
        self.malignant = malignant

    def predict(self, table):
        return np.full(len(table), self.label)

    def predict_proba(self, table):
        return np.tile([1 - self.malignant, self.malignant], (len(table), 1))


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_labels_may_differ_only_where_the_original_ties(linear, rows, label):
    _, content = linear
    tied = with_linear_classifier(
        content, coefficients=lambda old: old * 0, intercepts=lambda old: old * 0
    )
    assert compare(Undecided(label, 0.5), tied, {"dataset": rows.test.features}).passed
    nearly = Undecided("malignant", 0.500009)
    flipped = with_linear_classifier(
        content, coefficients=lambda old: old * 0, intercepts=lambda old: old * 0 + [1e-7, -1e-7]
    )
    assert not compare(nearly, flipped, {"dataset": rows.test.features}).passed


def test_the_worst_row_is_found_in_its_own_kind(linear, rows):
    pipeline, content = linear
    broken = with_linear_classifier(content, intercepts=lambda old: np.add(old, [-1, 1]))
    sure = pd.DataFrame(np.full((3, 30), 1e4), columns=rows.test.features.columns)
    report = compare(pipeline, broken, {"sure": sure, "dataset": rows.test.features})
    assert report.worst.kind == "dataset"
    assert report.rows_by_kind == {"sure": 3, "dataset": 114}


def test_thresholds_rounded_to_the_nearest_float32_fail_at_the_thresholds(fitted, rows):
    """What skl2onnx does with histogram gradient boosting by itself."""
    pipeline = fitted("hist_gradient_boosting")
    checked = parity_rows(pipeline, rows.train.features)
    plain = _convert(pipeline, 30).SerializeToString()
    report = compare(pipeline, plain, checked)
    assert report.mismatches > 0
    assert report.worst.kind == "threshold"
    ours = export(pipeline, rows.test.features, "malignant").content
    assert compare(pipeline, ours, checked).passed


def test_boosting_without_a_cast_to_float32_fails_on_real_rows(rows):
    """Why the candidate's pipeline has one: its thresholds can be training values."""
    pipeline = Pipeline([("classify", HistGradientBoostingClassifier(random_state=0))])
    pipeline.fit(rows.train.features, rows.train.diagnosis)
    content = export(pipeline, rows.test.features, "malignant").content
    assert not compare(pipeline, content, {"dataset": rows.train.features}).passed
