"""A case: one model to test, and its files: the MLflow model, rows and expected answers."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CASE = "case.json"


@dataclass(frozen=True)
class Answers:
    """Predictions [N], or [N][targets], and for classifiers each row's probabilities by class."""

    predictions: list[Any]
    probabilities: list[dict[str, float]] | None = None


@dataclass(frozen=True)
class Export:
    """A fitted model's ONNX graph, test rows, and the library's answers for them.

    `frame` has the rows [N, F] as clients know them, with NaN where a value is missing; `feed` has
    the same rows as the graph's inputs. `graph` is a serialised model. `signature` is MLflow's.
    `class_labels` are those of a graph that gives their numbers.
    """

    graph: bytes
    frame: Any
    feed: Mapping[str, NDArray[Any]]
    answers: Answers
    signature: Any = None
    input_example: Any = None
    class_labels: Sequence[str] = ()


@dataclass(frozen=True)
class Case:
    """One row of the table, before the test; `build` fits and exports the model."""

    library: str
    estimator: str
    exported: str
    signature: str
    columns: str
    build: Callable[[], Export] = field(repr=False, compare=False)
    quick: bool = False  # part of every run of the tests

    @property
    def described(self) -> dict[str, str]:
        """The description in the table."""
        names = ("library", "estimator", "exported", "signature", "columns")
        return {name: getattr(self, name) for name in names}


def labelled(model: Any, frame: Any) -> Answers:
    """A classifier's answers, from `predict` and, if it exists, `predict_proba`."""
    predictions = np.asarray(model.predict(frame))
    if not hasattr(model, "predict_proba"):
        return Answers(predictions.tolist())
    chances = model.predict_proba(frame)
    if isinstance(chances, list) or predictions.shape[1:] not in {(), (1,)}:
        return Answers(predictions.tolist())  # several targets, each with its own classes
    names = [class_name(label) for label in model.classes_]
    rows = [dict(zip(names, map(float, row), strict=True)) for row in chances]
    return Answers(np.ravel(predictions).tolist(), rows)


def valued(predictions: Any) -> Answers:
    """Numbers [N] or [N, targets]."""
    values = np.asarray(predictions, dtype=float)
    return Answers(
        (values.ravel() if values.ndim > 1 and values.shape[1] == 1 else values).tolist()
    )


def class_name(label: Any) -> str:
    """A class as a key of JSON."""
    return str(label).lower() if isinstance(label, (bool, np.bool_)) else str(label)


def write(case: Case, folder: Path) -> None:
    """Build a case and write the version's folder as `mlflow.onnx` lays it out, with `case.json`."""
    import mlflow.onnx
    import onnx

    export = case.build()
    model = onnx.load_from_string(export.graph)
    mlflow.onnx.save_model(
        model, str(folder), signature=export.signature, input_example=export.input_example,
        pip_requirements=[],
    )  # fmt: skip
    written = {
        **case.described,
        "features": [str(name) for name in export.frame.columns],
        "rows": [[_json(value) for value in row] for row in export.frame.to_numpy(object)],
        "inputs": [_tensor(name, array) for name, array in export.feed.items()],
        "library_answers": asdict(export.answers),
        **computed(export),
    }
    (folder / CASE).write_text(json.dumps(written))


def computed(export: Export) -> dict[str, Any]:
    """ONNX Runtime's answers for the file: all rows at once, and each row alone.

    The order of additions depends on the number of rows, and so do the last digits.
    """
    together = _run(export.graph, export.feed, len(export.frame))
    alone = _run(export.graph, export.feed, 1)
    read, used = _read(together, export.answers, export.class_labels)
    return {
        "outputs": together,
        "onnx_answers": asdict(read),
        "others": [name for name in together if name not in used],
        "alone": {
            "outputs": alone,
            "onnx_answers": asdict(_read(alone, export.answers, export.class_labels)[0]),
        },
    }


