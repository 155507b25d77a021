"""One run: an MLflow server, the parts in turn, the results."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import process, wrk
from benchmarks.cores import Cores
from benchmarks.machine import Machine
from benchmarks.parts import batch, growth, http, start, swap
from benchmarks.results import Results
from benchmarks.stage import Plan, Stage
from demo.processes import free_port, running, start_mlflow

PARTS: Mapping[str, Callable[[Stage], Any]] = {
    "http": http.run,
    "swap": swap.run,
    "models": http.run_models,
    "batch": batch.run,
    "start": start.run,
    "growth": growth.run,
}
QUICK = ("http", "swap", "batch", "start")


def run(plan: Plan, parts: Sequence[str], command: str, console: Console) -> Results:
    """Measure. Raises BenchError or StartError where that cannot be done."""
    wrk.require()
    began, cores, machine = time.monotonic(), Cores.take(), Machine.here()
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        mlflow = stack.enter_context(running(start_mlflow(folder / "mlflow", free_port())))
        # wrk has the same core, and must not wait for it.
        process.step_back(mlflow.process.pid)
        stage = Stage(cores, plan, mlflow.url, folder, stack, console)
        found = {part: PARTS[part](stage) for part in PARTS if part in parts}
    minutes = (time.monotonic() - began) / 60
    return Results(date, command, round(minutes, 1), machine, **found)
