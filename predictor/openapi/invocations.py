"""Examples of bodies in MLflow's scoring protocol: the same records in each form that the version takes."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from typing import Any

import msgspec

from predictor.errors import RequestError
from predictor.records.faults import settled
from predictor.scoring.invocation import Invocation
from predictor.scoring.media import Media
from predictor.servable import Servable

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
