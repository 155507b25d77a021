"""MLflow's scoring protocol in the OpenAPI document, with the examples of `/predict` in its forms."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

import msgspec

from predictor.errors import RequestError
from predictor.model.servable import Servable
from predictor.model.signature import Feature, Row
from predictor.model.validation import parse_value
from predictor.openapi.examples import Examples
from predictor.openapi.schemas import Part, Schema, an_object, components, ref
from predictor.protocols.mlflow_scoring.errors import ScoringError
from predictor.protocols.mlflow_scoring.forms import Media
from predictor.protocols.mlflow_scoring.invocation import Invocations, Scored

_TEXT = {"type": "string"}
_CELLS = {
    "number": r"-?[0-9]{1,6}\.[0-9]{1,6}",
    "integer": "[0-9]{1,2}",
    "boolean": "(true|false)",
    "string": '[^",\n]*',
}
_NUMBER_IN_TEXT = {**_TEXT, "pattern": r"^-?[0-9]{1,6}(\.[0-9]{1,6})?$"}
_FORMS = ("dataframe_records", "instances", "inputs")


def describe(servable: Servable | None, examples: Examples) -> Part:
    """The bodies of `/invocations`, for the version that serves."""
    fixed = components(ScoringError, Scored)
    if servable is None:
        return Part({**fixed, "Invocation": {"type": "object"}, "InvocationCsv": _TEXT})
    features = servable.signature.features
    record = an_object(
        {feature.name: _value(feature) for feature in features},
        "Further members are ignored.",
        optional=[feature.name for feature in features if not feature.required],
    )
    records = {"type": "array", "minItems": 1, "items": ref("ScoringRecord")}
    forms = {"dataframe_split": _split(features), **dict.fromkeys(_FORMS, records)}
    invocation = {
        "type": "object",
        "description": "Exactly one of the four forms. Columns may come in any order.",
        "oneOf": [
            {"properties": {form: schema, "params": {}}, "required": [form]}
            for form, schema in forms.items()
        ],
    }
    schemas = {"ScoringRecord": record, "Invocation": invocation, "InvocationCsv": _csv(features)}
    answered = [examples.records[name] for name in examples.responses]
    return Part({**fixed, **schemas}, _examples(servable, answered) if answered else {})


def _examples(servable: Servable, records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """By the name of the body's schema, then by that of the form."""
    names = [feature.name for feature in servable.signature.features]
    rows = [[record.get(name) for name in names] for record in records]
    of_records = [dict(zip(names, row, strict=True)) for row in rows]
    split = {"dataframe_split": {"columns": names, "data": rows}}
    forms = {"dataframe_split": split, **{form: {form: of_records} for form in _FORMS}}
    return {
        "Invocation": dict(_readable(servable, "json", rows, forms)),
        "InvocationCsv": dict(_readable(servable, "csv", rows, {"csv": _csv_text([names, *rows])})),
    }


def _readable(
    servable: Servable, media: Media, rows: list[list[Any]], bodies: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """The bodies that are read back as these rows: an empty text in CSV, say, is a missing value."""
    features = servable.signature.features
    pack = servable.signature.pack
    expected = [tuple(map(parse_value, row, features)) for row in rows]

    def comparable(row: Row) -> object:
        if isinstance(row, tuple) and pack is not None:
            return pack(*row)
        return row if isinstance(row, bytes) else repr(row)  # NaN, a missing value, equals nothing

    for form, body in bodies.items():
        content = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        try:
            read, _ = Invocations(media).read_one(servable, content)
        except RequestError:
            continue
        if [*map(comparable, read)] == [*map(comparable, expected)]:
            yield form, {"summary": f"The examples of `/predict`, as `{form}`", "value": body}


def _csv_text(rows: list[list[Any]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _split(features: tuple[Feature, ...]) -> Schema:
    names = [feature.name for feature in features]
    alike = {str(value): value for value in map(_value, features)}
    width = {"minItems": len(names), "maxItems": len(names)}
    row = {"type": "array", "items": {"anyOf": [*alike.values()]}, **width}
    columns = {"type": "array", "items": _TEXT, "enum": [names]}
    data = {"type": "array", "minItems": 1, "items": row}
    return an_object({"columns": columns, "data": data}, additionalProperties=False)


def _csv(features: tuple[Feature, ...]) -> Schema:
    header = _csv_text([[feature.name for feature in features]])
    plain = re.sub(r"([.*+?^${}()|\[\]\\/])", r"\\\1", header)
    row = ",".join(
        _CELLS[feature.type] if feature.required else f"({_CELLS[feature.type]})?"
        for feature in features
    )
    return {
        **_TEXT,
        "description": "A header with the names, in any order, then rows; such as these.",
        "pattern": f"^{plain}({row}\n)+$",
    }


def _value(feature: Feature) -> Schema:
    kind: Schema = {"type": feature.type if feature.required else [feature.type, "null"]}
    if feature.minimum is not None:
        kind |= {"minimum": feature.minimum, "maximum": feature.maximum}
        return {"anyOf": [kind, _NUMBER_IN_TEXT]} if feature.type == "number" else kind
    return kind
