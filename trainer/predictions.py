"""Tables of recorded predictions."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import typer

from trainer import terminal
from trainer.records import Records
from trainer.terminal import (
    UNKNOWN,
    Column,
    Output,
    Table,
    decimals,
    number,
    print_json,
    prose,
    time,
    word,
)

_DAY = "strftime(make_timestamp(epoch_us(time)), '%Y-%m-%d')"
GROUPS = {
    "version": {"model": "model_name", "version": "model_version"},
    "day": {"day": _DAY},
    "prediction": {"prediction": "prediction"},
    "protocol": {"protocol": "protocol"},
    "key": {"key": "key_name"},
}
"""What predictions can be counted by: headings, and columns in SQL."""


def show(records: Records, last: int, output: Output) -> bool:
    """Print the last predictions, the newest below; False if there is none."""
    names = records.columns() if records else {}
    probability = "probability" if "probability" in names else "null"
    columns = (
        "epoch_us(time), id, model_name, model_version, protocol, key_name, prediction, "
        f"{probability}, len(warnings)"
    )
    rows = _last(records, columns, last)
    cells = [
        [_when(when), *middle, warnings or 0]
        for when, *middle, warnings in rows
    ]  # fmt: skip
    headings = [
        time("time"), prose("id", rank=3, least=36), prose("model", rank=7), number("version", rank=1),
        word("protocol", rank=5), prose("key", rank=4), Column("prediction", "prediction", text=_text, least=16),
        number("probability", text=decimals), number("warnings", rank=2),
    ]  # fmt: skip
    if rows or output.as_json:
        output.show(Table(headings, cells))
    return bool(rows)


def show_whole(records: Records, last: int, output: Output) -> bool:
    """Print every value of the last predictions, without the columns that they do not have."""
    types = records.columns() if records else {}
    rows = _last(records, "* replace (epoch_us(time) as time)", last)
    found = [dict(zip(types, row, strict=True)) for row in rows]
    for values in found:
        values["time"] = _when(values["time"]).isoformat().replace("+00:00", "Z")
    if output.as_json:
        print_json(found)
        return bool(rows)
    for index, values in enumerate(found):
        cells = [
            [name, text] for name, value in values.items() for text in _values(value, types[name])
        ]
        if index:
            typer.echo()
        output.show(Table([prose("column", least=24), prose("value", least=24)], cells))
    return bool(rows)


def count(records: Records, by: str | None, output: Output) -> bool:
    """Print how many predictions and requests there are, and the times of the first and the last."""
    groups = GROUPS[by] if by else {}
    counted = "count(*), count(distinct request_id), min(epoch_us(time)), max(epoch_us(time))"
    after = "group by all order by all" if groups else "having count(*) > 0"
    rows = records.read(", ".join([*groups.values(), counted]), after=after) if records else []
    cells = [[*row[:-2], *map(_when, row[-2:])] for row in rows]
    headings = [
        *(Column(each, each, text=_text, least=16) for each in groups), number("predictions"),
        number("requests", rank=3), time("first", rank=2), time("last", rank=1),
    ]  # fmt: skip
    if rows or output.as_json:
        output.show(Table(headings, cells))
    return bool(rows)


def _last(records: Records, columns: str, last: int) -> list[tuple[Any, ...]]:
    """The last predictions, the oldest first."""
    if not records:
        return []
    after = "order by time desc, request_id desc, len(id) desc, id desc limit $last"
    return records.read(columns, after=after, last=last)[::-1]


def _values(value: Any, type_: str) -> Iterator[str]:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        yield from map(terminal.printable, value)
    elif type_ == "FLOAT" and value is not None:
        yield str(np.float32(value))  # the shortest text that is this float32
    elif value is not None:
        yield _exact(value)


def _exact(value: Any) -> str:
    return terminal.printable(value if isinstance(value, str) else json.dumps(value))


def _text(value: Any) -> str:
    """A cell: floats have six digits."""
    if value is None:
        return UNKNOWN
    return f"{value:.6g}" if isinstance(value, float) else _exact(value)


def _when(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
