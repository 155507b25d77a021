"""Evaluate a fitted pipeline by task: metrics, tables, and feature importance."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.model_selection import KFold, StratifiedKFold, cross_validate
from sklearn.utils import check_random_state

from exporters.metrics import METRICS, Evaluation, Task, score
from trainer.data import Dataset
from trainer.target import Problem

# The metric by which a search chooses, and its title.
HEADLINE: Mapping[Task, tuple[str, str]] = {
    "binary": ("roc_auc", "ROC-AUC"),
    "multiclass": ("roc_auc", "ROC-AUC"),
    "regression": ("rmse", "RMSE"),
}
IMPORTANCE_MEASURE: Mapping[Task, str] = {
    "binary": "Brier score",
    "multiclass": "Brier score",
    "regression": "mean squared error",
}
DECILES = 10
# A forest predicts thousands of rows nearly as quickly as a hundred.
ROWS_OF_ONE_PREDICTION = 10_000


def evaluate(
    pipeline: Any, features: pd.DataFrame, target: NDArray[Any], problem: Problem
) -> Evaluation:
    """The predictions of a fitted pipeline for these rows."""
    classes = np.array(problem.classes)
    return Evaluation(
        task=problem.task,
        classes=classes,
        positive=problem.positive,
        actual=target,
        predicted=pipeline.predict(features),
        probabilities=pipeline.predict_proba(features) if problem.classes else None,
    )


def cross_validated(pipeline: Any, train: Dataset, *, folds: int, seed: int) -> dict[str, float]:
    """`cv_<metric>_mean` and `cv_<metric>_std` over folds that depend only on the seed.

    The folds of a classification keep the classes' shares.
    """
    problem = train.problem

    def scorer(fitted: Any, features: pd.DataFrame, target: NDArray[Any]) -> dict[str, float]:
        return score(evaluate(fitted, features, target, problem))

    splitter = StratifiedKFold if problem.classes else KFold
    scores = cross_validate(
        clone(pipeline),
        train.features,
        train.target,
        scoring=scorer,
        cv=splitter(folds, shuffle=True, random_state=seed),
        error_score="raise",
    )
    return {
        f"cv_{name}_{how}": float(statistic(scores[f"test_{name}"]))
        for name in METRICS[problem.task]
        for how, statistic in (("mean", np.mean), ("std", np.std))
    }


def held_out_predictions(evaluation: Evaluation, rows: NDArray[np.int64]) -> pd.DataFrame:
    """One line per row: its number in the source, actual, prediction, and `probability_<class>` of each class."""
    table = pd.DataFrame(
        {"row": rows, "actual": evaluation.actual, "prediction": evaluation.predicted}
    )
    return table.assign(
        **{f"probability_{label}": evaluation.probability(label) for label in evaluation.classes}
    )


def tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """The task's tables by file name: confusion matrix and curves, or residuals and error by decile.

    With more than two classes, each curve has a column `class`: that class against the rest.
    """
    if evaluation.task == "regression":
        return {"residuals": _residuals(evaluation), "error_by_decile": error_by_decile(evaluation)}
    counted = confusion(evaluation).rename_axis("actual").reset_index()
    if evaluation.task == "binary":
        return {"confusion_matrix": counted, **_curves(evaluation, evaluation.positive)}
    by_class = {label: _curves(evaluation, label) for label in evaluation.classes}
    return {
        "confusion_matrix": counted,
        **{
            name: pd.concat(
                [curves[name].assign(**{"class": label}) for label, curves in by_class.items()]
            )
            for name in next(iter(by_class.values()))
        },
    }


def confusion(evaluation: Evaluation) -> pd.DataFrame:
    """Counts: actual class (index) by predicted class (columns), the positive class first."""
    labels = sorted(evaluation.classes.tolist(), key=lambda label: label != evaluation.positive)
    counts = metrics.confusion_matrix(evaluation.actual, evaluation.predicted, labels=labels)
    return pd.DataFrame(counts, index=labels, columns=labels)


def error_by_decile(evaluation: Evaluation) -> pd.DataFrame:
    """The error of each tenth of the rows, from the lowest to the highest actual value.

    Columns: decile, rows, lowest and highest actual value, mean error (prediction - actual), mean absolute error.
    """
    residuals = _residuals(evaluation).sort_values("actual", kind="stable", ignore_index=True)
    count = min(DECILES, len(residuals))
    decile = np.arange(len(residuals)) * count // len(residuals) + 1
    grouped = residuals.assign(size=residuals["residual"].abs()).groupby(decile)
    return pd.DataFrame(
        {
            "rows": grouped.size(),
            "lowest": grouped["actual"].min(),
            "highest": grouped["actual"].max(),
            "mean_error": grouped["residual"].mean(),
            "mean_absolute_error": grouped["size"].mean(),
        }
    ).reset_index(names="decile")


def importance(pipeline: Any, test: Dataset, *, repeats: int, seed: int) -> pd.DataFrame:
    """The increase of the held-out rows' error when one feature is shuffled, largest first.

    The error is the Brier score: it moves with every probability, and with no single one without bound.
    ROC-AUC of a good model hardly moves when one of thirty correlated features is lost, and log loss
    jumps when a forest is sure and wrong about one row. For a regression it is the mean squared error.
    Columns: feature, mean, std.

    The shuffles are those of scikit-learn's `permutation_importance`, which predicts after each of them. Here
    one prediction serves many shuffles.
    """
    rows, columns = test.features.shape
    orders = _shuffled_rows(rows, repeats, seed)
    shuffles = [(column, order) for column in range(columns) for order in orders]
    batch = max(1, ROWS_OF_ONE_PREDICTION // rows)
    errors = [
        _errors_after_shuffles(pipeline, test, shuffles[start : start + batch])
        for start in range(0, len(shuffles), batch)
    ]
    unchanged = _squared_errors(pipeline, test.features, test.target, test.problem).mean()
    growth = np.concatenate(errors).reshape(columns, repeats) - unchanged
    table = pd.DataFrame(
        {"feature": test.features.columns, "mean": growth.mean(axis=1), "std": growth.std(axis=1)}
    )
    return table.sort_values("mean", ascending=False, ignore_index=True)


def _shuffled_rows(rows: int, repeats: int, seed: int) -> list[NDArray[np.int64]]:
    """The order of the rows [N] in each repeat, the same for every feature."""
    random = check_random_state(check_random_state(seed).randint(np.iinfo(np.int32).max + 1))
    shuffle, orders = np.arange(rows), [np.arange(rows)]
    for _ in range(repeats):
        random.shuffle(shuffle)
        orders.append(orders[-1][shuffle])  # scikit-learn shuffles the shuffled column once more
    return orders[1:]


def _errors_after_shuffles(
    pipeline: Any, test: Dataset, shuffles: Sequence[tuple[int, NDArray[np.int64]]]
) -> NDArray[np.float64]:
    """The mean squared error after each shuffle, a column's number and the order of its values [S]."""
    rows = len(test.target)
    table = pd.concat([test.features] * len(shuffles), ignore_index=True)
    for place, (column, order) in enumerate(shuffles):
        values = test.features.iloc[order, column].array
        table.iloc[place * rows : (place + 1) * rows, column] = values
    target = np.tile(test.target, len(shuffles))
    errors = _squared_errors(pipeline, table, target, test.problem)
    return np.asarray(errors.reshape(len(shuffles), rows).mean(axis=1))


