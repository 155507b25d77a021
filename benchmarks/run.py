"""Run the parts one after the other."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from benchmarks.context import BenchContext, Plan, open_context
from benchmarks.machine import Machine
from benchmarks.parts import (
    batch,
    drift,
    growth,
    grpc,
    http,
    memory,
    models,
    protocols,
    records,
    shadow,
    start,
    steps,
    swap,
    traces,
    workers,
)
from benchmarks.results import Results

PARTS: Mapping[str, Callable[[BenchContext], Any]] = {
    "http": http.run,
    "protocols": protocols.run,
    "swap": swap.run,
    "models": models.run,
    "texts": models.run_texts,
    "batch": batch.run,
    "start": start.run,
    "growth": growth.run,
    "workers": workers.run,
    "memory": memory.run,
    "steps": steps.run,
    "traces": traces.run,
    "grpc": grpc.run,
    "records": records.run,
    "shadow": shadow.run,
    "drift": drift.run,
}
QUICK = ("http", "swap", "batch", "start")


def run(plan: Plan, parts: Sequence[str], command: str, console: Console) -> Results:
    """Measure the given parts. Raises BenchError or StartError if that is not possible."""
    began, date = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = Machine.here()
    with open_context(plan, console) as context:
        found = {part: PARTS[part](context) for part in PARTS if part in parts}
    minutes = round((time.monotonic() - began) / 60, 1)
    return Results(date, command, minutes, machine, **found)
