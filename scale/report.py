"""Markdown tables of simulations and measured costs."""

import math
from collections.abc import Iterable, Sequence

from scale.costs import Costs
from scale.simulation import Outcome, Plan, quantile

_HEADINGS = (
    "replicas", "poll every, s", "MLflow workers", "file, MB", "MLflow busy", "polls timed out",
    "poll p50, ms", "p99, ms", "noticed 50 %, s", "99 %", "100 %", "serves 50 %, s", "99 %", "100 %",
)  # fmt: skip


def table(rows: Iterable[tuple[Plan, Outcome]]) -> str:
    """One line for each plan, in the given order."""
    return _markdown(_HEADINGS, [_cells(plan, outcome) for plan, outcome in rows])


def measured(costs: Costs) -> str:
    """The costs of MLflow's requests and of one replica."""
    rows = [
        ("a poll", f"{costs.poll * 1e3:.1f} ms"),
        ("where a version's files are", f"{costs.download_uri * 1e3:.1f} ms"),
        ("a small file through the artifact proxy", f"{costs.small_file * 1e3:.1f} ms"),
        ("each MB of a file", f"{costs.megabyte * 1e3:.2f} ms"),
        ("a run's metrics", f"{costs.run * 1e3:.1f} ms"),
        ("the list of a version's files", f"{costs.listing * 1e3:.1f} ms"),
        ("a promotion, for each replica, 22 kB", f"{sum(costs.requests(0.022)) * 1e3:.1f} ms"),
        ("the same, 12 MB", f"{sum(costs.requests(12)) * 1e3:.1f} ms"),
        ("maximum polls of one worker", f"{costs.max_polls_per_second:.0f} /s"),
        ("loading in a replica, wall time", f"{costs.load * 1e3:.0f} ms"),
        ("memory of a replica (PSS)", f"{costs.memory:.0f} MB"),
        ("time series of a replica", f"{costs.series}"),
        ("a scrape", f"{costs.scrape_bytes / 1e3:.1f} kB"),
    ]
    conditions = f"Measured on {costs.measured_on}: {costs.machine}."
    return _markdown(("what", "cost"), rows) + "\n\n" + conditions


def milliseconds(seconds: float) -> str:
    """Milliseconds, with one decimal below one second."""
    return f"{seconds * 1e3:,.1f}" if seconds < 1 else f"{seconds * 1e3:,.0f}"


def _cells(plan: Plan, outcome: Outcome) -> Sequence[str]:
    return (
        f"{plan.replicas:,}", f"{plan.poll_seconds:g}", f"{plan.servers}", f"{plan.megabytes:g}",
        f"{outcome.load:.0%}", f"{outcome.late:.0%}",
        milliseconds(quantile(outcome.waits, 0.5)), milliseconds(quantile(outcome.waits, 0.99)),
        *(_seconds(quantile(outcome.noticed, part, plan.replicas)) for part in (0.5, 0.99, 1)),
        *(_seconds(quantile(outcome.serving, part, plan.replicas)) for part in (0.5, 0.99, 1)),
    )  # fmt: skip


def _seconds(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:.1f}"


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *["--:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
