"""`params` of a request: checked against what the signature declares, as MLflow checks them.

No flavour that is served here uses them, so they change no answer. `_enforce_params_schema` of MLflow 3.17.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from predictor.errors import RequestError
from predictor.inference.compute import Run
from predictor.model.answers import Answer, graph_row
from predictor.model.mlmodel import Param
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.model_version import ModelVersion
from predictor.protocols.mlflow_scoring import tables
from predictor.protocols.mlflow_scoring.errors import InvalidInput, SchemaNotMet
from predictor.protocols.mlflow_scoring.forms import Asked, Media, read_csv, read_json
from predictor.protocols.mlflow_scoring.rows import rows_of
from predictor.protocols.mlflow_scoring.tables import Table

_TAKEN: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "datetime": (str,),
}


def check_params(params: Any, declared: Sequence[Param]) -> None:
    """Raise SchemaNotMet for declared parameters of another type; those that nobody declared are ignored."""
    if not declared or params is None:
        return
    if not isinstance(params, dict):
        raise SchemaNotMet(f"Parameters must be a dictionary. Got type '{type(params).__name__}'.")
    if wrong := [each.name for each in declared if not _fits(params.get(each.name), each)]:
        raise SchemaNotMet(f"Invalid parameters found: {wrong}")


def _fits(value: Any, declared: Param) -> bool:
    if value is None:
        return True
    if declared.listed:
        return isinstance(value, list) and all(_is(each, declared) for each in value)
    return _is(value, declared)


def _is(value: Any, declared: Param) -> bool:
    taken = _TAKEN.get(declared.type, (object,))
    return isinstance(value, taken) and (not isinstance(value, bool) or bool in taken)


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


_FAILED = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe "
    "is compatible with the model for inference."
)


class Scored(msgspec.Struct, frozen=True):
    """What MLflow's `python_function` answers for the same version.

    A list of labels or values, or of objects of outputs, or one object of lists of outputs.
    """

    predictions: list[Any] | dict[str, Any]


@dataclass(frozen=True)
class Result:
    """An encoded `Scored`, and the version that computed it."""

    version: ModelVersion
    body: bytes


class Invocation:
    """One body, read once; its rows are those of the servable that is asked. A `Question` if it has one row."""

    def __init__(self, media: Media, body: bytes) -> None:
        self._media = media
        self._body = body
        self._asked: Asked | None = None
        self._rows: tuple[Servable, list[Row]] | None = None

    def rows(self, servable: Servable) -> list[Row]:
        """The rows, for this servable. Raises InvalidInput or SchemaNotMet."""
        if self._rows is None or self._rows[0] is not servable:
            self._rows = servable, self._read(servable)
        return self._rows[1]

    def row(self, servable: Servable) -> Row:
        """The only row."""
        rows = self.rows(servable)
        if len(rows) != 1:  # as only a version that has taken over since can read it
            raise InvalidInput("Invalid input. The version that serves has changed; ask again")
        return rows[0]

    def told(self, servable: Servable, answer: Answer) -> Result:
        """The answer to the only row."""
        return self._scored(servable, [answer])

    def work(self, servable: Servable, run: Run) -> Result:
        """The answers to all rows, from one servable."""
        answers: list[Answer] = []
        for _, each in run(self.rows(servable)):
            for answer in each:
                if isinstance(answer, RequestError):
                    raise failed(answer)
                answers.append(answer)
        return self._scored(servable, answers)

    def _read(self, servable: Servable) -> list[Row]:
        if self._media == "csv":
            table = read_csv(self._body, len(servable.signature.features))
            return rows_of(table, servable, len(self._body))
        if self._asked is None:
            self._asked = read_json(self._body)
        rows = rows_of(_table(self._asked, servable), servable, len(self._body))
        check_params(self._asked.params, servable.python_function.params)
        return rows

    def _scored(self, servable: Servable, answers: list[Answer]) -> Result:
        given: Any = predictions(servable, answers, tensors=self._tensors(servable))
        return Result(servable.model_version, msgspec.json.encode(Scored(given)))

    def _tensors(self, servable: Servable) -> bool:
        declared = servable.python_function.inputs
        by_value = self._asked is not None and self._asked.form in {"instances", "inputs"}
        return declared in {"tensor", "tensors"} or (declared == "none" and by_value)


def failed(fault: RequestError) -> InvalidInput:
    """What MLflow answers for rows that the model cannot compute."""
    return InvalidInput(f"{_FAILED} {fault}")


def _table(asked: Asked, servable: Servable) -> Table:
    features, declared = servable.signature.features, servable.python_function.inputs
    content = asked.content
    if asked.form == "dataframe_split":
        return tables.of_split(content)
    if asked.form == "dataframe_records":
        return tables.of_dataframe_records(content)
    if asked.form == "llm":
        raise SchemaNotMet(
            f"Model is missing inputs {[f.name for f in features if f.name not in content]}. Bodies for "
            "language models are not read"
        )
    if declared in {"tensor", "unnamed columns"} and isinstance(content, dict):
        raise InvalidInput(
            "Invalid input. Failed to parse input data. This model contains an un-named  model signature "
            "which expects a single n-dimensional array or a single value as input, however, an input of "
            "type <class 'dict'> was found."
        )
    if len(features) == 1 and declared == "columns" and _plain(content):
        content = {features[0].name: content}
    return tables.of_values(asked.form, content)


def _plain(content: Any) -> bool:
    return isinstance(content, list) and not any(isinstance(each, dict) for each in content)
