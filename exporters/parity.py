"""Parity: compare the predictions of an ONNX model and its library on the same rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exporters.answers import Answers, PredictionKind, from_library, from_onnx
from exporters.errors import ParityError
from exporters.table import Table

TOLERANCE = 1e-5
_MAX_FLIPS = 5


@dataclass(frozen=True)
class Answer:
    """A prediction, with the probability of each label if there are any."""

    prediction: Any
    probabilities: dict[str, float]

    def __str__(self) -> str:
        probability = self.probabilities.get(str(self.prediction))
        return f"{self.prediction}" + ("" if probability is None else f" ({probability:.5f})")


@dataclass(frozen=True)
class Disagreement:
    """One row with both predictions; `index` counts from 0 within the rows of its `kind`."""

    kind: str
    index: int
    record: dict[str, Any]
    expected: Answer
    answered: Answer
    difference: float


@dataclass(frozen=True)
class ParityReport:
    """A comparison of `rows` rows; `mismatches` is the number of rows with another label or number.

    `measure` names what is compared: probabilities (absolute), or values or scores (of a decision function, or
    distances to clusters), relative to their spread over the given rows. `refused` is the number of rows that
    the library and ONNX Runtime both refuse, such as unseen categories. `splits` are those of trees,
    `splits_tested` those with rows at both sides. `flips` are rows in which the difference is within the
    tolerance, and changes the label nevertheless (the first few of `flip_count`). `precision` is what the graph
    computes with.
    """

    rows: int
    rows_by_kind: dict[str, int]
    mismatches: int
    label_mismatches: int
    largest_difference: float
    tolerance: float
    measure: str
    worst: Disagreement
    refused: int = 0
    flip_count: int = 0
    flips: tuple[Disagreement, ...] = ()
    splits: int = 0
    splits_tested: int = 0
    precision: str = "float32"

    @property
    def passed(self) -> bool:
        """Whether no row differs."""
        return self.mismatches == 0

    @property
    def exact(self) -> bool:
        """Whether every label is equal and every number to the last digit."""
        return self.passed and self.largest_difference == 0 and not self.flip_count

    def about_flips(self) -> str:
        """A sentence about the rows whose label the last digit decides, with the first of them."""
        first = self.flips[0]
        return (
            f"{self.flip_count:,} of {self.rows:,} rows are so close to a tie that rounding decides the label. "
            f"The first is row {first.index} of the kind {first.kind!r}: the library says {first.expected}, "
            f"ONNX Runtime says {first.answered}; its values are {first.record}"
        )

    def require(self, advice: str = "") -> None:
        """Raise ParityError, with `advice`, unless the comparison passed."""
        if not self.passed:
            raise ParityError(self, advice)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, with `passed`; a difference without a number is None."""
        report: dict[str, Any] = _finite({"passed": self.passed, **asdict(self)})
        return report

    def __str__(self) -> str:
        state = "exact" if self.exact else "passed" if self.passed else "failed"
        return (
            f"{state}: {self.rows:,} rows, {self.mismatches:,} mismatches, {self.measure} differ by at most "
            f"{self.largest_difference:.2g}"
        )


def compare(
    model: Any,
    content: bytes,
    task: PredictionKind,
    table: Table,
    rows: Mapping[str, pd.DataFrame],
    *,
    tolerance: float = TOLERANCE,
) -> ParityReport:
    """Compute every row with the library and with ONNX Runtime.

    Args:
        model: the fitted model.
        content: the serialised ONNX model.
        task: what the model predicts.
        table: the columns, and the given rows, whose predictions tell the spread of a regressor.
        rows: what to compare, by kind; at least one row in total.
        tolerance: for probabilities absolute; for values and scores relative to the larger of their spread
            over the given rows (largest minus smallest) and the value itself. Labels must be equal, unless the
            two best scores differ by at most this.
    """
    counts = {kind: len(each) for kind, each in rows.items()}
    whole = table.with_rows(pd.concat(rows.values(), ignore_index=True))
    expected, answered = from_library(model, task, whole), from_onnx(content, task, whole)
    if not _same_shapes(expected, answered, task):
        theirs, ours = (_shape(each, task) for each in (expected, answered))
        raise ParityError(_other_shape((theirs, ours), whole, counts, tolerance))
    differences, relabelled, flipped = _differences(expected, answered, task, table, tolerance)
    both = expected.refused & answered.refused
    one = expected.refused != answered.refused
    differences = np.where(both, 0.0, np.where(one, np.inf, differences))
    relabelled, flipped = (relabelled | one) & ~both, flipped & ~both & ~one
    worst = int(np.lexsort((differences, relabelled))[-1])

    def row(number: int) -> Disagreement:
        kind, index = _place(number, counts)
        (record,) = whole.with_rows(whole.frame.iloc[[number]]).records()
        return Disagreement(
            kind, index, record, _answer(expected, number, task), _answer(answered, number, task),
            float(differences[number]),
        )  # fmt: skip

    return ParityReport(
        rows=len(whole.frame),
        rows_by_kind=counts,
        mismatches=int((relabelled | (differences > tolerance)).sum()),
        label_mismatches=int(relabelled.sum()) if task.labels else 0,
        largest_difference=float(np.max(differences)),
        tolerance=tolerance,
        measure=_measure(task, answered),
        worst=row(worst),
        refused=int(both.sum()),
        flip_count=int(flipped.sum()),
        flips=tuple(row(int(each)) for each in np.flatnonzero(flipped)[:_MAX_FLIPS]),
    )


