"""Measure the predictor beside its references: `python -m benchmarks`."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from benchmarks.cores import Cores
from benchmarks.errors import BenchError
from benchmarks.parts import http
from benchmarks.report import tables
from benchmarks.stage import Plan, Stage
from demo.processes import StartError, free_port, running, start_mlflow

PARTS = {"http": http.run}


def main() -> int:
    """Run, print; return 0 where the figures mean what they say."""
    options = _options()
    console = Console(highlight=False, soft_wrap=True)
    plan = Plan(
        options.seconds or (2 if options.quick else 4),
        options.rounds or (3 if options.quick else 5),
        options.lock,
    )
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
            cores = Cores.take()
            console.print("[bold cyan]==>[/] Starting MLflow")
            mlflow = stack.enter_context(
                running(start_mlflow(Path(folder) / "mlflow", free_port()))
            )
            stage = Stage(cores, plan, mlflow.url, Path(folder), stack, console)
            result = http.run(stage)
    except (BenchError, StartError) as error:
        console.print(f"[red]No figures:[/] {error}", markup=True)
        return 1
    for table in tables(result):
        console.print(table)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, help="of each sample")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--lock", type=Path, help="file to hold a lock on while a sample is taken")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
