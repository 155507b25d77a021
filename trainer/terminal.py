"""What commands print: tables that fit the terminal, the same tables as JSON, and text without control characters.

It imports nothing of MLflow: that takes seconds, and not every command needs it.
"""

import json
import math
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

UNKNOWN = "-"
_GAP = 2
_MAX_HEADING = 14
_MIN_TEXT = 4
_LEFT_TO_RIGHT_MARK = "\u200e"
_RIGHT_TO_LEFT = {"R", "AL", "AN"}


def printable(text: str) -> str:
    """The text without control characters: what a registry holds must not move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)


def moment(when: datetime) -> str:
    """A time in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decimals(value: float) -> str:
    """Four decimals, and more where these would show 0 or 1 for another value."""
    text = f"{value:.4f}"
    return text if value == float(text) or float(text) not in {0, 1} else f"{value:.12g}"


@dataclass(frozen=True)
class Column:
    """A column of a table: its key in JSON, its heading, and what becomes of it on a narrow terminal.

    Columns of rank 0 are always shown; of the others, those with the highest rank are left out first. `text` makes a
    cell of a value that is not None. A cell is never shortened unless the column has a `least` width, which the longest
    texts are shortened to before a column is left out. Columns of a `group` are one object in JSON.
    """

    key: str
    heading: str
    rank: int = 0
    text: Callable[[Any], str] = str
    right: bool = False
    least: int | None = None
    group: str = ""


def number(
    key: str, heading: str = "", rank: int = 0, text: Callable[[Any], str] = str, group: str = ""
) -> Column:
    """A column of numbers, times or versions: aligned to the right, and always whole."""
    return Column(key, heading or key, rank, text, right=True, group=group)


def time(key: str, heading: str = "", rank: int = 0) -> Column:
    """A column of datetimes."""
    return number(key, heading, rank, moment)


def word(key: str, heading: str = "", rank: int = 0) -> Column:
    """A column of short texts, which are never shortened."""
    return Column(key, heading or key, rank)


def prose(key: str, heading: str = "", rank: int = 0, least: int = 12) -> Column:
    """A column of texts of any length, which may be shortened to `least` cells of a terminal."""
    return Column(key, heading or key, rank, least=least)


@dataclass(frozen=True)
class Table:
    """Columns, and rows with one value for each; None is unknown."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]

    def records(self) -> list[dict[str, Any]]:
        """The rows as objects for `print_json`, with all columns."""
        records = []
        for row in self.rows:
            record: dict[str, Any] = {}
            for column, value in zip(self.columns, row, strict=True):
                fields = record.setdefault(column.group, {}) if column.group else record
                fields[column.key] = value
            records.append(record)
        return records


@dataclass(frozen=True)
class Output:
    """How a command prints: tables that fit the terminal, all columns of them (`wide`), or JSON."""

    wide: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Find out before a command does its work whether rich is missing: what only reads model files has none."""
        import rich.console  # noqa: F401

    def show(self, table: Table, console: "Console | None" = None) -> None:
        """Print a table, or its rows as JSON.

        On a terminal, columns without any value are hidden, and others are left out until the rest fits. Elsewhere, and
        with `wide`, every column is printed whole.
        """
        if self.as_json:
            print_json(table.records())
            return
        from rich.console import Console
        from rich.text import Text

        console = console or Console(highlight=False)
        fits = console.is_terminal and not self.wide
        layout = _fitted(table, console.width) if fits else _whole(table)
        for index, line in enumerate(layout.lines(isolate=console.is_terminal)):
            # Text, because rich would interpret a reason as markup.
            style = "" if index else "bold"
            console.print(Text(line, style), soft_wrap=True)
        if fits and (remark := layout.remark):
            console.print(Text(remark, "dim"))


def print_json(document: Any) -> None:
    """Print a JSON document: times in ISO 8601, null for NaN, and only ASCII: other characters can move a cursor."""
    sys.stdout.write(json.dumps(_as_json(document), indent=2, allow_nan=False) + "\n")


