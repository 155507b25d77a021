"""Requests to `/invocations`, good and bad, and how the answers of MLflow and of the predictor compare."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

CSV, JSON = "text/csv", "application/json"
Compared = Literal["whole", "codes", "differs"]


@dataclass(frozen=True)
class Asked:
    """One request.

    `whole`: status, type and body are compared, an error's message as far as the text is MLflow's own.
    `codes`: both refuse it, with the same status, `error_code`, `sqlstate` and `error_class`; the message
    of the one is pandas', NumPy's or scikit-learn's, or repeats the data, that of the other names the fault.
    `differs`: `theirs` is MLflow's status, `ours` and `said` are status and part of the predictor's answer,
    `why` says what is better about it, as docs/mlflow-scoring.md does.
    """

    name: str
    body: bytes
    type: str | None
    compared: Compared
    theirs: int = 200
    ours: int = 400
    said: str = ""
    why: str = ""


def table(names: list[str], rows: list[list[float]]) -> Iterator[Asked]:
    """The requests, for a version that takes these columns; `rows` are two that it answers."""
    yield from _answered(names, rows)
    yield from _refused_with_a_message(names, rows)
    yield from _refused(names, rows)
    yield from _different(names, rows)


def _asked(compared: Compared, bodies: dict[str, Any], kind: str | None = JSON) -> Iterator[Asked]:
    for name, body in bodies.items():
        yield Asked(name, body if isinstance(body, bytes) else _bytes(body), kind, compared)


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _csv(names: list[Any], rows: list[list[Any]], end: str = "\n") -> str:
    return "".join(",".join(map(str, each)) + end for each in [names, *rows])


def _answered(names: list[str], rows: list[list[float]]) -> Iterator[Asked]:
    first, second = rows
    one, two = (dict(zip(names, row, strict=True)) for row in rows)
    split = {"columns": names, "data": rows}
    columns = {name: [x, y] for name, x, y in zip(names, first, second, strict=True)}
    backwards = {"columns": names[::-1], "data": [row[::-1] for row in rows]}
    with_extra = {"columns": [*names, "x"], "data": [[*row, "text"] for row in rows]}
    yield from _asked(
        "whole",
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
    yield from _asked(
        "whole",
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
    yield from _asked("whole", {"csv, charset": _csv(names, rows)}, "text/csv; charset=UTF-8")
    yield from _asked("whole", {"charset": {"inputs": [one]}}, "application/json;charset=utf-8")


def _refused_with_a_message(names: list[str], rows: list[list[float]]) -> Iterator[Asked]:
    first, second = rows
    less = dict(zip(names[2:], first[2:], strict=True))
    split = {"columns": names, "data": rows}
    yield from _asked(
        "whole",
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
    yield from _asked("whole", {"csv, empty": "", "csv, a line end": "\n"}, CSV)
    yield from _asked("whole", {"csv, a column missing": _csv(names[1:], [first[1:]])}, CSV)
    for kind in (
        "text/plain", "text/json", "application/problem+json", "application/json; charset=latin-1",
        "text/csv; header=present",
    ):  # fmt: skip
        yield from _asked("whole", {f"type {kind!r}": {"dataframe_split": split}}, kind)


def _refused(names: list[str], rows: list[list[float]]) -> Iterator[Asked]:
    first, second = rows
    one = dict(zip(names, first, strict=True))
    split = {"columns": names, "data": rows}
    yield from _asked(
        "codes",
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
    yield from _asked(
        "codes",
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


def _different(names: list[str], rows: list[list[float]]) -> Iterator[Asked]:
    first, second = rows
    one, two = (dict(zip(names, row, strict=True)) for row in rows)
    name = names[0]

    def refused(
        what: str, body: Any, said: str, why: str, kind: str | None = JSON, *, theirs: int = 200
    ) -> Asked:
        return Asked(what, _bytes(body) if not isinstance(body, bytes) else body, kind, "differs",
                     theirs, 400, said, why)  # fmt: skip

    def split(value: Any) -> dict[str, Any]:
        return {"dataframe_split": {"columns": names, "data": [[value, *first[1:]]]}}

    missing = "a value that is missing is refused by name; a model may answer on it"
    yield refused("null", split(None), f"{name} to type 'float32': row 0: null", missing)
    yield refused("NaN", split(float("nan")), f"{name} to type 'float32': row 0: not fin", missing)
    yield refused("text nan", split("nan"), f"{name} to type 'float32': row 0: not fin", missing)
    yield refused("infinite", split(float("inf")), f"{name} to type", missing)
    absent = {"dataframe_records": [one, {k: v for k, v in two.items() if k != name}]}
    yield refused(
        "records, one without a value", absent, f"{name} to type 'float32': row 1: missing", missing
    )
    short = {"dataframe_split": {"columns": names, "data": [first, second[:-1]]}}
    yield refused(
        "split, a short row", short, f"{names[-1]} to type 'float32': row 1: missing", missing
    )
    nothing = {"inputs": {**{n: [v] for n, v in one.items()}, name: [None]}}
    yield refused("inputs, null", nothing, f"{name} to type 'float32': row 0: null", missing)
    for value in ("NA", "", "n/a", "null", "None"):
        body = _csv(names, [[value, *first[1:]]])
        yield refused(
            f"csv {value!r}", body, f"{name} to type 'float32': row 0: missing", missing, CSV
        )
    yield refused(
        "csv, a short row", _csv(names, [first, second[:-1]]), f"{names[-1]} to type", missing, CSV
    )

    wrong = "what is no number is none, and is not taken for 1 or 0"
    yield refused("true", split(True), "got a boolean", wrong)
    yield refused("csv True", _csv(names, [["True", *first[1:]]]), "expected a number", wrong, CSV)
    fits = "the graph computes in float32, so a number that does not fit it is refused"
    yield refused("1e39", split(1e39), "does not fit float32", fits)
    yield refused("10 to the 40", split(10**40), "does not fit float32", fits)

    twice = "of two values for one name, neither is chosen"
    again = f'{{"dataframe_records": [{{"{name}": 3, {json.dumps(one)[1:]}]}}'
    yield refused("records, a name twice", again, f"{name} is given twice", twice)
    forms = f'{{"inputs": 3, "inputs": {json.dumps([one])}}}'
    yield refused("a form twice", forms, "inputs is given twice", twice)
    both = _csv([*names, name], [[*first, 1]])
    yield refused("csv, a column twice", both, f"given twice: ['{name}']", twice, CSV)
    indexed = _csv(names, [[0, *first], [1, *second]])
    shifts = (
        "values that no name stands above are not taken for an index: it would shift the others"
    )
    yield refused("csv, rows longer than the header", indexed, "in line 2, saw", shifts, CSV)
    yield refused(
        "csv, text behind a quote",
        _csv(names, [['"17".99', *first[1:]]]),
        "line 2",
        "it is no CSV",
        CSV,
    )

    never = "never a 500 for what a client sent"
    yield refused("nested too deeply", b"[" * 100_000, "nested too deeply", never, theirs=500)
    long = b'{"dataframe_records": [{"x": %b}]}' % (b"9" * 5000)
    yield refused("an integer of 5,000 digits", long, "Model is missing inputs", never, theirs=500)
    yield Asked(
        "no type", _bytes({"inputs": [one]}), None, "differs", 500, 200, "predictions", never
    )
    for kind in ("Application/JSON", "application/json;", 'application/json; charset="utf-8"', ""):
        yield Asked(f"type {kind!r}", _bytes({"inputs": [one]}), kind, "differs", 415, 200, "predictions",
                    "case, quotes and an empty parameter do not change a media type")  # fmt: skip
    llm = _bytes({**one, "input": 1})
    yield Asked(
        "a row beside `input`", llm, JSON, "differs", 200, 400, "not read", "a row needs a form"
    )
    some = _bytes({"instances": [{**one, "x": 1}, two]})
    yield Asked("instances, an extra in one", some, JSON, "differs", 400, 200, "predictions",
                "what is ignored need not be whole")  # fmt: skip
    yield Asked("parquet", b"PAR1", "application/vnd.apache.parquet", "differs", 400, 415, "text/csv",
                "it would take pandas or Arrow")  # fmt: skip
