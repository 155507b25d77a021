"""Metrics count malignant as positive, whatever the labels' order."""

import numpy as np
import pandas as pd
import pytest

from trainer import evaluation
from trainer.candidates import CATALOGUE
from trainer.data import Dataset, load, split


class Scripted:
    """A classifier that answers the probability of malignant in its rows' only column."""

    classes_ = np.array(["benign", "malignant"])

    def fit(self, features, diagnosis):
        return self

    def predict_proba(self, features):
        malignant = features["p"].to_numpy()
        return np.column_stack([1 - malignant, malignant])

    def predict(self, features):
        return np.where(features["p"] > 0.5, "malignant", "benign")


FOUR = Dataset(
    pd.DataFrame({"p": [0.9, 0.4, 0.6, 0.1, 0.2]}),
    np.array(["malignant", "malignant", "benign", "benign", "benign"]),
    "scripted",
    "digest",
)


def test_every_metric_is_what_it_is_by_hand():
    scores = evaluation.score(Scripted(), FOUR.features, FOUR.diagnosis)
    assert tuple(scores) == evaluation.METRICS
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["sensitivity"] == pytest.approx(1 / 2)
    assert scores["specificity"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx(1 / 2)
    assert scores["roc_auc"] == pytest.approx(5 / 6)
    assert scores["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert scores["brier_score"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01 + 0.04) / 5)
    logs = np.log([0.9, 0.4, 0.4, 0.9, 0.8])
    assert scores["log_loss"] == pytest.approx(-logs.mean())


def test_the_confusion_matrix_has_true_diagnoses_down_and_predictions_across():
    table = evaluation.confusion(FOUR, Scripted().predict(FOUR.features))
    assert table.loc["malignant"].to_dict() == {"malignant": 1, "benign": 1}
    assert table.loc["benign"].to_dict() == {"malignant": 1, "benign": 2}


def test_curves_end_where_curves_end():
    tables = evaluation.curves(FOUR, FOUR.features["p"].to_numpy())
    assert set(tables) == {"roc_curve", "precision_recall_curve", "calibration_curve"}
    roc = tables["roc_curve"][["false_positive_rate", "true_positive_rate"]]
    assert roc.iloc[0].tolist() == [0, 0]
    assert roc.iloc[-1].tolist() == [1, 1]
    assert tables["precision_recall_curve"].iloc[-1][["precision", "recall"]].tolist() == [1, 0]


def test_the_feature_that_decides_is_the_most_important():
    two = FOUR.features.assign(noise=range(5))
    table = evaluation.importance(
        Scripted(), Dataset(two, FOUR.diagnosis, "scripted", "digest"), repeats=5, seed=0
    )
    assert table["feature"].tolist() == ["p", "noise"]
    assert table["mean"][0] > 0
    assert table["mean"][1] == 0


def test_cross_validation_gives_mean_and_spread_of_every_metric_and_depends_on_the_seed_alone():
    train = split(load()).train
    pipeline = CATALOGUE["logistic_regression"].build(0)
    scores = evaluation.cross_validated(pipeline, train, folds=3, seed=5)
    assert set(scores) == {
        f"cv_{name}_{how}" for name in evaluation.METRICS for how in ("mean", "std")
    }
    assert scores == evaluation.cross_validated(pipeline, train, folds=3, seed=5)
    assert scores["cv_roc_auc_mean"] > 0.98
    assert not hasattr(pipeline, "classes_")


def test_a_tie_in_roc_auc_goes_to_the_smaller_log_loss():
    better, worse = ({"cv_roc_auc_mean": 0.99, "cv_log_loss_mean": loss} for loss in (0.05, 0.3))
    assert evaluation.rank(better) > evaluation.rank(worse)
