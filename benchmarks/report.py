"""Print tables to a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from benchmarks.grid import Grid


def show(console: Console, grids: Iterable[Grid]) -> None:
    """Print each table."""
    for grid in grids:
        table = Table(title=grid.title, title_justify="left")
        for number, column in enumerate(grid.columns):
            table.add_column(column, justify="left" if number < grid.texts else "right")
        for row in grid.rows:
            table.add_row(*map(_coloured, row))
        console.print(table)


def _coloured(cell: str) -> str:
    colour = {"met": "green", "missed": "red"}.get(cell)
    return f"[{colour}]{cell}[/]" if colour else cell
