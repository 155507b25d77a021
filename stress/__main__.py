"""Swap under load and check every answer: `python -m stress --swaps 1000`."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from demo.processes import running, start_mlflow
from stress.clients import Load
from stress.run import POINTERS, Plan, run


def main() -> int:
    """Print the reports; return 0 if all are good."""
    options = _options()
    plan = Plan(
        swaps=options.swaps,
        pointers=tuple(options.pointers),
        poll_seconds=options.poll_seconds,
        quiet_seconds=options.quiet_seconds,
        load=Load(options.clients, options.pause_seconds),
    )
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        trained = options.trained or _train(Path(folder) / "mlflow")
        reports = run(trained, Path(folder), plan)
    for report in reports:
        print("\n".join(report.lines()))
    return 0 if all(report.good for report in reports) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stress", description=__doc__)
    parser.add_argument("--swaps", type=int, default=1000, help="minimum number for each pointer")
    parser.add_argument("--pointers", nargs="+", choices=POINTERS, default=list(POINTERS))
    parser.add_argument("--poll-seconds", type=float, default=0.05)
    parser.add_argument(
        "--quiet-seconds",
        type=float,
        default=15,
        help="seconds without changes before and after the swaps",
    )
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument(
        "--pause-seconds",
        type=float,
        default=0.01,
        help="maximum pause of a client between requests",
    )
    parser.add_argument(
        "--trained",
        type=Path,
        help="folder of a server with trained models; new versions are added",
    )
    return parser.parse_args()


def _train(folder: Path) -> Path:
    print("Training the versions", flush=True)
    with running(start_mlflow(folder)) as server:
        subprocess.run(
            [sys.executable, "-m", "trainer", "train", "--quick"],
            env={**os.environ, "MLFLOW_TRACKING_URI": server.url},
            stdout=subprocess.DEVNULL,
            check=True,
        )
    return folder


if __name__ == "__main__":
    sys.exit(main())
