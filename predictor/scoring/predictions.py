"""Answers as MLflow's `python_function` would give them for the same version.

What that is depends on who loads the version. `mlflow.onnx` gives every output of the graph, by name: as
records where it was asked with a DataFrame, as one object of lists where it was asked with tensors. The
others give what their `predict` gives: labels or values, or probabilities by `predict_proba`.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET

from predictor.records.answers import Answer, graph_row
from predictor.servable import Servable

_ONNX = "mlflow.onnx"


def predictions(servable: Servable, answers: Iterable[Answer], *, tensors: bool) -> Any:
    """What stands under `predictions`, for the rows in their order.

    `tensors` says that MLflow would have made tensors of the body, and not a DataFrame.
    """
    function = servable.python_function
    if function.loader_module == _ONNX:
        return _outputs(servable, [*answers]) if tensors else _records(servable, answers)
    if function.predict_fn == "predict_proba":
        return [_chances(answer) for answer in answers]
    return [answer.prediction for answer in answers]


def _chances(answer: Answer) -> Any:
    chances = answer.probabilities
    return answer.prediction if chances is UNSET else [*chances.values()]


def _records(servable: Servable, answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """Each row's outputs by name: one value where there is one column, as a DataFrame's cells are."""
    signature = servable.signature
    names = [port.name for port in signature.results]
    records = []
    for answer in answers:
        row = graph_row(signature, answer)
        records.append({name: _cell(row[name]) for name in names if name in row})
    return records


def _cell(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _outputs(servable: Servable, answers: list[Answer]) -> dict[str, list[Any]]:
    """Each output as the graph shapes it."""
    signature = servable.signature
    rows = [graph_row(signature, answer) for answer in answers]
    columns = {
        port.name: [row.get(port.name) for row in rows]
        for port in signature.results
        if any(port.name in row for row in rows)
    }
    for name, values in columns.items():
        if signature.outputs.axis_of(name) == 1 and None not in values:
            columns[name] = [list(each) for each in zip(*values, strict=True)]
    return columns
