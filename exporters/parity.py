"""Parity: compare the predictions of an ONNX model and its pipeline on the same rows."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from numpy.typing import NDArray

from exporters.contract import INPUT, LABEL, PROBABILITIES
from exporters.errors import ParityError

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Answer:
    """A label, and the probability of each label."""

    prediction: str
    probabilities: dict[str, float]

    def __str__(self) -> str:
        return f"{self.prediction} ({self.probabilities[self.prediction]:.5f})"


@dataclass(frozen=True)
class Disagreement:
    """One row with both predictions; `index` counts from 0 within the rows of its `kind`."""

    kind: str
    index: int
    record: dict[str, float]
    expected: Answer
    answered: Answer
    difference: float


@dataclass(frozen=True)
class ParityReport:
    """A comparison of `rows` rows; `mismatches` is the number of rows with another label or probability."""

    rows: int
    rows_by_kind: dict[str, int]
    mismatches: int
    label_mismatches: int
    largest_difference: float
    tolerance: float
    worst: Disagreement

    @property
    def passed(self) -> bool:
        """Whether no row differs."""
        return self.mismatches == 0

    def require(self) -> None:
        """Raise ParityError unless the comparison passed."""
        if not self.passed:
            raise ParityError(self)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, with `passed`."""
        return {"passed": self.passed, **asdict(self)}


@dataclass(frozen=True)
class _Answers:
    labels: NDArray[Any]  # strings [N]
    probabilities: NDArray[np.float64]  # [N, C]


def compare(
    pipeline: Any,
    content: bytes,
    rows: Mapping[str, pd.DataFrame],
    *,
    tolerance: float = TOLERANCE,
) -> ParityReport:
    """Compute every row with both: scikit-learn in float64, ONNX Runtime in float32.

    Probabilities must agree within `tolerance` (absolute). Labels must be equal, unless scikit-learn's two
    largest probabilities differ by at most `tolerance`. `rows` are float64 [N, F] by kind, with the
    pipeline's columns and at least one row in total; `content` is the serialised ONNX model.
    """
    table = pd.concat(rows.values(), ignore_index=True)
    expected = _Answers(pipeline.predict(table), pipeline.predict_proba(table))
    answered = _run_onnx(content, table.to_numpy(np.float32))
    differences, relabelled = _differences(expected, answered, tolerance)
    worst = int(np.lexsort((differences, relabelled))[-1])
    counts = {kind: len(each) for kind, each in rows.items()}
    kind, index = _place(worst, counts)
    return ParityReport(
        rows=len(table),
        rows_by_kind=counts,
        mismatches=int((relabelled | (differences > tolerance)).sum()),
        label_mismatches=int(relabelled.sum()),
        largest_difference=float(np.max(differences)),
        tolerance=tolerance,
        worst=Disagreement(
            kind=kind,
            index=index,
            record={str(name): float(value) for name, value in table.iloc[worst].items()},
            expected=_answer(expected, worst, pipeline.classes_),
            answered=_answer(answered, worst, pipeline.classes_),
            difference=float(differences[worst]),
        ),
    )


def session(content: bytes) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session that runs in the caller's thread, in a fixed order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _run_onnx(content: bytes, rows: NDArray[np.float32]) -> _Answers:
    labels, probabilities = session(content).run([LABEL, PROBABILITIES], {INPUT: rows})
    return _Answers(labels, probabilities.astype(np.float64))


def _differences(
    expected: _Answers, answered: _Answers, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each row's largest difference in a probability [N], and whether its label is wrong [N]."""
    differences = np.abs(expected.probabilities - answered.probabilities).max(axis=1)
    best = np.sort(expected.probabilities, axis=1)
    tied = best[:, -1] - best[:, -2] <= tolerance
    # A comparison with NaN is false, so NaN would pass as equal.
    differences = np.nan_to_num(differences, nan=np.inf)
    return differences, (expected.labels != answered.labels) & ~tied


def _place(row: int, counts: Mapping[str, int]) -> tuple[str, int]:
    """The kind of a row, and its index within the kind; `row` is the index among all rows."""
    for kind, count in counts.items():
        if row < count:
            return kind, row
        row -= count
    raise IndexError(row)


def _answer(answers: _Answers, row: int, classes: NDArray[Any]) -> Answer:
    labels = [str(label) for label in classes]
    probabilities = answers.probabilities[row].tolist()
    return Answer(str(answers.labels[row]), dict(zip(labels, probabilities, strict=True)))