def _run(graph: bytes, feed: Mapping[str, NDArray[Any]], rows: int) -> dict[str, list[Any]]:
    """Each output by name, one element per row, computed for this many rows at once."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    if session.get_inputs()[0].shape[0] == 1:
        rows = 1
    names = [output.name for output in session.get_outputs()]
    outputs: dict[str, list[Any]] = {name: [] for name in names}
    for start in range(0, len(next(iter(feed.values()))), rows):
        piece = {name: array[start : start + rows] for name, array in feed.items()}
        for name, given in zip(names, session.run(names, piece), strict=True):
            outputs[name] += [_row(row) for row in _by_row(given, rows)]
    return outputs


def _by_row(given: Any, count: int) -> Any:
    """An output with the rows first: discriminant analyses have labels [1, N], several targets have probabilities [T, N, C].

    The latter are a sequence of tensors where each target has an estimator of its own.
    """
    if isinstance(given, list) and isinstance(given[0], np.ndarray):
        given = np.stack(given)
    if (
        isinstance(given, np.ndarray)
        and given.ndim > 1
        and given.shape[0] != count == given.shape[1]
    ):
        return given[0] if given.shape[0] == 1 else np.moveaxis(given, 1, 0)
    return given


def _read(
    outputs: Mapping[str, list[Any]], library: Answers, class_labels: Sequence[str]
) -> tuple[Answers, list[str]]:
    """Convert ONNX Runtime's outputs to answers; also return the names of the used outputs."""
    labels = [
        n for n, rows in outputs.items() if all(isinstance(v, (str, int)) for v in _first(rows))
    ]
    predicted = [_only(row) for row in outputs[(labels or [*outputs])[0]]]
    if class_labels and labels:
        predicted = [class_labels[number] for number in predicted]
    classes = [*library.probabilities[0]] if library.probabilities else []
    tables = [name for name, rows in outputs.items() if _are_chances(rows, len(classes))]
    if not classes or not tables:
        return Answers(predicted), [(labels or [*outputs])[0]]
    rows = [
        row if isinstance(row, dict) else _of_classes(row, classes) for row in outputs[tables[0]]
    ]
    if labels:
        return Answers(predicted, rows), [labels[0], tables[0]]
    return Answers([max(row, key=row.__getitem__) for row in rows], rows), [tables[0]]


def _only(row: Any) -> Any:
    return row[0] if isinstance(row, list) and len(row) == 1 else row


def _first(rows: list[Any]) -> list[Any]:
    return rows[0] if isinstance(rows[0], list) else [rows[0]]


def _of_classes(row: list[float], classes: list[str]) -> dict[str, float]:
    both = [1 - row[0], row[0]] if len(row) == 1 else row
    return dict(zip(classes, both, strict=True))


def _are_chances(rows: list[Any], classes: int) -> bool:
    if isinstance(rows[0], dict):
        return True
    if not isinstance(rows[0], list) or not isinstance(rows[0][0], float):
        return False
    if len(rows[0]) == 1:
        return classes == 2 and all(0 <= row[0] <= 1 for row in rows)  # noqa: PLR2004
    return len(rows[0]) == classes and all(abs(sum(row) - 1) < 1e-3 for row in rows)  # noqa: PLR2004


def _row(given: Any) -> Any:
    if isinstance(given, dict):
        return {class_name(label): float(value) for label, value in given.items()}
    row = np.asarray(given)
    values = [_json(value) for value in row.ravel().tolist()]
    return values[0] if row.ndim == 0 else values


def _json(value: Any) -> Any:
    """A value as clients send it: a missing value is null."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


_DATATYPES = {
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
}


def _tensor(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """One input tensor, as the Open Inference Protocol describes it."""
    flat: Sequence[Any] = array.ravel().tolist()
    return {
        "name": name,
        "shape": list(array.shape),
        "datatype": _DATATYPES.get(array.dtype.name, "BYTES"),
        "data": [_json(value) for value in flat],
    }
