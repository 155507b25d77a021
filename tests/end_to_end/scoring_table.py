"""Requests to `/invocations`, good and bad, and how the answers of MLflow and of the predictor compare."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

CSV, JSON = "text/csv", "application/json"
Compared = Literal["same", "differs"]


@dataclass(frozen=True)
class Case:
    """One request.

    `same`: status, content type, predictions and `error_code` are compared, the texts of errors are not.
    `differs`: `theirs` is MLflow's status and `ours` the predictor's; `why` says what is better about it, as
    docs/mlflow-scoring.md does.
    """

    name: str
    body: bytes
    type: str | None
    compared: Compared
    theirs: int = 200
    ours: int = 400
    why: str = ""


def table(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    """The requests, for a version that takes these columns; `rows` are two that it answers."""
    yield from _answered(names, rows)
    yield from _refused_forms(names, rows)
    yield from _refused_values(names, rows)
    yield from _different(names, rows)


def _same(bodies: dict[str, Any], kind: str | None = JSON) -> Iterator[Case]:
    for name, body in bodies.items():
        yield Case(name, body if isinstance(body, bytes) else _bytes(body), kind, "same")


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _csv(names: list[Any], rows: list[list[Any]], end: str = "\n") -> str:
    return "".join(",".join(map(str, each)) + end for each in [names, *rows])


def _answered(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    first, second = rows
    one, two = (dict(zip(names, row, strict=True)) for row in rows)
    split = {"columns": names, "data": rows}
    columns = {name: [x, y] for name, x, y in zip(names, first, second, strict=True)}
    backwards = {"columns": names[::-1], "data": [row[::-1] for row in rows]}
    with_extra = {"columns": [*names, "x"], "data": [[*row, "text"] for row in rows]}
    yield from _same(
        {
            "split": {"dataframe_split": split},
            "split, columns in another order": {"dataframe_split": backwards},
            "split, a column too many": {"dataframe_split": with_extra},
            "split, with an index": {"dataframe_split": {**split, "index": ["p", "q"]}},
            "split, data as records": {"dataframe_split": {"columns": names, "data": [one, two]}},
            "split, data as columns": {"dataframe_split": {"data": columns}},
            "split, numbers as text": {
                "dataframe_split": {"columns": names, "data": [[f" {v} " for v in first]]}
            },
            "split, integers": {"dataframe_split": {"columns": names, "data": [[1] * len(names)]}},
            "records": {"dataframe_records": [one, two]},
            "one record": {"dataframe_records": [two]},
            "records, orders of their own": {
                "dataframe_records": [one, dict(reversed(two.items()))]
            },
            "records, a column too many": {"dataframe_records": [{**one, "x": None}, two]},
            "instances of records": {"instances": [one, two]},
            "instances by column": {"instances": columns},
            "an instance that is one record": {"instances": two},
            "inputs of records": {"inputs": [one, two]},
            "inputs by column": {"inputs": columns},
            "inputs of one record": {"inputs": one},
            "inputs, one value for all rows": {"inputs": {**columns, names[0]: first[0]}},
            "unknown keys beside the form": {"dataframe_split": split, "foo": 1},
            "params that nobody declared": {"dataframe_split": split, "params": {"a": 1}},
            "params that are none": {"instances": [two], "params": [1]},
            "a byte order mark": b"\xef\xbb\xbf" + _bytes({"inputs": [one]}),
            "UTF-16": json.dumps({"inputs": [two]}).encode("utf-16"),
        },
    )
    quoted = [[f'"{value}"' for value in row] for row in rows]
    yield from _same(
        {
            "csv": _csv(names, rows),
            "csv, columns in another order": _csv(names[::-1], [row[::-1] for row in rows]),
            "csv, CRLF": _csv(names, rows, "\r\n"),
            "csv, CR": _csv(names, rows, "\r"),
            "csv, no end of the last line": _csv(names, rows)[:-1],
            "csv, empty lines": "\n\n" + _csv(names, rows).replace("\n", "\n\n") + "   \n",
            "csv, quoted": _csv([f'"{name}"' for name in names], quoted),
            "csv, spaces and exponents": _csv(names, [[f" {v:e}\t" for v in first]]),
            "csv, points at the edge": _csv(names, [["5.", ".5", "+1", *first[3:]]]),
            "csv, an index as pandas writes it": _csv(
                ["", *names], [[number, *row] for number, row in enumerate(rows)]
            ),
            "csv, a column too many, twice": _csv([*names, "x", "x"], [[*first, "", 2]]),
            "csv, a byte order mark": "\ufeff" + _csv(names, rows),
        },
        CSV,
    )
    yield from _same({"csv, charset": _csv(names, rows)}, "text/csv; charset=UTF-8")
    yield from _same({"charset": {"inputs": [one]}}, "application/json;charset=utf-8")


def _refused_forms(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    first, second = rows
    less = dict(zip(names[2:], first[2:], strict=True))
    split = {"columns": names, "data": rows}
    yield from _same(
        {
            "not JSON": b"{",
            "nothing": b"",
            "a list": rows,
            "a number": 3,
            "null": None,
            "no form": {"foo": 1},
            "an empty object": {},
            "params only": {"params": {}},
            "two forms": {"inputs": rows, "instances": rows},
            "split, a list": {"dataframe_split": rows},
            "split, null": {"dataframe_split": None},
            "split, all rows short": {"dataframe_split": {"columns": names, "data": [first[1:]]}},
            "split, a row too long": {
                "dataframe_split": {"columns": names, "data": [[*first, 1], second]}
            },
            "split, two columns missing": {
                "dataframe_split": {"columns": names[2:], "data": [first[2:]]}
            },
            "split, no name of a column": {"dataframe_split": {"data": [[1.0]]}},
            "records, an object": {"dataframe_records": less},
            "records, a text": {"dataframe_records": "abc"},
            "records, columns missing": {"dataframe_records": [less]},
            "records, columns missing, one unknown": {"dataframe_records": [{**less, "x": 1}]},
            "records, none": {"dataframe_records": []},
            "instances, columns missing": {"instances": [less, less]},
            "instances, none": {"instances": []},
            "inputs, columns missing": {"inputs": {name: [1.0] for name in names[1:]}},
            "inputs, columns of two lengths": {
                "inputs": {**{name: [1.0] for name in names}, names[0]: [1.0, 2.0]}
            },
            "inputs, null": {"inputs": None},
            "inputs, a number": {"inputs": 3.5},
            "inputs, numbers": {"inputs": [1.0, 2.0]},
        },
    )
    yield from _same({"csv, empty": "", "csv, a line end": "\n"}, CSV)
    yield from _same({"csv, a column missing": _csv(names[1:], [first[1:]])}, CSV)
    for kind in (
        "text/plain", "text/json", "application/problem+json", "application/json; charset=latin-1",
        "text/csv; header=present",
    ):  # fmt: skip
        yield from _same({f"type {kind!r}": {"dataframe_split": split}}, kind)


def _refused_values(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    first, second = rows
    one = dict(zip(names, first, strict=True))
    split = {"columns": names, "data": rows}
    yield from _same(
        {
            "not UTF-8": b'{"inputs": "\xff"}',
            "split, no data": {"dataframe_split": {"columns": names}},
            "split, unknown key": {"dataframe_split": {**split, "foo": 1}},
            "split, no rows": {"dataframe_split": {"columns": names, "data": []}},
            "split, data is a text": {"dataframe_split": {"columns": names, "data": "abc"}},
            "split, data is one row": {"dataframe_split": {"columns": names, "data": first}},
            "split, a row is a number": {"dataframe_split": {"columns": names, "data": [first, 3]}},
            "split, columns is a text": {"dataframe_split": {"columns": "abc", "data": rows}},
            "split, index too short": {"dataframe_split": {**split, "index": [0]}},
            "split, a column twice": {
                "dataframe_split": {"columns": [*names, names[0]], "data": [[*first, 1.0]]}
            },
            "split, a text": {"dataframe_split": {"columns": names, "data": [["big", *first[1:]]]}},
            "split, an empty text": {
                "dataframe_split": {"columns": names, "data": [["", *first[1:]]]}
            },
            "split, a list": {"dataframe_split": {"columns": names, "data": [[[1], *first[1:]]]}},
            "split, no names": {"dataframe_split": {"data": rows}},
            "records, lists": {"dataframe_records": rows},
            "records, a number among them": {"dataframe_records": [one, 3]},
            "records, a text": {"dataframe_records": [{**one, names[0]: "big"}]},
            "instances, lists": {"instances": rows},
            "instances, lists of two lengths": {"instances": [first, second[1:]]},
            "instances, a number among them": {"instances": [one, 3]},
            "instances, a text": {"instances": [{**one, names[0]: "big"}]},
            "instances, a column missing in one": {
                "instances": [one, {n: v for n, v in one.items() if n != names[0]}]
            },
            "instances by column, of two lengths": {
                "instances": {**{name: [1.0] for name in names}, names[0]: [1.0, 2.0]}
            },
            "inputs, lists": {"inputs": rows},
            "inputs, a text": {"inputs": "abc"},
            "inputs, a number among them": {"inputs": [one, 3]},
            "inputs, no rows": {"inputs": {name: [] for name in names}},
            "for a language model": {"messages": [{"role": "user", "content": "hello"}]},
            "a language model's prompt": {"prompt": "hello"},
        },
    )
    yield from _same(
        {
            "csv, no header (as SageMaker's own algorithms take it)": _csv(first, [second]),
            "csv, a header only": _csv(names, []),
            "csv, a row too long": _csv(names, [first, [*second, 1]]),
            "csv, semicolons": _csv(names, rows).replace(",", ";"),
            "csv, a text": _csv(names, [["big", *first[1:]]]),
            "csv, an underscore in a number": _csv(names, [["1_7", *first[1:]]]),
            "csv, hexadecimal": _csv(names, [["0x10", *first[1:]]]),
            "csv, a quote that does not end": _csv(names, [['"17.99', *first[1:]]]),
            "csv, a NUL": _csv(names, [["17\x00", *first[1:]]]),
            "csv, spaces around names": _csv([f" {name}" for name in names], rows),
            "csv, not UTF-8": _csv(names, rows).encode() + b"\xff",
        },
        CSV,
    )


def _differ(
    why: str, bodies: dict[str, Any], kind: str | None = JSON, *, theirs: int = 200, ours: int = 400
) -> Iterator[Case]:
    for name, body in bodies.items():
        content = body if isinstance(body, bytes) else _bytes(body)
        yield Case(name, content, kind, "differs", theirs, ours, why)


def _different(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    yield from _different_values(names, rows)
    yield from _different_forms(names, rows)


def _different_values(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    first, second = rows
    one, two = (dict(zip(names, row, strict=True)) for row in rows)
    name = names[0]

    def split(value: Any) -> dict[str, Any]:
        return {"dataframe_split": {"columns": names, "data": [[value, *first[1:]]]}}

    missing = "a missing value is refused by name; a model may answer on it"
    absent = {key: value for key, value in two.items() if key != name}
    short = {"columns": names, "data": [first, second[:-1]]}
    yield from _differ(
        missing,
        {
            "null": split(None),
            "NaN": split(float("nan")),
            "text nan": split("nan"),
            "infinite": split(float("inf")),
            "records, one without a value": {"dataframe_records": [one, absent]},
            "split, a short row": {"dataframe_split": short},
            "inputs, null": {"inputs": {**{n: [v] for n, v in one.items()}, name: [None]}},
        },
    )
    cells = {
        f"csv {value!r}": _csv(names, [[value, *first[1:]]])
        for value in ("NA", "", "n/a", "null", "None")
    }
    short_csv = {"csv, a short row": _csv(names, [first, second[:-1]])}
    yield from _differ(missing, cells | short_csv, CSV)

    wrong = "only a number is a number: true is not taken for 1"
    yield from _differ(wrong, {"true": split(True)})
    yield from _differ(wrong, {"csv True": _csv(names, [["True", *first[1:]]])}, CSV)
    fits = "the graph computes in float32, so a number that does not fit it is refused"
    yield from _differ(fits, {"1e39": split(1e39), "10 to the 40": split(10**40)})


def _different_forms(names: list[str], rows: list[list[float]]) -> Iterator[Case]:
    first, second = rows
    one, two = (dict(zip(names, row, strict=True)) for row in rows)
    name = names[0]
    twice = "of two values for one name, neither is chosen"
    again = f'{{"dataframe_records": [{{"{name}": 3, {json.dumps(one)[1:]}]}}'
    forms = f'{{"inputs": 3, "inputs": {json.dumps([one])}}}'
    yield from _differ(twice, {"records, a name twice": again, "a form twice": forms})
    yield from _differ(twice, {"csv, a column twice": _csv([*names, name], [[*first, 1]])}, CSV)
    shifts = "values without a name are not taken for an index: it would shift the others"
    indexed = _csv(names, [[0, *first], [1, *second]])
    yield from _differ(shifts, {"csv, rows longer than the header": indexed}, CSV)
    behind = {"csv, text behind a quote": _csv(names, [['"17".99', *first[1:]]])}
    yield from _differ("it is not CSV", behind, CSV)

    never = "never a 500 for what a client sent"
    digits = b'{"dataframe_records": [{"x": %b}]}' % (b"9" * 5000)
    crashes = {"nested too deeply": b"[" * 100_000, "an integer of 5,000 digits": digits}
    yield from _differ(never, crashes, theirs=500)
    yield from _differ(never, {"no type": {"inputs": [one]}}, None, theirs=500, ours=200)
    spelling = "case, quotes and an empty parameter do not change a media type"
    for kind in ("Application/JSON", "application/json;", 'application/json; charset="utf-8"', ""):
        body = {f"type {kind!r}": {"inputs": [one]}}
        yield from _differ(spelling, body, kind, theirs=415, ours=200)
    yield from _differ("a row needs a form", {"a row beside `input`": {**one, "input": 1}})
    some = {"instances, an extra in one": {"instances": [{**one, "x": 1}, two]}}
    yield from _differ("ignored columns may be incomplete", some, theirs=400, ours=200)
    parquet = {"parquet": b"PAR1"}
    kind = "application/vnd.apache.parquet"
    yield from _differ("it would need pandas or Arrow", parquet, kind, theirs=400, ours=415)