def rank(scores: Mapping[str, float]) -> tuple[float, float]:
    """The search objective: the highest cross-validated ROC-AUC, then the lowest log loss; or the lowest RMSE."""
    if "cv_rmse_mean" in scores:
        return -scores["cv_rmse_mean"], 0.0
    return scores["cv_roc_auc_mean"], -scores["cv_log_loss_mean"]


def _curves(evaluation: Evaluation, label: Any) -> dict[str, pd.DataFrame]:
    """The curves of one class against all others."""
    actual, probability = evaluation.actual == label, evaluation.probability(label)
    false_positive, true_positive, roc_threshold = metrics.roc_curve(actual, probability)
    precision, recall, threshold = metrics.precision_recall_curve(actual, probability)
    fraction, mean = calibration_curve(actual, probability)
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
            {"mean_probability": mean, "fraction_positive": fraction}
        ),
    }


def _residuals(evaluation: Evaluation) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "actual": evaluation.actual,
            "prediction": evaluation.predicted,
            "residual": evaluation.predicted - evaluation.actual,
        }
    )


def _squared_errors(
    pipeline: Any, features: pd.DataFrame, target: NDArray[Any], problem: Problem
) -> NDArray[np.float64]:
    """Each row's squared error [N]: of a number or of the positive class's probability; summed over several classes."""
    if not problem.classes:
        return np.square(pipeline.predict(features) - target)
    probabilities = pipeline.predict_proba(features)
    labels = [problem.positive] if problem.task == "binary" else problem.classes
    errors = [probabilities[:, problem.classes.index(each)] - (target == each) for each in labels]
    return np.asarray(np.square(errors).sum(axis=0))
