"""The answers of a model for rows of a table: from its library, and from ONNX Runtime."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from exporters.table import Table

ONNXRUNTIME_ERRORS = (
    errors.EPFail,
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NotImplemented,
    errors.RuntimeException,
)


@dataclass(frozen=True)
class Answers:
    """Predictions [N] or [N, T], and for each row the scores [N, C] that lead to them, if there are any.

    `scores` are probabilities of a classifier that has them, else values of its decision function, float64.
    `further` [N, K] is what a graph gives beside labels where these are no class probabilities: the probabilities
    of several targets (or of a mixture's clusters) side by side, the decision function, distances to clusters.
    `refused` [N] is true for rows that could not be computed; their predictions mean nothing.
    """

    predictions: NDArray[Any]
    scores: NDArray[np.float64] | None
    further: NDArray[np.float64] | None
    refused: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.predictions)


@dataclass(frozen=True)
class PredictionKind:
    """What a model predicts: `classes` of a classifier with one target, else None; labels or numbers.

    `classes` [C] are the labels in the order of the probabilities. `labels` is true for a classifier, a
    clustering and an outlier detector, whose predictions must be equal; false for numbers. `margins` is true
    for labels whose scores are no probabilities at all: the decision function, or distances to clusters.
    """

    labels: bool
    probabilities: bool
    classes: tuple[Any, ...] | None = None
    renamed: tuple[Any, ...] | None = None
    margins: bool = False

    @property
    def served_classes(self) -> tuple[Any, ...]:
        """The classes as clients see them: `renamed`, if the encoder of the labels is outside the model."""
        return self.renamed or self.classes or ()


def session(
    content: bytes, external_data: Mapping[str, bytes] | None = None
) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session that runs in the caller's thread, in a fixed order, as the service's does.

    `external_data` are the files of weights outside the graph, by the path that the graph has.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4  # what fails is raised
    if external_data:
        contents = list(external_data.values())
        options.add_external_initializers_from_files_in_memory(
            list(external_data), contents, [len(each) for each in contents]
        )
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def from_library(model: Any, task: PredictionKind, table: Table) -> Answers:
    """The library's answers; a row for which it raises is refused."""

    def compute(rows: Table) -> Computed:
        given = rows.for_library()
        predictions = np.asarray(model.predict(given))
        if predictions.ndim > 1 and predictions.shape[1] == 1:
            predictions = predictions[:, 0]
        scores = _scores(model, task, given)
        return _renamed(predictions, task), scores, _further(model, task, given, scores)

    return _finite(_computed(compute, table))


def from_onnx(content: bytes, task: PredictionKind, table: Table) -> Answers:
    """ONNX Runtime's answers; a row that it cannot compute is refused."""
    runner = session(content)

    def compute(rows: Table) -> Computed:
        outputs = runner.run(None, rows.feed(runner.get_inputs()))
        predictions = np.asarray(outputs[0])
        if predictions.ndim > 1 and predictions.shape[1] == 1:
            predictions = predictions[:, 0]
        if len(predictions) != len(rows.frame) and predictions.shape[0] == 1:
            predictions = predictions[0]
        if task.probabilities:
            return predictions, outputs[1].astype(np.float64), None
        more = task.labels and len(outputs) > 1
        return predictions, None, _side_by_side(outputs[1], len(rows.frame)) if more else None

    return _finite(_computed(compute, table))


def _finite(answers: Answers) -> Answers:
    """The same, with rows whose answer is no number as refused: the predictor does not give these either."""
    refused = answers.refused
    for values in (answers.predictions, answers.scores, answers.further):
        if values is not None and values.dtype.kind == "f":
            refused = refused | ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return replace(answers, refused=refused)


def _scores(model: Any, task: PredictionKind, rows: Any) -> NDArray[np.float64] | None:
    if task.probabilities:
        return np.asarray(model.predict_proba(rows), np.float64)
    if task.labels and hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(rows), np.float64).reshape(len(rows), -1)
    if task.labels and hasattr(model, "predict_proba"):  # several targets, or a mixture
        return _margins(model.predict_proba(rows))
    if task.labels and not task.classes and hasattr(model, "transform"):
        # A clustering: the nearer, the better.
        return -np.asarray(model.transform(rows), np.float64)
    return None


def _further(
    model: Any, task: PredictionKind, rows: Any, scores: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    if not task.labels or task.probabilities:
        return None
    if not task.margins:
        return _side_by_side(model.predict_proba(rows), len(rows))
    return scores if scores is None or hasattr(model, "decision_function") else -scores


def _side_by_side(probabilities: Any, rows: int) -> NDArray[np.float64] | None:
    """Tables [N, C] of several targets, a tensor [T, N, C] or one table as [N, K]; None for any other form."""
    if isinstance(probabilities, np.ndarray) and probabilities.ndim <= 2:  # noqa: PLR2004
        return probabilities.astype(np.float64).reshape(rows, -1)
    tables = [np.asarray(each, np.float64) for each in probabilities]
    whole = all(each.shape[:1] == (rows,) and each.ndim == 2 for each in tables)  # noqa: PLR2004
    return np.concatenate(tables, axis=1) if whole else None


def _margins(probabilities: Any) -> NDArray[np.float64] | None:
    """How far the best label is from the second [N, 1], in the target where they are nearest."""
    targets = probabilities if isinstance(probabilities, list) else [probabilities]
    ordered = [np.sort(np.asarray(each, np.float64), axis=1) for each in targets]
    margins = [each[:, -1] - each[:, -2] for each in ordered if each.shape[1] > 1]
    return np.min(margins, axis=0)[:, None] if margins else None


def _renamed(predictions: NDArray[Any], task: PredictionKind) -> NDArray[Any]:
    if task.renamed is None or task.classes is None:
        return predictions
    return np.asarray(task.renamed)[np.searchsorted(np.asarray(task.classes), predictions)]


# Predictions, scores and what is further, as in Answers.
Computed = tuple[NDArray[Any], NDArray[np.float64] | None, NDArray[np.float64] | None]
Compute = Callable[[Table], Computed]


def _computed(compute: Compute, table: Table) -> Answers:
    """All rows at once; if that fails, each half, and so on, to learn which rows are refused.

    Raises the last error if every row is refused.
    """
    found: list[tuple[int, Any]] = []
    failure: Exception | None = None
    pending = [(0, len(table.frame))]
    while pending:
        start, end = pending.pop()
        try:
            found.append((start, compute(table.with_rows(table.frame.iloc[start:end]))))
        except Exception as error:  # noqa: BLE001 - each library has its own errors
            failure = error
            middle = (start + end) // 2
            pending += [(start, middle), (middle, end)] if end - start > 1 else []
    if not found:
        raise failure or ValueError("there are no rows")
    return _joined(dict(found), len(table.frame))


def _joined(found: dict[int, Computed], count: int) -> Answers:
    """One array of what was computed from each start on; the rows between are refused."""
    refused = np.ones(count, np.bool_)
    joined: list[NDArray[Any] | None] = []
    for first in next(iter(found.values())):
        whole = None if first is None else np.zeros((count, *first.shape[1:]), first.dtype)
        # Texts have the length of the longest label in the first part.
        joined.append(
            whole.astype(object) if whole is not None and whole.dtype.kind == "U" else whole
        )
    for start, parts in found.items():
        here = slice(start, start + len(parts[0]))
        refused[here] = False
        for whole, part in zip(joined, parts, strict=True):
            if whole is not None:
                whole[here] = part
    predictions, scores, further = joined
    assert predictions is not None  # noqa: S101  for the type checker
    return Answers(predictions, scores, further, refused)
