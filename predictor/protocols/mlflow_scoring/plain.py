"""The usual bodies of `/invocations`, read and written quickly: tables that have each feature once, by name.

What is read here has the same rows, and what is written here the same bytes, as in `rows.py` and
`invocation.py`, which read and write all other bodies: values are decoded by the features' types.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from predictor.inference.templates import PerServable
from predictor.model.decoder import count_colons, is_plain, strict_struct
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.protocols.mlflow_scoring.rows import MAX_NUMBER_LENGTH

_MAX_BYTES = 65_536  # msgspec lets nothing else run while it decodes
_MAX_ORDERS = 64  # of columns, to remember
_MEMBERS_OF_SPLIT = 3  # dataframe_split, columns, data
_OF_NUMBERS = b"0123456789+-.eE,\r\n"
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError)


class PlainTables:
    """Reads the plain tables of one servable."""

    def __init__(self, servable: Servable) -> None:
        signature = servable.signature
        features = signature.features
        self._names = [feature.name for feature in features]
        self._width = len(features)
        self._pack = signature.pack
        self._orders: dict[tuple[str, ...], Any] = {}
        record: Any = strict_struct(features)
        self._records = _decoder("dataframe_records", _at_least_one(record))
        limits = {(each.type, each.minimum, each.maximum) for each in features}
        self._split: msgspec.json.Decoder[Any] | None = None
        if self._pack is not None and len(limits) == 1 and features[0].type == "number":
            self._low, self._high = features[0].minimum, features[0].maximum
            value: Any = Annotated[float, msgspec.Meta(ge=self._low, le=self._high)]
            table = msgspec.defstruct(
                "Split",
                [("columns", tuple[str, ...]), ("data", _at_least_one(list[value]))],
                forbid_unknown_fields=True,
            )
            self._split = _decoder("dataframe_split", table)

    def read_json(self, body: bytes) -> list[Row] | None:
        """The rows of `dataframe_records` or `dataframe_split`; None for another body."""
        if len(body) > _MAX_BYTES:
            return None
        try:
            if body.startswith(b'{"dataframe_s'):
                return self._read_split(body)
            found = self._records.decode(body).table
        except _REFUSED:
            return None
        if count_colons(body) != 1 + len(found) * self._width:  # a name may be given twice
            return None
        return self._packed(map(msgspec.structs.astuple, found))

    def _read_split(self, body: bytes) -> list[Row] | None:
        if self._split is None or count_colons(body) != _MEMBERS_OF_SPLIT:
            return None
        table = self._split.decode(body).table
        return self._in_order(table.columns, table.data)

    def read_csv(self, body: bytes) -> list[Row] | None:
        """The rows of a CSV of numbers, without quotes, spaces or missing values; None for another body."""
        head, _, lines = body.partition(b"\n")
        if self._split is None or len(body) > _MAX_BYTES or lines.translate(None, _OF_NUMBERS):
            return None
        try:
            columns = tuple(head.rstrip(b"\r").decode("ascii").split(","))
            rows = [_numbers(line) for line in lines.split()]
        except ValueError:
            return None
        if not rows or not all(map(self._within, rows)):
            return None
        return self._in_order(columns, rows)

    def _within(self, row: Sequence[float]) -> bool:
        low: Any = self._low
        high: Any = self._high
        return low <= min(row) and max(row) <= high

    def _in_order(
        self, columns: tuple[str, ...], rows: Sequence[Sequence[float]]
    ) -> list[Row] | None:
        """The rows with their values in the order of the features."""
        order = self._orders.get(columns)
        if order is None:
            if sorted(columns) != sorted(self._names):
                return None
            if len(self._orders) >= _MAX_ORDERS:
                self._orders.clear()
            order = self._orders[columns] = [columns.index(name) for name in self._names]
        if any(len(row) != self._width for row in rows):
            return None
        if order == [*range(self._width)]:
            return self._packed(rows)
        return self._packed([[row[place] for place in order] for row in rows])

    def _packed(self, rows: Any) -> list[Row]:
        if (pack := self._pack) is not None:
            return [pack(*row) for row in rows]
        return [*rows]


def _numbers(line: bytes) -> list[float]:
    fields = line.split(b",")
    if len(line) > MAX_NUMBER_LENGTH and max(map(len, fields)) > MAX_NUMBER_LENGTH:
        raise ValueError("a number is too long")
    return [*map(float, fields)]


def _at_least_one(each: Any) -> Any:
    return Annotated[list[each], msgspec.Meta(min_length=1)]


def _decoder(form: str, table: Any) -> msgspec.json.Decoder[Any]:
    body = msgspec.defstruct(
        "Body", [("table", table)], rename={"table": form}, forbid_unknown_fields=True
    )
    return msgspec.json.Decoder(body)


def _make(servable: Servable) -> PlainTables | None:
    """None where MLflow would not take the columns by the features' names."""
    names = {feature.name for feature in servable.signature.features}
    declared = servable.python_function.inputs
    of_tensors = declared in {"none", "tensors"} and names >= {
        port.name for port in servable.signature.ports
    }
    plain = all(map(is_plain, names)) and len(names) == len(servable.signature.features)
    return PlainTables(servable) if plain and not of_tensors else None


PLAIN: PerServable[PlainTables | None] = PerServable(_make)
"""The plain tables of each servable."""
