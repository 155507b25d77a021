"""What a run found, as tables for a terminal."""

from collections.abc import Iterator

from rich.table import Table

from benchmarks.parts.http import Http
from benchmarks.sample import cpu, middle, p50, p99, rate, ratio
from benchmarks.servers import EMPTY

_COLUMNS = (
    ("requests/s", rate, "{:,.0f}"),
    ("CPU µs/request", cpu, "{:.1f}"),
    ("p50 µs", p50, "{:,.0f}"),
    ("p99 µs", p99, "{:,.0f}"),
)


def tables(result: Http) -> Iterator[Table]:
    """One table for each number of connections; in brackets, the ratio to the empty application."""
    for connections, rounds in result.loads.items():
        table = Table(title=f"{result.model}, {connections} connections", title_justify="left")
        table.add_column("", no_wrap=True)
        for heading, _, _ in _COLUMNS:
            table.add_column(heading, justify="right", no_wrap=True)
        for name, samples in rounds.items():
            cells = [
                f"{form.format(middle(samples, figure))} ({ratio(samples, rounds[EMPTY], figure):.2f})"
                for _, figure, form in _COLUMNS
            ]
            table.add_row(name, *cells)
        yield table
