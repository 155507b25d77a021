"""Evaluate a fitted pipeline: metrics, curves as tables, and feature importance."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.model_selection import StratifiedKFold, cross_validate

from trainer.data import NEGATIVE, POSITIVE, TARGET, Dataset

METRICS = (
    "accuracy",
    "roc_auc",
    "average_precision",
    "f1",
    "sensitivity",
    "specificity",
    "brier_score",
    "log_loss",
)


def malignant_probability(pipeline: Any, features: pd.DataFrame) -> NDArray[np.float64]:
    """The probability of malignant for each row [N]."""
    probabilities: NDArray[np.float64] = pipeline.predict_proba(features)
    return probabilities[:, list(pipeline.classes_).index(POSITIVE)]


def score(pipeline: Any, features: pd.DataFrame, diagnosis: NDArray[np.str_]) -> dict[str, float]:
    """Every one of METRICS, with malignant as the positive class; a scorer in scikit-learn's sense."""
    probability = malignant_probability(pipeline, features)
    malignant = diagnosis == POSITIVE
    predicted = pipeline.predict(features) == POSITIVE
    return {
        "accuracy": float(metrics.accuracy_score(malignant, predicted)),
        "roc_auc": float(metrics.roc_auc_score(malignant, probability)),
        "average_precision": float(metrics.average_precision_score(malignant, probability)),
        "f1": float(metrics.f1_score(malignant, predicted, zero_division=0)),
        "sensitivity": float(metrics.recall_score(malignant, predicted)),
        "specificity": float(metrics.recall_score(malignant, predicted, pos_label=False)),
        "brier_score": float(metrics.brier_score_loss(malignant, probability)),
        "log_loss": float(metrics.log_loss(malignant, probability)),
    }


def cross_validated(pipeline: Any, train: Dataset, *, folds: int, seed: int) -> dict[str, float]:
    """`cv_<metric>_mean` and `cv_<metric>_std` over stratified folds that depend only on the seed."""
    scores = cross_validate(
        clone(pipeline),
        train.features,
        train.diagnosis,
        scoring=score,
        cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        error_score="raise",
    )
    return {
        f"cv_{name}_{how}": float(statistic(scores[f"test_{name}"]))
        for name in METRICS
        for how, statistic in (("mean", np.mean), ("std", np.std))
    }


def curves(test: Dataset, probability: NDArray[np.float64]) -> dict[str, pd.DataFrame]:
    """The curves of the held-out rows as tables, by file name; `probability` is that of malignant [N]."""
    malignant = test.diagnosis == POSITIVE
    false_positive, true_positive, roc_threshold = metrics.roc_curve(malignant, probability)
    precision, recall, threshold = metrics.precision_recall_curve(malignant, probability)
    fraction, mean = calibration_curve(malignant, probability)
    return {
        "roc_curve": pd.DataFrame(
            {
                "false_positive_rate": false_positive,
                "true_positive_rate": true_positive,
                "threshold": roc_threshold,
            }
        ),
        "precision_recall_curve": pd.DataFrame(
            # The last point, recall 0, has no threshold.
            {"precision": precision, "recall": recall, "threshold": [*threshold, np.nan]}
        ),
        "calibration_curve": pd.DataFrame(
            {"mean_probability": mean, "fraction_malignant": fraction}
        ),
    }


def confusion(test: Dataset, predicted: NDArray[np.str_]) -> pd.DataFrame:
    """Rows of each true diagnosis (index) by predicted diagnosis (columns), malignant first."""
    labels = [POSITIVE, NEGATIVE]
    counts = metrics.confusion_matrix(test.diagnosis, predicted, labels=labels)
    return pd.DataFrame(counts, index=pd.Index(labels, name=TARGET), columns=labels)


def importance(pipeline: Any, test: Dataset, *, repeats: int, seed: int) -> pd.DataFrame:
    """The increase of the held-out rows' Brier score when one feature is shuffled, largest first.

    The Brier score moves with every probability, and with no single one without bound. ROC-AUC of a
    good model hardly moves when one of thirty correlated features is lost, and log loss jumps when a
    forest is sure and wrong about one row. Columns: feature, mean, std.
    """
    result = permutation_importance(
        pipeline,
        test.features,
        test.diagnosis,
        scoring=_negated_brier_score,
        n_repeats=repeats,
        random_state=seed,
    )
    table = pd.DataFrame(
        {
            "feature": test.features.columns,
            "mean": result.importances_mean,
            "std": result.importances_std,
        }
    )
    return table.sort_values("mean", ascending=False, ignore_index=True)


def _negated_brier_score(
    pipeline: Any, features: pd.DataFrame, diagnosis: NDArray[np.str_]
) -> float:
    probability = malignant_probability(pipeline, features)
    return -float(np.mean((probability - (diagnosis == POSITIVE)) ** 2))


def rank(scores: Mapping[str, float]) -> tuple[float, float]:
    """The search objective: the highest cross-validated ROC-AUC, then the lowest log loss."""
    return scores["cv_roc_auc_mean"], -scores["cv_log_loss_mean"]
