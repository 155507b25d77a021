"""Write the figures of the README and docs/speed.md from the results."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median

from benchmarks.grid import Grid
from benchmarks.grids import grids
from benchmarks.peers import report as peers_report
from benchmarks.peers.run import Peers
from benchmarks.results import Results
from benchmarks.sample import middle, p50, rate, ratio
from benchmarks.servers import BY_HAND, PREDICTOR

_BEGIN = "<!-- speed: `python -m benchmarks readme` writes what follows from the stored results -->"
_END = "<!-- /speed -->"
_CONNECTIONS = 32  # this load keeps the server busy


def rewrite(root: Path, results: Results, peers: Peers | None) -> None:
    """Replace the text between the markers of each page by the results."""
    for name, page in PAGES.items():
        file = root / name
        file.write_text(rewritten(file.read_text(), page(results, peers)))


def rewritten(text: str, figures: str) -> str:
    """The text with these figures between its markers. Raises ValueError without markers."""
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n{figures}{_END}{after}"


def headline(results: Results, _: Peers | None) -> str:
    """One sentence for the README. Raises ValueError if the part `http` did not run."""
    if results.http is None:
        raise ValueError("the results have no requests of one record")
    one, many = (results.http.loads[connections] for connections in (1, _CONNECTIONS))
    times = ratio(many[PREDICTOR], many[BY_HAND], rate)
    return (
        f"On one core ({results.machine.processor}) the service answers"
        f" {middle(many[PREDICTOR], rate):,.0f} predictions a second over {_CONNECTIONS} connections,"
        f" {times:.3g} times as many as FastAPI,\nPydantic and ONNX Runtime put together by hand, and"
        f" takes {middle(one[PREDICTOR], p50):,.0f} µs at the median over one connection"
        f" (`{results.command}` on {results.date}).\n"
    )


def tables(results: Results, peers: Peers | None) -> str:
    """Machine and date, then every table; peers are measured in a separate run."""
    parts = [_circumstances(results), *_core_wait_line(results), *_tables(grids(results))]
    if peers is not None:
        parts += [_circumstances(peers), *_tables(peers_report.grids(peers))]
    return "\n".join(parts)


def comparison(_: Results, peers: Peers | None) -> str:
    """The service beside its peers; empty if they were not measured."""
    return "" if peers is None else "\n".join(_tables([peers_report.summary(peers)]))


PAGES = {"README.md": headline, "docs/speed.md": tables, "docs/comparison.md": comparison}


def _circumstances(run: Results | Peers) -> str:
    machine = run.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"`{run.command}` on {run.date}, in {run.minutes:.0f} minutes, commit {machine.commit}: "
        f"{machine.processor}, {machine.cores} cores, {machine.kernel}; {versions}.\n"
    )


def _core_wait_line(results: Results) -> Iterable[str]:
    """How long servers and wrk of the part `http` waited for their cores."""
    loads = results.http.loads.values() if results.http else ()
    waited = [each.waited for rounds in loads for samples in rounds.values() for each in samples]
    if waited:
        yield (
            f"Other programs had the server's core, or wrk's, for {median(waited):.0%} of a sample's "
            f"time at the median and {max(waited):.0%} at most.\n"
        ).replace("%", " %")


def _tables(shown: Iterable[Grid]) -> Iterable[str]:
    for grid in shown:
        rule = ["---" if n < grid.texts else "--:" for n in range(len(grid.columns))]
        rows = [grid.columns, tuple(rule), *grid.rows]
        yield f"**{grid.title}**\n"
        yield "".join(f"| {' | '.join(row)} |\n" for row in rows)