@dataclass(frozen=True)
class _Layout:
    """The columns that are shown, with their cells (the heading first) and widths in cells of the terminal."""

    columns: Sequence[Column]
    cells: Sequence[Sequence[str]]
    widths: Sequence[int]
    left_out: Sequence[Column] = ()

    def lines(self, *, isolate: bool) -> Iterator[str]:
        """The heading and the rows; `isolate` keeps texts in Arabic or Hebrew from moving the cells beside them."""
        for row in zip(*self.cells, strict=True):
            padded = (
                _padded(cell, width, right=column.right, isolate=isolate)
                for cell, width, column in zip(row, self.widths, self.columns, strict=True)
            )
            yield (" " * _GAP).join(padded).rstrip()

    @property
    def remark(self) -> str:
        """What --wide would show in addition; empty if that is nothing."""
        more = []
        if self.left_out:
            names = ", ".join(_printed_heading(each) for each in self.left_out)
            plural = "" if len(self.left_out) == 1 else "s"
            more.append(f"{len(self.left_out)} more column{plural}: {names}")
        if any(
            _cells(cell) > width
            for column, width in zip(self.cells, self.widths, strict=True)
            for cell in column
        ):
            more.append("whole texts" if not more else "and whole texts")
        return f"(--wide shows {', '.join(more)})" if more else ""


def _whole(table: Table) -> _Layout:
    cells = [_texts(table, index) for index in range(len(table.columns))]
    return _Layout(table.columns, cells, [max(map(_cells, each)) for each in cells])


def _fitted(table: Table, width: int) -> _Layout:
    """What fits: see `Output.show`. If not even the columns of rank 0 do, their texts are shortened further."""
    everything = _whole(table)
    shown = [
        index
        for index in range(len(table.columns))
        if any(row[index] not in (None, "") for row in table.rows) or not table.columns[index].rank
    ]
    natural = [_natural(cells) for cells in everything.cells]
    least = [
        wanted if column.least is None else min(wanted, column.least)
        for column, wanted in zip(table.columns, natural, strict=True)
    ]
    left_out = []
    while _needed(least, shown) > width:
        index = max(shown, key=lambda each: (table.columns[each].rank, each))
        if not table.columns[index].rank:
            break
        shown.remove(index)
        left_out.append(index)
    widths = _spread([natural[i] for i in shown], [least[i] for i in shown], width)
    texts = [table.columns[index].least is not None for index in shown]
    _shrink(widths, texts, width)
    return _Layout(
        [table.columns[index] for index in shown],
        [everything.cells[index] for index in shown],
        widths,
        [table.columns[index] for index in sorted(left_out)],
    )


def _natural(cells: Sequence[str]) -> int:
    """The width that a column wants: a long heading over short cells is shortened."""
    heading, *rest = map(_cells, cells)
    return max(min(heading, _MAX_HEADING), *rest) if rest else heading


def _needed(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + _GAP * (len(shown) - 1)


def _spread(natural: Sequence[int], least: Sequence[int], width: int) -> list[int]:
    """Widen the least widths evenly, up to the natural ones, as far as the terminal is wide."""
    widths = [*least]
    spare = width - sum(widths) - _GAP * (len(widths) - 1)
    while spare > 0:
        narrow = [i for i, each in enumerate(widths) if each < natural[i]]
        if not narrow:
            break
        widths[min(narrow, key=lambda i: widths[i])] += 1
        spare -= 1
    return widths


def _shrink(widths: list[int], texts: Sequence[bool], width: int) -> None:
    """Shorten texts where even the least widths do not fit."""
    excess = sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0:
        index = max(range(len(widths)), key=lambda i: widths[i] if texts[i] else 0)
        if not texts[index] or widths[index] <= _MIN_TEXT:
            return
        widths[index] -= 1
        excess -= 1


def _texts(table: Table, index: int) -> list[str]:
    """The heading and the cells of a column."""
    column = table.columns[index]
    cells = (
        UNKNOWN if row[index] is None else printable(column.text(row[index])) for row in table.rows
    )
    return [_printed_heading(column), *cells]


def _printed_heading(column: Column) -> str:
    return printable(column.heading)


def _padded(text: str, width: int, *, right: bool, isolate: bool) -> str:
    """The text in exactly `width` cells, shortened with `…` or padded."""
    excess = _cells(text) - width
    if excess > 0:
        text = _cut(text, width - 1) + "…"
    padding = " " * (width - _cells(text))
    if isolate and any(unicodedata.bidirectional(each) in _RIGHT_TO_LEFT for each in text):
        text = f"{_LEFT_TO_RIGHT_MARK}{text}{_LEFT_TO_RIGHT_MARK}"
    return padding + text if right else text + padding


def _cut(text: str, width: int) -> str:
    """As much of the text as fits in `width` cells."""
    while _cells(text) > width:
        text = text[: -max(1, (_cells(text) - width) // 2)]
    return text


def _cells(text: str) -> int:
    """How many cells of a terminal the text fills: a Chinese character fills two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_as_json(each) for each in value]
    return value
