"""A wrong export is caught, with numbers that are right."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM

from exporters.answers import PredictionKind, session
from exporters.convert import _converted, _features, convert
from exporters.errors import ParityError
from exporters.export import export, task_of
from exporters.metadata import Settings
from exporters.parity import compare
from exporters.splits import split_rows
from exporters.table import read_table


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
    """A pipeline, its faithful export, and a comparison of the test rows with any other."""
    pipeline = fitted("logistic_regression")
    table = read_table(rows.test.features)

    def compared(content, model=pipeline, **kinds):
        given = kinds or {"given": rows.test.features}
        return compare(model, content, task_of(model, table), table, given)

    return pipeline, export(pipeline, rows.test.features).content, compared


def test_a_shifted_intercept_is_reported_with_its_rows_its_size_and_its_worst_row(linear, rows):
    pipeline, content, compared = linear
    broken = with_linear_classifier(content, intercepts=lambda old: np.add(old, [-1, 1]))
    logit = pipeline.decision_function(rows.test.features)
    difference = expit(logit + 1) - expit(logit)
    relabelled = (logit < 0) & (logit + 1 > 0)  # the logit also decides the label

    report = compared(broken)

    assert not report.passed
    assert report.rows == 114
    assert report.mismatches == int((difference > 1e-5).sum())
    assert report.label_mismatches == int(relabelled.sum()) > 0
    assert report.largest_difference == pytest.approx(difference.max(), abs=1e-6)
    worst = np.flatnonzero(relabelled)[difference[relabelled].argmax()]
    assert (report.worst.kind, report.worst.index) == ("given", worst)
    assert report.worst.record == rows.test.features.iloc[worst].to_dict()
    assert report.worst.expected.prediction == "benign"
    assert report.worst.answered.prediction == "malignant"


def test_the_error_carries_the_report_and_its_message_the_numbers(linear):
    _, content, compared = linear
    report = compared(with_linear_classifier(content, coefficients=lambda old: -old))
    with pytest.raises(ParityError) as raised:
        report.require("Try this.")
    assert raised.value.report is report
    message = str(raised.value)
    assert f"{report.mismatches} of 114 rows" in message
    assert f"{report.largest_difference:.3g}" in message
    assert f"row {report.worst.index} of the kind 'given'" in message
    assert message.endswith("Try this.")
    assert "\n" not in message
    assert json.loads(json.dumps(report.as_dict()))["mismatches"] == report.mismatches


def test_labels_in_the_wrong_order_are_caught_though_every_probability_agrees(linear):
    _, content, compared = linear
    report = compared(with_linear_classifier(content, classlabels_strings=lambda old: old[::-1]))
    assert report.label_mismatches == report.mismatches == 114
    assert report.largest_difference < 1e-6


def test_an_answer_that_is_no_number_is_a_mismatch(linear):
    _, content, compared = linear
    report = compared(with_linear_classifier(content, intercepts=lambda old: old * np.nan))
    assert report.mismatches == 114
    assert report.largest_difference == np.inf
    json.dumps(report.as_dict(), allow_nan=False)


class Undecided:
    """A classifier that predicts the same for every row."""

    _estimator_type = "classifier"
    classes_ = np.array(["benign", "malignant"])

    def __init__(self, label, malignant):
        self.label = label
        self.malignant = malignant

    def predict(self, table):
        return np.full(len(table), self.label)

    def predict_proba(self, table):
        return np.tile([1 - self.malignant, self.malignant], (len(table), 1))


def test_wrong_probabilities_of_several_targets_are_caught_though_every_label_agrees(rows):
    features = rows.test.features.iloc[:, :3]
    targets = features.iloc[:, :2] > features.iloc[:, :2].mean()
    model = make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression()))
    table, content = read_table(features), export(model.fit(features, targets), features).content
    twice = with_linear_classifier(
        content, coefficients=lambda old: 2 * old, intercepts=lambda old: 2 * old
    )
    report = compare(model, twice, task_of(model, table), table, {"given": features})
    assert report.measure == "probabilities"
    assert report.label_mismatches == 0
    assert report.mismatches > 100
    assert report.largest_difference > 0.1


MARGINS = {
    "linear": LinearSVC(), "vectors": SVC(), "nu": NuSVC(), "perceptron": Perceptron(), "sgd": SGDClassifier(),
    "search": GridSearchCV(SVC(), {"C": [1, 2]}), "pairs": OneVsOneClassifier(LinearSVC()),
    "one class": OneClassSVM(), "clusters": KMeans(3, n_init=1),
}  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", MARGINS)
def test_scores_are_those_of_the_library(rows, name, classes):
    """Of two classes: one column, the decision function; its sign says which class."""
    features = rows.train.features
    area = features["mean_area"]
    target = area > 500 if classes == 2 else np.digitize(area, [500, 800])
    model = make_pipeline(StandardScaler(), MARGINS[name]).fit(features, target)
    made = export(model, features)
    assert made.parity.measure == "scores"
    assert 0 < made.parity.largest_difference < 1e-5
    runner = session(made.content)
    label, scores = runner.run(None, made.table.feed(runner.get_inputs()))
    function = model.transform if name == "clusters" else model.decision_function
    expected = np.asarray(function(features)).reshape(len(features), -1)
    np.testing.assert_allclose(scores.reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)
    if classes == 2 and name not in {"one class", "clusters"}:
        np.testing.assert_array_equal(label.ravel(), scores[:, 0] > 0)


def test_wrong_scores_are_caught_though_every_label_agrees(rows):
    features = rows.test.features
    model = make_pipeline(StandardScaler(), LinearSVC()).fit(features, rows.test.target)
    table, content = read_table(features), export(model, features).content
    twice = with_linear_classifier(
        content, coefficients=lambda old: 2 * old, intercepts=lambda old: 2 * old
    )
    report = compare(model, twice, task_of(model, table), table, {"given": features})
    assert (report.measure, report.label_mismatches) == ("scores", 0)
    assert report.mismatches > 100


@pytest.mark.parametrize("label", ["benign", "malignant"])
def test_labels_may_differ_only_where_the_library_ties_and_these_rows_are_listed(linear, label):
    _, content, compared = linear
    tied = with_linear_classifier(
        content, coefficients=lambda old: old * 0, intercepts=lambda old: old * 0
    )
    report = compared(tied, Undecided(label, 0.5))
    assert report.passed
    flipped = report.flips[0].answered.prediction != label if report.flips else None
    assert report.flip_count in {0, 114}
    assert flipped is not False
    nearly = Undecided("malignant", 0.500009)
    other = with_linear_classifier(
        content, coefficients=lambda old: old * 0, intercepts=lambda old: old * 0 + [1e-7, -1e-7]
    )
    assert not compared(other, nearly).passed


def test_the_worst_row_is_found_in_its_own_kind(linear, rows):
    _, content, compared = linear
    broken = with_linear_classifier(content, intercepts=lambda old: np.add(old, [-1, 1]))
    sure = pd.DataFrame(np.full((3, 30), 1e4), columns=rows.test.features.columns)
    report = compared(broken, sure=sure, given=rows.test.features)
    assert report.worst.kind == "given"
    assert report.rows_by_kind == {"sure": 3, "given": 114}


def test_values_may_differ_by_a_share_of_their_spread():
    frame = pd.DataFrame({"a": np.linspace(0, 1000, 50)})
    model = LinearRegression().fit(frame, frame["a"] + 1e6)
    table = read_table(frame)
    task = PredictionKind(labels=False, probabilities=False)
    content = convert(model, table, task).SerializeToString()
    # float32 has a distance of 0.06 at 1e6, and the spread is 1000.
    assert not compare(model, content, task, table, {"given": frame}, tolerance=1e-9).passed
    report = compare(model, content, task, table, {"given": frame}, tolerance=1e-6)
    assert report.passed
    assert report.measure == "values"


def test_predictions_of_another_shape_are_a_parity_error_too():
    frame = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0) ** 2})
    both = LinearRegression().fit(frame, frame)
    one = LinearRegression().fit(frame, frame["a"])
    table, task = read_table(frame), PredictionKind(labels=False, probabilities=False)
    content = convert(one, table, task).SerializeToString()
    with pytest.raises(ParityError, match=r"predictions of shape \(20, 2\)"):
        compare(both, content, task, table, {"given": frame})


def test_thresholds_rounded_to_the_nearest_float32_fail_at_the_splits(fitted, rows):
    """What skl2onnx does with histogram gradient boosting by itself."""
    pipeline = fitted("hist_gradient_boosting")
    table = read_table(rows.train.features)
    task = task_of(pipeline, table)
    ours = convert(pipeline, table, task)
    at_splits = split_rows(ours, table).frame
    plain = _converted(pipeline, [_features(table, "float32")])
    report = compare(pipeline, ours.SerializeToString(), task, table, {"split": at_splits})
    assert report.passed
    rounded = onnx.load_from_string(ours.SerializeToString())
    trees = [each for each in rounded.graph.node if each.op_type.startswith("TreeEnsemble")]
    theirs = [each for each in plain.graph.node if each.op_type.startswith("TreeEnsemble")]
    for node, other in zip(trees, theirs, strict=True):
        values = next(each for each in node.attribute if each.name == "nodes_values")
        values.CopyFrom(next(each for each in other.attribute if each.name == "nodes_values"))
    nearest = compare(pipeline, rounded.SerializeToString(), task, table, {"split": at_splits})
    assert nearest.mismatches > 0


def test_a_failed_proof_is_given_to_the_caller_before_the_error(rows):
    model = SVR().fit(rows.train.features, np.arange(455.0))
    reports = []
    with pytest.raises(ParityError, match="larger `tolerance`"):
        export(model, rows.train.features, Settings(tolerance=1e-30, failed=reports.append))
    assert [report.passed for report in reports] == [False]
