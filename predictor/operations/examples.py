"""Examples that work as they are: records that were recorded with the version, and its real answers."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

import msgspec

from predictor.errors import InvalidRecord, RequestError
from predictor.model.servable import Servable
from predictor.model.signature import label_name
from predictor.model.validation import settled
from predictor.protocols.mlflow_scoring.forms import Media
from predictor.protocols.mlflow_scoring.invocation import Invocation

Bodies = dict[str, dict[str, Any]]


def invocations(servable: Servable, records: Iterable[Mapping[str, Any]]) -> Bodies:
    """By the name of the body's schema, then by that of the form; only those that are read back as the rows."""
    names = [feature.name for feature in servable.signature.features]
    rows = [[record.get(name) for name in names] for record in records]
    return {
        "Invocation": dict(_readable(servable, "json", rows, _forms(names, rows))),
        "InvocationCsv": dict(_readable(servable, "csv", rows, {"csv": _csv(names, rows)})),
    }


def _forms(names: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return {
        "dataframe_split": {"dataframe_split": {"columns": names, "data": rows}},
        **{form: {form: records} for form in ("dataframe_records", "instances", "inputs")},
    }


def _csv(names: list[str], rows: list[list[Any]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    return text.getvalue()


def _readable(
    servable: Servable, media: Media, rows: list[list[Any]], bodies: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Without those that the form has no way to say: an empty text in CSV is a missing one."""
    features = servable.signature.features
    expected = [[*map(settled, row, features)] for row in rows]
    for form, body in bodies.items():
        content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        try:
            read = Invocation(media, content).rows(servable)
        except RequestError:
            continue
        if repr([*map(list, read)]) == repr(expected):  # a missing value, NaN, equals nothing
            yield form, body


Record = Mapping[str, Any]

_VERSION = {"model_name", "model_version"}
_BLANK = "blank"
_IN_FORM = "The examples of `/predict`, as `{}`"


class Examples:
    """Records by name, one for each class where such were recorded, and what is answered to each.

    Unless `recorded`, there is one, and it is blank: recorded ones may be patients'. There is none
    where none is known to run.
    """

    def __init__(self, servable: Servable | None, *, recorded: bool = True) -> None:
        self._servable = servable
        self.records: dict[str, Record] = {}
        self.answers: dict[str, Any] = {}
        self._invocations: Bodies = {}
        if servable is not None:
            self.records = dict(_records(servable, recorded=recorded))
            computed = {name: _answered(servable, each) for name, each in self.records.items()}
            self.answers = {name: each for name, each in computed.items() if each is not None}
            answered = [self.records[name] for name in self.answers]
            self._invocations = invocations(servable, answered)

    @property
    def record(self) -> Record | None:
        """The first record."""
        return next(iter(self.records.values()), None)

    @property
    def answer(self) -> Any:
        """What is answered to the first that is answered; None for none."""
        return next(iter(self.answers.values()), None)

    def of(self, schema: str) -> dict[str, Any]:
        """Those of a schema of the document, for the `examples` of a body; none for others."""
        if not self.answers:
            return {}
        found: Mapping[str, Any] = {
            "Record": self.records,
            "Prediction": self.answers,
            "Records": {"several": {"instances": [*self.records.values()]}},
            "Predictions": {"several": self._several()},
            **self._invocations,
        }.get(schema, {})
        of_form = schema in self._invocations
        return {
            name: {"summary": _IN_FORM.format(name) if of_form else _summary(name), "value": each}
            for name, each in found.items()
        }

    def refused(self, schema: str) -> InvalidRecord | None:
        """What is said of a record that lacks its first feature and whose last one is null."""
        if self._servable is None or self.record is None:
            return None
        names = list(self.record)
        wrong = dict.fromkeys(names[-1:]) | {name: self.record[name] for name in names[1:-1]}
        if len(names) == 1:
            wrong = {}
        decoder, batch = self._servable.decoder, {"instances": [self.record, wrong]}
        try:
            if schema == "Records":
                decoder.instances(msgspec.json.encode(batch))
            else:
                decoder.record(msgspec.json.encode(wrong))
        except InvalidRecord as error:
            return error
        return None

    def _several(self) -> dict[str, Any]:
        rows = [
            {name: each for name, each in answer.items() if name not in {*_VERSION, "warnings"}}
            for answer in self.answers.values()
        ]
        return {"predictions": rows, **{name: self.answer[name] for name in sorted(_VERSION)}}


def _records(servable: Servable, *, recorded: bool) -> Iterator[tuple[str, Record]]:
    if servable.examples and recorded:
        labels = servable.signature.class_labels
        for label in labels:
            for example in servable.examples:
                if example.prediction == label:
                    yield label_name(label), example.record
                    break
        if not labels:
            yield "recorded", servable.examples[0].record
    elif not servable.signature.outputs.unproved:
        yield _BLANK, {feature.name: feature.blank for feature in servable.signature.features}


def _answered(servable: Servable, record: Record) -> Any:
    row = servable.decoder.record(msgspec.json.encode(record))
    (body,) = servable.encoder.each(servable.answer([row]), servable.ranges.outside([row]))
    return None if isinstance(body, Exception) else msgspec.json.decode(body)


def _summary(name: str) -> str:
    if name == _BLANK:
        return "Every feature blank: it runs, and means nothing"
    if name == "several":
        return "All examples of one record, at once"
    return f"A record that was recorded with this version: {name}"
