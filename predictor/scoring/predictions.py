"""Answers as MLflow's `python_function` would give them for the same version.

What that is depends on who loads the version. `mlflow.onnx` gives every output of the graph, by name: as
records where it was asked with a DataFrame, as one object of lists where it was asked with tensors. The
others give what their `predict` gives: labels or values, or probabilities by `predict_proba`.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET

from predictor.records.answers import Answer
from predictor.servable import Servable

_ONNX = "mlflow.onnx"


def predictions(servable: Servable, answers: Iterable[Answer], *, tensors: bool) -> Any:
    """What stands under `predictions`, for the rows in their order.

    `tensors` says that MLflow would have made tensors of the body, and not a DataFrame.
    """
    function = servable.python_function
    if function.loader_module == _ONNX:
        return _outputs(servable, [*answers]) if tensors else [*map(_record(servable), answers)]
    if function.predict_fn == "predict_proba":
        return [_chances(answer) for answer in answers]
    return [answer.prediction for answer in answers]


def _chances(answer: Answer) -> Any:
    chances = answer.probabilities
    return answer.prediction if chances is UNSET else [*chances.values()]


def _record(servable: Servable) -> Any:
    outputs = servable.signature.outputs

    def record(answer: Answer) -> dict[str, Any]:
        named: dict[str, Any] = {str(outputs.label or outputs.value): answer.prediction}
        if outputs.probabilities is not None and answer.probabilities is not UNSET:
            chances = answer.probabilities
            named[outputs.probabilities] = chances if outputs.mapped else [*chances.values()]
        return named

    return record


def _outputs(servable: Servable, answers: list[Answer]) -> dict[str, list[Any]]:
    records = [*map(_record(servable), answers)]
    columns = {name: [record.get(name) for record in records] for name in records[0]}
    value = servable.signature.outputs.value
    if value is not None and servable.value_in_table:
        columns[value] = [v if isinstance(v, list) else [v] for v in columns[value]]
    return columns
