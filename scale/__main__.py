"""Prove that many replicas follow one MLflow through the registry gateway; `measure` measures one replica's costs."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import TextIO

from demo.processes import running, start_mlflow
from scale import costs, report
from scale.gateway import NoNginxError
from scale.measure import Counts, measure
from scale.nats_server import NoNatsServerError
from scale.proof import Size, prove
from scale.registry import followed_model


def main() -> int:
    """Print the result; return 1 if a bar is not met, 2 without nginx or nats-server."""
    options = _options()
    # As Ctrl-C does: stop all that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        if options.what == "measure":
            return _measure(Path(name), write=options.write)
        size = Size(
            options.pollers, options.replicas, options.poll_seconds, options.steady_seconds,
            options.down_seconds,
        )  # fmt: skip
        try:
            result = prove(size, Path(name), lambda step: _print(f"… {step}", sys.stderr))
        except (NoNginxError, NoNatsServerError) as error:
            _print(str(error), sys.stderr)
            return 2
    _print(report.proof(result), sys.stdout)
    return int(not all(met for _, _, met in report.bars(result)))


def _measure(folder: Path, *, write: bool) -> int:
    with running(start_mlflow(folder)) as child:
        model = followed_model(child.url, child.process.pid, folder)
        found = measure(model, folder, Counts())
    if write:
        costs.write(found)
    _print(report.measured(found), sys.stdout)
    return 0


def _print(text: str, to: TextIO) -> None:
    to.write(text + "\n")
    to.flush()


def _options() -> argparse.Namespace:
    size = Size()
    parser = argparse.ArgumentParser(prog="python -m scale", description=__doc__)
    parser.set_defaults(what="prove")
    parser.add_argument("--pollers", type=int, default=size.pollers, help="simulated replicas")
    parser.add_argument("--replicas", type=int, default=size.replicas, help="real predictors")
    parser.add_argument("--poll-seconds", type=float, default=size.poll_seconds)
    parser.add_argument(
        "--steady-seconds", type=float, default=size.steady_seconds, help="without a change"
    )
    parser.add_argument(
        "--down-seconds",
        type=float,
        default=size.down_seconds,
        help="without MLflow, and without nginx",
    )
    modes = parser.add_subparsers(dest="mode")
    measuring = modes.add_parser("measure", help="measure the costs on a real MLflow server")
    measuring.add_argument(
        "--write", action="store_true", help="save the costs in scale/costs.json"
    )
    measuring.set_defaults(what="measure")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
