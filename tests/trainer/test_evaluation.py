"""Metrics count malignant as positive, whatever the labels' order."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.inspection import permutation_importance
from sklearn.metrics import brier_score_loss, make_scorer

from exporters.metrics import METRICS, detail, score
from trainer import evaluation
from trainer.candidates import CATALOGUE
from trainer.data import Dataset, load, split
from trainer.target import Problem


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


FIVE = Dataset(
    pd.DataFrame({"p": [0.9, 0.4, 0.6, 0.1, 0.2]}),
    np.array(["malignant", "malignant", "benign", "benign", "benign"]),
    np.arange(5),
    "scripted",
    "digest",
)


def evaluated(dataset=FIVE, model=None):
    return evaluation.evaluate(
        model or Scripted(), dataset.features, dataset.target, dataset.problem
    )


def test_every_metric_is_what_it_is_by_hand():
    scores = score(evaluated())
    assert tuple(scores) == METRICS["binary"]
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["sensitivity"] == pytest.approx(1 / 2)
    assert scores["specificity"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx(1 / 2)
    assert scores["roc_auc"] == pytest.approx(5 / 6)
    assert scores["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert scores["brier_score"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01 + 0.04) / 5)
    logs = np.log([0.9, 0.4, 0.4, 0.9, 0.8])
    assert scores["log_loss"] == pytest.approx(-logs.mean())


def test_the_counts_are_those_of_the_positive_class():
    assert detail(evaluated()) == {
        "true_positives": 1,
        "false_positives": 1,
        "true_negatives": 2,
        "false_negatives": 1,
    }


def test_the_confusion_matrix_has_true_diagnoses_down_and_predictions_across():
    table = evaluation.confusion(evaluated())
    assert list(table) == list(table.index) == ["malignant", "benign"]
    assert table.loc["malignant"].to_dict() == {"malignant": 1, "benign": 1}
    assert table.loc["benign"].to_dict() == {"malignant": 1, "benign": 2}


def test_curves_end_where_curves_end():
    tables = evaluation.tables(evaluated())
    curves = {"roc_curve", "precision_recall_curve", "calibration_curve"}
    assert set(tables) == {"confusion_matrix", *curves}
    roc = tables["roc_curve"][["false_positive_rate", "true_positive_rate"]]
    assert roc.iloc[0].tolist() == [0, 0]
    assert roc.iloc[-1].tolist() == [1, 1]
    assert tables["precision_recall_curve"].iloc[-1][["precision", "recall"]].tolist() == [1, 0]


def test_each_held_out_row_is_there_with_the_probability_of_each_class():
    table = evaluation.held_out_predictions(evaluated(), np.array([3, 5, 8, 13, 21]))
    assert list(table) == [
        *("row", "actual", "prediction"),
        *("probability_benign", "probability_malignant"),
    ]
    assert table["row"].tolist() == [3, 5, 8, 13, 21]
    assert table["probability_malignant"].tolist() == FIVE.features["p"].tolist()


class Certain:
    """A classifier or regressor that answers the column `says`."""

    def __init__(self, classes=()):
        self.classes_ = np.array(classes)

    def predict(self, features):
        return features["says"].to_numpy()

    def predict_proba(self, features):
        return (features["says"].to_numpy()[:, None] == self.classes_) * 0.7 + 0.1

    def fit(self, features, target):
        return self


COLOURS = ("amber dark", "amber/dark", "green")
THREE = Dataset(
    pd.DataFrame({"says": [COLOURS[place] for place in (0, 0, 1, 1, 2, 0)]}),
    np.array([COLOURS[place] for place in (0, 0, 1, 1, 2, 2)]),
    np.arange(6),
    "scripted",
    "digest",
    problem=Problem("colour", "multiclass", COLOURS),
)


def test_several_classes_are_measured_one_against_the_rest():
    found = evaluated(THREE, Certain(COLOURS))
    scores = score(found)
    assert tuple(scores) == METRICS["multiclass"]
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["balanced_accuracy"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert scores["f1"] == pytest.approx((4 / 5 + 1 + 2 / 3) / 3)
    assert scores["roc_auc"] == pytest.approx((7 / 8 + 1 + 3 / 4) / 3)
    # Characters that MLflow does not allow become "_", and the names stay different.
    assert detail(found) == {
        "sensitivity_amber_dark": 1,
        "sensitivity_amber_dark_1": 1,
        "sensitivity_green": 0.5,
    }
    tables = evaluation.tables(found)
    assert set(tables["roc_curve"]["class"]) == set(COLOURS)
    assert tables["confusion_matrix"]["green"].tolist() == [0, 0, 1]
    importance = evaluation.importance(Certain(COLOURS), THREE, repeats=3, seed=0)
    assert importance["mean"][0] > 0


NUMBERS = Dataset(
    pd.DataFrame({"says": np.arange(20.0) + ([0] * 15 + [2] * 5)}),
    np.arange(20.0),
    np.arange(20),
    "scripted",
    "digest",
    problem=Problem("price", "regression"),
)


def test_a_regression_is_measured_by_its_errors():
    found = evaluated(NUMBERS, Certain())
    scores = score(found)
    assert tuple(scores) == METRICS["regression"]
    assert scores["rmse"] == pytest.approx(1)
    assert scores["mae"] == pytest.approx(0.5)
    assert scores["median_absolute_error"] == 0
    assert scores["r2"] == pytest.approx(1 - 20 / ((np.arange(20) - 9.5) ** 2).sum())
    tables = evaluation.tables(found)
    assert tables["residuals"]["residual"].tolist() == [0] * 15 + [2] * 5
    deciles = tables["error_by_decile"]
    assert deciles["rows"].tolist() == [2] * 10
    assert deciles["mean_absolute_error"].tolist() == [0] * 7 + [1, 2, 2]
    assert deciles[["lowest", "highest"]].iloc[-1].tolist() == [18, 19]
    assert list(evaluation.held_out_predictions(found, NUMBERS.rows)) == [
        *("row", "actual", "prediction")
    ]


def test_the_feature_that_decides_is_the_most_important():
    two = replace(FIVE, features=FIVE.features.assign(noise=range(5)))
    table = evaluation.importance(Scripted(), two, repeats=5, seed=0)
    assert table["feature"].tolist() == ["p", "noise"]
    assert table["mean"][0] > 0
    assert table["mean"][1] == 0


@pytest.mark.parametrize("rows_of_one_prediction", [1, 300])
def test_importance_is_that_of_scikit_learn(rows_of_one_prediction, monkeypatch):
    monkeypatch.setattr(evaluation, "ROWS_OF_ONE_PREDICTION", rows_of_one_prediction)
    rows = split(load())
    fit, features = rows.train, rows.train.features.columns[:5]
    pipeline = CATALOGUE["logistic_regression"].build(0).fit(fit.features[features], fit.target)
    test = replace(rows.test, features=rows.test.features[features])
    table = evaluation.importance(pipeline, test, repeats=3, seed=7)
    expected = permutation_importance(
        pipeline, test.features, test.target, n_repeats=3, random_state=7,
        scoring=make_scorer(
            brier_score_loss, greater_is_better=False, response_method="predict_proba",
            pos_label="malignant",
        ),
    )  # fmt: skip
    by_name = table.set_index("feature").loc[features]
    assert by_name["mean"].to_numpy() == pytest.approx(expected.importances_mean, abs=1e-12)
    assert by_name["std"].to_numpy() == pytest.approx(expected.importances_std, abs=1e-12)


def test_cross_validation_gives_mean_and_spread_of_every_metric_and_depends_on_the_seed_alone():
    train = split(load()).train
    pipeline = CATALOGUE["logistic_regression"].build(0)
    scores = evaluation.cross_validated(pipeline, train, folds=3, seed=5)
    assert set(scores) == {
        f"cv_{name}_{how}" for name in METRICS["binary"] for how in ("mean", "std")
    }
    assert scores == evaluation.cross_validated(pipeline, train, folds=3, seed=5)
    assert scores["cv_roc_auc_mean"] > 0.98
    assert not hasattr(pipeline, "classes_")


def test_a_tie_in_roc_auc_goes_to_the_smaller_log_loss():
    better, worse = ({"cv_roc_auc_mean": 0.99, "cv_log_loss_mean": loss} for loss in (0.05, 0.3))
    assert evaluation.rank(better) > evaluation.rank(worse)


def test_the_smaller_error_of_a_regression_wins():
    assert evaluation.rank({"cv_rmse_mean": 1.0}) > evaluation.rank({"cv_rmse_mean": 2.0})
