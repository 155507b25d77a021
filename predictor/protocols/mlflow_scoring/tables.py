"""Tables: the columns of each form of a body, before any value is checked.

The forms are MLflow's, and so are the rules on what they may hold: `mlflow.utils.proto_json_utils`
(`dataframe_from_parsed_json`, `parse_tf_serving_input`) of MLflow 3.17, which makes DataFrames of them.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any

from predictor.protocols.mlflow_scoring.errors import InvalidInput, SchemaNotMet


class Absent(Enum):
    """The type of `ABSENT`, which stands for a value that a row does not have."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
_UNEVEN = "the columns have different numbers of values; give each column one value per row"
_NOUNS = {bool: "a boolean", str: "a text", list: "a list", dict: "an object", type(None): "null"}


def noun(value: Any) -> str:
    """The kind of a JSON value, for a message: values themselves may be a patient's."""
    return _NOUNS.get(type(value), "a number")


@dataclass(frozen=True)
class Table:
    """Columns by name; columns without names are numbered from 0.

    `column` returns the `count` values of a column in `names`; ABSENT where a row has none.
    `texts` says that all values are text, as in CSV, and are to be parsed.
    """

    names: Sequence[Hashable]
    count: int
    column: Callable[[Hashable], list[Any]]
    texts: bool = False


def of_lists(rows: Sequence[Sequence[Any]], names: Sequence[Hashable] | None = None) -> Table:
    """From rows, each a list; values after the end of a short row are absent."""
    if names is None:
        names = range(max(map(len, rows), default=0))
    places = {name: place for place, name in reversed([*enumerate(names)])}

    def column(name: Hashable) -> list[Any]:
        place = places[name]
        return [row[place] if place < len(row) else ABSENT for row in rows]

    return Table(names, len(rows), column)


def of_records(records: Sequence[Mapping[str, Any]]) -> Table:
    """From records; the names of all records, in the order of their first use."""
    names = [*dict.fromkeys(chain.from_iterable(records))]
    return Table(names, len(records), lambda name: [r.get(name, ABSENT) for r in records])  # type: ignore[call-overload]


def of_columns(columns: Mapping[str, Any]) -> Table:
    """From columns, each a list; a single value counts for every row.

    Raises SchemaNotMet where they are not of one length.
    """
    if not _even(columns):
        raise SchemaNotMet(_UNEVEN)
    count = next((len(values) for values in columns.values() if isinstance(values, list)), 1)

    def column(name: Hashable) -> list[Any]:
        values = columns[name]  # type: ignore[index]
        return values if isinstance(values, list) else [values] * count

    return Table([*columns], count, column)


def of_split(split: Any) -> Table:
    """From `dataframe_split`. Raises InvalidInput."""
    if (
        not isinstance(split, dict)
        or "data" not in split
        or split.keys() - {"columns", "data", "index"}
    ):
        raise InvalidInput(
            "dataframe_split must be an object with data, and optionally columns and index"
        )
    table = _of_data(split["data"], _names(split.get("columns")))
    index = split.get("index")
    if index is not None and (
        not isinstance(index, list)
        or len(index) != table.count
        or any(isinstance(each, list | dict) for each in index)
    ):
        raise InvalidInput(
            f"dataframe_split.index must be a list of {table.count} names, one for each row"
        )
    return table


def _names(columns: Any) -> list[Hashable] | None:
    if columns is None:
        return None
    if not isinstance(columns, list):
        raise InvalidInput("dataframe_split.columns must be a list of names")
    # No column has a list or an object as its name.
    return [None if isinstance(name, list | dict) else name for name in columns]


def _of_data(data: Any, names: list[Hashable] | None) -> Table:
    if isinstance(data, dict):
        if not _even(data):
            raise InvalidInput(f"dataframe_split.data: {_UNEVEN}")
        return _only(of_columns(data), names)
    if data is None:
        data = []
    if not isinstance(data, list):
        raise InvalidInput("dataframe_split.data must be a list of rows")
    if data and all(isinstance(row, dict) for row in data):
        return _only(of_records(data), names)
    if not all(isinstance(row, list) for row in data):
        raise InvalidInput("dataframe_split.data must be a list of rows, each a list")
    width = max(map(len, data), default=0)
    if data and names is not None and width != len(names):
        raise InvalidInput(
            f"dataframe_split.data has rows of {width} values, for {len(names)} columns"
        )
    return of_lists(data, names)


def _only(table: Table, names: list[Hashable] | None) -> Table:
    """The table with these columns only; columns without values are absent."""
    if names is None:
        return table
    known = set(table.names)

    def column(name: Hashable) -> list[Any]:
        return table.column(name) if name in known else [ABSENT] * table.count

    return Table(names, table.count, column)


def of_dataframe_records(records: Any) -> Table:
    """From `dataframe_records`. Raises InvalidInput."""
    if not isinstance(records, list):
        raise InvalidInput(f"dataframe_records is {noun(records)}; send a list of objects")
    return _of_list("dataframe_records", records)


def of_values(form: str, values: Any) -> Table:
    """From `instances` or `inputs`: records, lists, or one object of columns. Raises InvalidInput."""
    if isinstance(values, dict):
        if form == "instances" and not _even(values):
            raise InvalidInput(f"instances: {_UNEVEN}")
        return of_columns(values)
    if not isinstance(values, list):
        if isinstance(values, str):
            raise InvalidInput(f"{form} is a text; send a list of rows, or an object of columns")
        return of_lists([[values]])
    table = _of_list(form, values)
    if values and isinstance(values[0], list) and len({len(row) for row in values}) > 1:
        raise InvalidInput(f"{form} has rows of different lengths")
    return table


def _even(columns: Mapping[str, Any]) -> bool:
    return len({len(values) for values in columns.values() if isinstance(values, list)}) <= 1


def _of_list(form: str, values: list[Any]) -> Table:
    kinds = {type(each) if isinstance(each, list | dict) else None for each in values}
    if len(kinds) > 1:
        raise InvalidInput(f"{form} mixes objects, lists and single values; send rows of one kind")
    if dict in kinds:
        return of_records(values)
    # Nothing has no column, and single values have one.
    return Table(range(1), len(values), lambda _: values) if None in kinds else of_lists(values)
