"""Realised performance equals that of scikit-learn on the same rows, and its intervals hold their level."""

import math

import numpy as np
import pytest
from sklearn import metrics

from trainer import realised
from trainer.realised import Estimate

RANDOM = np.random.default_rng(7)


def rows(count=400, share=0.3):
    """Whether rows are positive, and probabilities that know something of it, with ties."""
    actual = RANDOM.random(count) < share
    probability = np.clip(0.5 * actual + RANDOM.normal(0.3, 0.25, count), 0, 1).round(2)
    return actual, probability


def test_one_class_against_the_rest():
    actual, probability = rows()
    called = probability > 0.5
    found = {
        name: each.value for name, each in realised.binary(actual, called, probability).items()
    }
    report = {
        "sensitivity": metrics.recall_score(actual, called),
        "specificity": metrics.recall_score(actual, called, pos_label=False),
        "positive_predictive_value": metrics.precision_score(actual, called),
        "negative_predictive_value": metrics.precision_score(actual, called, pos_label=False),
        "accuracy": metrics.accuracy_score(actual, called),
        "roc_auc": metrics.roc_auc_score(actual, probability),
        "brier_score": metrics.brier_score_loss(actual, probability),
        "observed_to_expected": actual.sum() / probability.sum(),
    }
    assert found == pytest.approx(report, rel=1e-12)


def test_several_classes():
    actual = RANDOM.integers(0, 3, 300)
    scores = RANDOM.dirichlet([1, 1, 1], 300) + 0.6 * np.eye(3)[actual]
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    together, each = realised.several_classes(actual, predicted, scores, 3)
    assert together["accuracy"].value == pytest.approx(metrics.accuracy_score(actual, predicted))
    assert together["balanced_accuracy"].value == pytest.approx(
        metrics.balanced_accuracy_score(actual, predicted)
    )
    assert together["roc_auc"].value == pytest.approx(
        metrics.roc_auc_score(actual, scores, multi_class="ovr", average="macro")
    )
    assert together["brier_score"].value == pytest.approx(
        np.mean(np.sum((scores - np.eye(3)[actual]) ** 2, axis=1))
    )
    for number, found in enumerate(each):
        assert found["sensitivity"].value == pytest.approx(
            metrics.recall_score(actual == number, predicted == number)
        )


def test_values():
    actual, predicted = RANDOM.normal(size=200), RANDOM.normal(size=200)
    found = {name: each.value for name, each in realised.values(actual, predicted).items()}
    assert found == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(actual, predicted),
            "rmse": metrics.root_mean_squared_error(actual, predicted),
            "bias": np.mean(predicted - actual),
        }
    )


@pytest.mark.parametrize("name", ["sensitivity", "specificity", "roc_auc", "brier_score"])
def test_intervals_hold_their_level(name):
    """The interval of a sample has the value of the whole population about 95 times of 100."""
    actual, probability = rows(100_000)
    whole = realised.binary(actual, probability > 0.5, probability)[name].value
    inside = 0
    for _ in range(400):
        chosen = RANDOM.integers(0, len(actual), 150)
        found = realised.binary(actual[chosen], probability[chosen] > 0.5, probability[chosen])[
            name
        ]
        inside += found.low <= whole <= found.high
    assert inside / 400 > 0.91


def test_calibration_is_by_tenths_of_the_probability():
    actual = np.array([True, False, True, True, False])
    bins = realised.calibration(actual, np.array([0.05, 0.05, 0.95, 1.0, 0.3]))
    assert [(each.low, each.observed.count, each.observed.of) for each in bins] == [
        (0.0, 1, 2), (0.3, 0, 1), (0.9, 2, 2),
    ]  # fmt: skip
    assert [each.expected for each in bins] == pytest.approx([0.05, 0.3, 0.975])


def unknown(estimate):
    return math.isnan(estimate.value) and math.isnan(estimate.low)


def test_what_the_rows_do_not_tell_is_unknown():
    """Not 0, and not 1."""
    none = np.array([], bool)
    assert all(unknown(each) for each in realised.binary(none, none, none.astype(float)).values())
    positive = np.array([True, True])
    found = realised.binary(positive, positive, np.array([0.9, 0.8]))
    assert unknown(found["specificity"])
    assert unknown(found["roc_auc"])
    assert found["sensitivity"].value == 1
    assert found["sensitivity"].low < 0.5
    assert "roc_auc" not in realised.binary(positive, positive, None)
    nothing = np.array([], float)
    assert all(unknown(each) for each in realised.values(nothing, nothing).values())
    one = realised.values(np.array([1.0]), np.array([2.0]))["mae"]
    assert (one.value, math.isnan(one.low)) == (1, True)
    together, _ = realised.several_classes(none.astype(int), none.astype(int), None, 3)
    assert all(unknown(each) for each in together.values())


def test_json_has_no_nan():
    shown = realised.as_json({"a": Estimate(math.nan), "b": Estimate(0.5, 0.4, 0.6)})
    assert shown["a"] == {"value": None, "low": None, "high": None}
    assert shown["b"] == {"value": 0.5, "low": 0.4, "high": 0.6}
