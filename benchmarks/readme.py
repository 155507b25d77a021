"""The README's figures, written from the results alone."""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.grids import Grid, grids
from benchmarks.results import Results

_BEGIN = (
    "<!-- speed: `python -m benchmarks readme` writes what follows from benchmarks/results.json -->"
)
_END = "<!-- /speed -->"


def rewrite(readme: Path, results: Results) -> None:
    """Put the results between the markers."""
    readme.write_text(rewritten(readme.read_text(), results))


def rewritten(text: str, results: Results) -> str:
    """The same text with these results between the markers. Raises ValueError without markers."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the README has no {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n{markdown(results)}{_END}{after}"


def markdown(results: Results) -> str:
    """Where and when, then each grid as a table."""
    return "\n".join([_circumstances(results), *_tables(grids(results))])


def _circumstances(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"`{results.command}` on {results.date}, in {results.minutes:.0f} minutes, commit "
        f"{machine.commit}: {machine.processor}, {machine.cores} cores, {machine.kernel}; {versions}.\n"
    )


def _tables(shown: Iterable[Grid]) -> Iterable[str]:
    for grid in shown:
        rule = ["---" if n < grid.texts else "--:" for n in range(len(grid.columns))]
        rows = [grid.columns, tuple(rule), *grid.rows]
        yield f"**{grid.title}**\n"
        yield "".join(f"| {' | '.join(row)} |\n" for row in rows)
