"""One request to `/invocations`: its rows, its `params`, and the predictions as MLflow writes them."""

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
from predictor.protocols.mlflow_scoring.forms import Form, Media, read_csv, read_json
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
    """Raise SchemaNotMet for declared parameters of another type; unknown ones are ignored.

    As `_enforce_params_schema` of MLflow 3.17; no flavour that is served uses them, so they change nothing.
    """
    if not declared or params is None:
        return
    if not isinstance(params, dict):
        raise SchemaNotMet(f"params is {tables.noun(params)}; send an object")
    if wrong := [each.name for each in declared if not _fits(params.get(each.name), each)]:
        raise SchemaNotMet(f"params of another type than the signature has: {wrong}")


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
    """The member `predictions`; `tensors` says that MLflow would make tensors of the body, not a DataFrame."""
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
    """One body, read once; its rows depend on the servable. With one row, it is a `RowRequest`."""

    def __init__(self, media: Media, body: bytes) -> None:
        self._media = media
        self._body = body
        self._form: Form | None = None
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
            raise InvalidInput("another version has taken over; send the request again")
        return rows[0]

    def response(self, servable: Servable, answer: Answer) -> Result:
        """The answer to the only row."""
        return self._scored(servable, [answer])

    def work(self, servable: Servable, run: Run) -> Result:
        """The answers to all rows, from one servable."""
        answers: list[Answer] = []
        for start, each in run(self.rows(servable)):
            for row, answer in enumerate(each, start):
                if isinstance(answer, RequestError):
                    raise failed(row, answer)
                answers.append(answer)
        return self._scored(servable, answers)

    def _read(self, servable: Servable) -> list[Row]:
        if self._media == "csv":
            table = read_csv(self._body, len(servable.signature.features))
            return rows_of(table, servable, len(self._body))
        if self._form is None:
            self._form = read_json(self._body)
        rows = rows_of(_table(self._form, servable), servable, len(self._body))
        check_params(self._form.params, servable.python_function.params)
        return rows

    def _scored(self, servable: Servable, answers: list[Answer]) -> Result:
        given: Any = predictions(servable, answers, tensors=self._tensors(servable))
        return Result(servable.model_version, msgspec.json.encode(Scored(given)))

    def _tensors(self, servable: Servable) -> bool:
        declared = servable.python_function.inputs
        by_value = self._form is not None and self._form.form in {"instances", "inputs"}
        return declared in {"tensor", "tensors"} or (declared == "none" and by_value)


def failed(row: int, fault: RequestError) -> InvalidInput:
    """The error for a row that the model cannot compute."""
    return InvalidInput(f"row {row}: {fault}")


def _table(form: Form, servable: Servable) -> Table:
    features, declared = servable.signature.features, servable.python_function.inputs
    content = form.content
    if form.form == "dataframe_split":
        return tables.of_split(content)
    if form.form == "dataframe_records":
        return tables.of_dataframe_records(content)
    if form.form == "llm":
        missing = [feature.name for feature in features if feature.name not in content]
        raise SchemaNotMet(
            f"missing columns: {missing}; bodies for language models are not supported"
        )
    if declared in {"tensor", "unnamed columns"} and isinstance(content, dict):
        raise InvalidInput(
            f"{form.form} is an object; this version has no names of columns: send lists"
        )
    if len(features) == 1 and declared == "columns" and _plain(content):
        content = {features[0].name: content}
    return tables.of_values(form.form, content)


def _plain(content: Any) -> bool:
    return isinstance(content, list) and not any(isinstance(each, dict) for each in content)