def _measure(task: PredictionKind, answered: Answers) -> str:
    if not task.labels:
        return "values"
    if task.probabilities:
        return "probabilities"
    if answered.further is None:
        return "labels"
    return "scores" if task.margins else "probabilities"


def _finite(value: Any) -> Any:
    """JSON has neither infinity nor NaN."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _differences(
    expected: Answers, answered: Answers, task: PredictionKind, table: Table, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """For each row [N] its largest difference, whether its label is wrong, and whether a tie decided it."""
    rows = len(expected)
    none = np.zeros(rows, np.bool_)
    if not task.labels:
        values = expected.predictions.astype(np.float64).reshape(rows, -1)
        others = answered.predictions.astype(np.float64).reshape(rows, -1)
        return _worst(_relative(values, others, len(table.frame))), none, none
    unequal = (expected.predictions != answered.predictions).reshape(rows, -1).any(axis=1)
    tied = none
    if expected.scores is not None:
        tied = _margin(expected.scores, len(table.frame), task) <= tolerance
    theirs, ours = _scores(expected, answered, task)
    if ours is None:
        difference = np.zeros((rows, 1))
    elif theirs is None or theirs.shape != ours.shape:
        difference = np.full((rows, 1), np.inf)
    elif task.margins:
        difference = _relative(theirs, ours, len(table.frame))
    else:
        difference = np.abs(theirs - ours)
    return _worst(difference), unequal & ~tied, unequal & tied


def _relative(
    values: NDArray[np.float64], others: NDArray[np.float64], given: int
) -> NDArray[np.float64]:
    """Differences [N, K] relative to the spread over the `given` first rows, or to the value if that is larger."""
    spread = np.ptp(values[:given], axis=0) if given else np.zeros(values.shape[1])
    scale = np.maximum(np.maximum(np.abs(values), spread), np.finfo(np.float32).tiny)
    return np.asarray(np.abs(values - others) / scale)


def _scores(
    expected: Answers, answered: Answers, task: PredictionKind
) -> tuple[NDArray[np.float64] | None, ...]:
    """What is compared beside labels; some converters write probabilities of a label's absence before its own."""
    if task.probabilities:
        return expected.scores, answered.scores
    theirs, ours = expected.further, answered.further
    if theirs is None or ours is None or task.margins or ours.shape[1] != 2 * theirs.shape[1]:
        return theirs, ours
    return np.concatenate([1 - theirs, theirs], axis=1), ours


def _worst(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    # A comparison with NaN is false, so NaN would pass as equal.
    return np.asarray(np.nan_to_num(differences, nan=np.inf).max(axis=1))


def _margin(scores: NDArray[np.float64], given: int, task: PredictionKind) -> NDArray[np.float64]:
    """How far the best score is from the second, or a single one from 0.

    Scores that are no probabilities are relative to the largest of the row and of the `given` first rows.
    Those of generated rows do not count: far from the data they are large, and every row would be a tie.
    """
    if scores.shape[1] == 1:
        margin = np.abs(scores[:, 0])
    else:
        best = np.sort(scores, axis=1)
        margin = best[:, -1] - best[:, -2]
    if task.probabilities:
        return margin
    largest = np.maximum(np.abs(scores).max(axis=1), np.abs(scores[:given]).max(initial=0))
    return np.asarray(margin / np.maximum(largest, np.finfo(np.float32).tiny))


def _other_shape(
    shapes: tuple[Answer, Answer], table: Table, counts: dict[str, int], tolerance: float
) -> ParityReport:
    """The report of a graph whose answers have other shapes than the library's; `shapes` has both."""
    kind, index = _place(0, counts)
    (record,) = table.with_rows(table.frame.iloc[[0]]).records()
    worst = Disagreement(kind, index, record, *shapes, np.inf)
    rows = len(table.frame)
    return ParityReport(rows, counts, rows, rows, np.inf, tolerance, "predictions", worst)


def _same_shapes(expected: Answers, answered: Answers, task: PredictionKind) -> bool:
    """Whether the predictions, and the probabilities of one target, have the same shapes."""
    theirs, ours = (
        [each.predictions.shape, each.scores.shape if each.scores is not None else None]
        for each in (expected, answered)
    )
    return theirs == ours if task.probabilities else theirs[0] == ours[0]


def _shape(answers: Answers, task: PredictionKind) -> Answer:
    scores = answers.scores if task.probabilities else None
    of_scores = "" if scores is None else f" with scores of shape {scores.shape}"
    return Answer(f"predictions of shape {answers.predictions.shape}{of_scores}", {})


def _place(row: int, counts: Mapping[str, int]) -> tuple[str, int]:
    """The kind of a row, and its index within the kind; `row` is the index among all rows."""
    for kind, count in counts.items():
        if row < count:
            return kind, row
        row -= count
    raise IndexError(row)


def _answer(answers: Answers, row: int, task: PredictionKind) -> Answer:
    if answers.refused[row]:
        return Answer("that it cannot compute the row", {})
    prediction = answers.predictions[row]
    shown = prediction.tolist() if isinstance(prediction, np.generic | np.ndarray) else prediction
    if not task.probabilities or answers.scores is None:
        return Answer(shown, {})
    labels = [str(label) for label in task.served_classes]
    return Answer(shown, dict(zip(labels, answers.scores[row].tolist(), strict=True)))
