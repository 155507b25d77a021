"""One run: the parts in turn, on a stage of their own."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from benchmarks.machine import Machine
from benchmarks.parts import batch, growth, http, protocols, start, swap, traces
from benchmarks.results import Results
from benchmarks.stage import Plan, Stage, open_stage

PARTS: Mapping[str, Callable[[Stage], Any]] = {
    "http": http.run,
    "protocols": protocols.run,
    "swap": swap.run,
    "models": http.run_models,
    "batch": batch.run,
    "start": start.run,
    "growth": growth.run,
    "traces": traces.run,
}
QUICK = ("http", "swap", "batch", "start")


def run(plan: Plan, parts: Sequence[str], command: str, console: Console) -> Results:
    """Measure. Raises BenchError or StartError where that cannot be done."""
    began, date = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = Machine.here()
    with open_stage(plan, console) as stage:
        found = {part: PARTS[part](stage) for part in PARTS if part in parts}
    minutes = round((time.monotonic() - began) / 60, 1)
    return Results(date, command, minutes, machine, **found)
