"""Metrics of predictions by task: binary, several classes, regression."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from exporters.answers import from_library
from exporters.errors import ExportError
from exporters.metadata import Fitted

Task = Literal["binary", "multiclass", "regression"]

METRICS: Mapping[Task, tuple[str, ...]] = {
    "binary": (
        "accuracy",
        "roc_auc",
        "average_precision",
        "f1",
        "sensitivity",
        "specificity",
        "brier_score",
        "log_loss",
    ),
    "multiclass": ("accuracy", "balanced_accuracy", "roc_auc", "f1", "log_loss"),
    "regression": ("rmse", "mae", "median_absolute_error", "r2"),
}


_WITHOUT_PROBABILITIES: Mapping[Task, tuple[str, ...]] = {
    "binary": ("accuracy", "f1", "sensitivity", "specificity"),
    "multiclass": ("accuracy", "balanced_accuracy", "f1"),
}


@dataclass(frozen=True)
class Evaluation:
    """Predictions for rows [N] that the pipeline was not fitted on.

    `classes` [C] are in ascending order, the order of the columns of `probabilities`, float64 [N, C].
    `positive` is one of two classes. A regression has no classes and no probabilities; some classifiers have
    no probabilities, either.
    """

    task: Task
    classes: NDArray[Any]
    positive: Any
    actual: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float64] | None

    def probability(self, label: Any) -> NDArray[np.float64]:
        """The probability of one class for each row [N]."""
        if self.probabilities is None:
            raise ValueError("a regression has no probabilities")
        return self.probabilities[:, self.classes.tolist().index(label)]


def score(evaluation: Evaluation) -> dict[str, float]:
    """Every one of the task's METRICS. Without probabilities, only the metrics that need no probability."""
    if evaluation.task == "regression":
        return _regression_metrics(evaluation)
    if evaluation.probabilities is None:
        without = _WITHOUT_PROBABILITIES[evaluation.task]
        constant = np.full((len(evaluation.actual), len(evaluation.classes)), 1.0)
        whole = score(replace(evaluation, probabilities=constant / len(evaluation.classes)))
        return {name: whole[name] for name in without}
    if evaluation.task == "multiclass":
        return _multiclass_metrics(evaluation)
    return _binary_metrics(evaluation)


def detail(evaluation: Evaluation) -> dict[str, float]:
    """Metrics of the held-out rows only: counts of a binary task, the sensitivity of each of several classes."""
    actual, predicted = evaluation.actual, evaluation.predicted
    if evaluation.task == "multiclass":
        found = metrics.recall_score(
            actual, predicted, labels=evaluation.classes, average=None, zero_division=0
        )
        names = class_names("sensitivity", evaluation.classes)
        return dict(zip(names, found.tolist(), strict=True))
    if evaluation.task == "regression":
        return {}
    is_positive, called_positive = actual == evaluation.positive, predicted == evaluation.positive
    return {
        "true_positives": float((is_positive & called_positive).sum()),
        "false_positives": float((~is_positive & called_positive).sum()),
        "true_negatives": float((~is_positive & ~called_positive).sum()),
        "false_negatives": float((is_positive & ~called_positive).sum()),
    }


def class_names(prefix: str, classes: Iterable[Any]) -> list[str]:
    """`<prefix>_<class>` for each class, in characters that MLflow allows in a metric's name."""
    names: list[str] = []
    for label in classes:
        name = prefix + "_" + re.sub(r"[^\w.-]", "_", str(label))
        names.append(name if name not in names else f"{name}_{len(names)}")
    return names


def _binary_metrics(evaluation: Evaluation) -> dict[str, float]:
    probability = evaluation.probability(evaluation.positive)
    actual = evaluation.actual == evaluation.positive
    predicted = evaluation.predicted == evaluation.positive
    return {
        "accuracy": float(metrics.accuracy_score(actual, predicted)),
        "roc_auc": float(metrics.roc_auc_score(actual, probability)),
        "average_precision": float(metrics.average_precision_score(actual, probability)),
        "f1": float(metrics.f1_score(actual, predicted, zero_division=0)),
        "sensitivity": float(metrics.recall_score(actual, predicted)),
        "specificity": float(metrics.recall_score(actual, predicted, pos_label=False)),
        "brier_score": float(metrics.brier_score_loss(actual, probability)),
        "log_loss": float(metrics.log_loss(actual, probability)),
    }


def _multiclass_metrics(evaluation: Evaluation) -> dict[str, float]:
    """ROC-AUC is that of one class against the rest; it and F1 are the mean over the classes."""
    actual, predicted = evaluation.actual, evaluation.predicted
    probabilities, classes = evaluation.probabilities, evaluation.classes
    areas = [
        metrics.roc_auc_score(actual == each, evaluation.probability(each)) for each in classes
    ]
    f1 = metrics.f1_score(actual, predicted, labels=classes, average="macro", zero_division=0)
    return {
        "accuracy": float(metrics.accuracy_score(actual, predicted)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(actual, predicted)),
        "roc_auc": float(np.mean(areas)),
        "f1": float(f1),
        "log_loss": float(metrics.log_loss(actual, probabilities, labels=classes)),
    }


def _regression_metrics(evaluation: Evaluation) -> dict[str, float]:
    actual, predicted = evaluation.actual, evaluation.predicted
    return {
        "rmse": float(metrics.root_mean_squared_error(actual, predicted)),
        "mae": float(metrics.mean_absolute_error(actual, predicted)),
        "median_absolute_error": float(metrics.median_absolute_error(actual, predicted)),
        "r2": float(metrics.r2_score(actual, predicted)),
    }


def evaluate_export(proven: Fitted, target: Any, positive: Any = None) -> Evaluation | None:
    """The predictions for the rows of an export, beside the true labels or values [N].

    Labels are as clients see them, or numbers of an encoder outside the model. The positive class of two is
    by default the second. None for several targets, clusterings and outlier detectors. Raises ExportError.
    """
    task, actual = proven.task, np.asarray(target)
    answers = from_library(proven.model, task, proven.table)
    if answers.predictions.ndim > 1 or (task.labels and not task.classes):
        return None
    if not task.labels:
        none = np.array([])
        return Evaluation("regression", none, None, actual, answers.predictions, None)
    classes = np.array(task.served_classes)
    if task.renamed and task.classes and set(actual.tolist()) <= set(task.classes):
        actual = classes[np.searchsorted(np.array(task.classes), actual)]
    if unknown := {str(each) for each in set(actual.tolist()) - set(classes.tolist())}:
        known = ", ".join(map(str, classes))
        raise ExportError(f"y has the labels {', '.join(sorted(unknown))}; the model has {known}.")
    two = len(classes) == 2  # noqa: PLR2004
    chosen = (classes[1] if positive is None else positive) if two else None
    return Evaluation(
        "binary" if two else "multiclass", classes, chosen, actual, answers.predictions,
        answers.scores if task.probabilities else None,
    )  # fmt: skip
