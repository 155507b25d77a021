"""One request to `/invocations`: its rows, its `params`, and the predictions as MLflow writes them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from predictor.inference.protocol import Read, Reply, Result, read_each, write_each
from predictor.inference.templates import PerServable, Templates
from predictor.model.answers import Answer, Answers
from predictor.model.graph_values import graph_row
from predictor.model.mlmodel import Param
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.model_version import ModelVersion
from predictor.protocols.mlflow_scoring import tables
from predictor.protocols.mlflow_scoring.errors import InvalidInput, SchemaNotMet
from predictor.protocols.mlflow_scoring.forms import Form, Media, read_csv, read_json
from predictor.protocols.mlflow_scoring.plain import PLAIN
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
class Invocations:
    """The protocol of `/invocations`, for JSON or CSV."""

    media: Media
    name: ClassVar[str] = "mlflow_scoring"

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows; the note of each request is its form, None for a table that is plain or CSV."""
        return read_each(partial(self.read_one, servable), bodies)

    def read_one(self, servable: Servable, body: bytes) -> tuple[list[Row], Form | None]:
        """The rows of one body, and its form. Raises InvalidInput or SchemaNotMet."""
        if (plain := PLAIN.of(servable)) is not None:
            rows = plain.read_csv(body) if self.media == "csv" else plain.read_json(body)
            if rows is not None:
                return rows, None
        if self.media == "csv":
            table = read_csv(body, len(servable.signature.features))
            return rows_of(table, servable, len(body)), None
        form = read_json(body)
        rows = rows_of(table_of(form, servable), servable, len(body))
        check_params(form.params, servable.python_function.params)
        return rows, form

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The body of each response; its header fields name the version."""
        headers = _headers(servable.model_version)
        written = None
        if not any(read.notes) and not _are_tensors(None, servable):
            written = _TEMPLATES.of(servable).fill(answers)
        if written is not None:
            return [Reply(body, headers) for body in _joined(written, read.counts or ())]

        def write_one(part: Answers, form: Form | None) -> Reply:
            for row, error in sorted(part.errors.items()):
                raise InvalidInput(f"row {row}: {error}")
            tensors = _are_tensors(form, servable)
            found: Any = predictions(servable, part, tensors=tensors)  # type: ignore[arg-type]
            return Reply(msgspec.json.encode(Scored(found)), headers)

        return write_each(write_one, read, answers)


def _templates(servable: Servable) -> Templates:
    def write(answers: Answers) -> bytes:
        return msgspec.json.encode(Scored(predictions(servable, answers, tensors=False)))  # type: ignore[arg-type]

    return Templates(servable.signature, write)


_TEMPLATES = PerServable(_templates)
_START, _END = b'{"predictions":[', b"]}"


def _joined(rows: Sequence[bytes], counts: Sequence[int]) -> Iterator[bytes]:
    """One response for each request, from the responses to its rows."""
    if len(rows) == len(counts):
        yield from rows
        return
    start = 0
    for count in counts:
        each = [row[len(_START) : -len(_END)] for row in rows[start : start + count]]
        yield b"%b%b%b" % (_START, b",".join(each), _END)
        start += count


@lru_cache(maxsize=16)
def _headers(version: ModelVersion) -> tuple[tuple[str, str], ...]:
    return ("X-Model-Name", quote(version.name)), ("X-Model-Version", version.version)


def _are_tensors(form: Form | None, servable: Servable) -> bool:
    """Whether MLflow would make tensors of the body, not a DataFrame."""
    declared = servable.python_function.inputs
    by_value = form is not None and form.form in {"instances", "inputs"}
    return declared in {"tensor", "tensors"} or (declared == "none" and by_value)


def table_of(form: Form, servable: Servable) -> Table:
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
