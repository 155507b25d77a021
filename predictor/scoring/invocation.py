"""Invocation: one request in MLflow's scoring protocol, as the batcher asks about it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from predictor.computing import Run
from predictor.errors import RequestError
from predictor.model_version import ModelVersion
from predictor.records.answers import Answer
from predictor.scoring import tables
from predictor.scoring.csv_form import read_csv
from predictor.scoring.json_forms import Asked, read_json
from predictor.scoring.media import Media
from predictor.scoring.params import check_params
from predictor.scoring.predictions import predictions
from predictor.scoring.rows import rows_of
from predictor.scoring.scoring_errors import InvalidInput, SchemaNotMet
from predictor.scoring.tables import Table
from predictor.servable import Servable
from predictor.signature import Row

_FAILED = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe "
    "is compatible with the model for inference."
)


@dataclass(frozen=True)
class Scored:
    """The body of an answer, and the version that computed it."""

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

    def told(self, servable: Servable, answer: Answer) -> Scored:
        """The answer to the only row."""
        return self._scored(servable, [answer])

    def work(self, servable: Servable, run: Run) -> Scored:
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

    def _scored(self, servable: Servable, answers: list[Answer]) -> Scored:
        given: Any = predictions(servable, answers, tensors=self._tensors(servable))
        return Scored(servable.model_version, msgspec.json.encode({"predictions": given}))

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
