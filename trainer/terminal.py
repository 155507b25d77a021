"""What commands print: text without control characters, and tables.

It imports nothing of MLflow: that takes seconds, and not every command needs it.
"""

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Row = Sequence[str]


def printable(text: str) -> str:
    """The text without control characters: what a registry holds must not move a terminal's cursor."""
    return "".join(each if each.isprintable() else "?" for each in text)


def show(
    headings: Row, rows: Iterable[Row], console: "Console", *, numbers: Container[str] = ()
) -> None:
    """Print a table; without a terminal, print aligned columns that are never truncated.

    Control characters are replaced. `numbers` are the headings of the columns that are aligned to the right.
    """
    # Environments that only read model files have no rich.
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = [[printable(cell) for cell in row] for row in rows]
    if not console.is_terminal:
        _show_plain([headings, *rows], console, numbers)
        return
    table = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for row in rows:
        # Text, because rich would interpret a reason as markup.
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def _show_plain(rows: Sequence[Row], console: "Console", numbers: Container[str]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    to_right = [heading in numbers for heading in rows[0]]
    for row in rows:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_right, strict=True)
        )
        console.file.write("  ".join(padded).rstrip() + "\n")
