"""Simulate up to 1,000 replicas; `measure` and `compare` use a real MLflow server."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from scale import costs, report
from scale.simulation import Plan, simulate

if TYPE_CHECKING:
    from scale.registry import FollowedModel  # slow to import, and a simulation does not need it


def main() -> int:
    """Print the result; return 0."""
    options = _options()
    match options.what:
        case "simulate":
            _simulate(options)
        case "measure":
            _measure(options)
        case "compare":
            _compare(options)
    return 0


def _simulate(options: argparse.Namespace) -> None:
    known = costs.read()
    combinations = product(
        options.megabytes, options.replicas, options.poll_seconds, options.servers
    )
    plans = [
        Plan(replicas, poll, servers, megabytes, options.link, options.seed)
        for megabytes, replicas, poll, servers in combinations
    ]
    sys.stdout.write(report.table((plan, simulate(plan, known)) for plan in plans) + "\n")


def _measure(options: argparse.Namespace) -> None:
    from scale.measure import Counts, measure

    with _followed_model() as (model, folder):
        found = measure(model, folder, Counts())
    if options.write:
        costs.write(found)
    sys.stdout.write(report.measured(found) + "\n")


def _compare(options: argparse.Namespace) -> None:
    from scale.experiment import compare

    with _followed_model() as (model, _):
        found = compare(model, costs.read(), options.pollers, options.load, options.polls)
    sys.stdout.write("\n".join(found.lines()) + "\n")


@contextmanager
def _followed_model() -> Iterator[tuple["FollowedModel", Path]]:
    from demo.processes import running, start_mlflow
    from scale.registry import followed_model

    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        folder = Path(name)
        with running(start_mlflow(folder)) as child:
            yield followed_model(child.url, child.process.pid, folder), folder


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scale", description=__doc__)
    parser.set_defaults(what="simulate")
    _add_simulation_arguments(parser)
    modes = parser.add_subparsers(dest="what_else")
    measuring = modes.add_parser("measure", help="measure the costs on a real MLflow server")
    measuring.add_argument(
        "--write", action="store_true", help="save the costs in scale/costs.json"
    )
    measuring.set_defaults(what="measure")
    comparing = modes.add_parser(
        "compare", help="compare polls of a real server with the simulation"
    )
    comparing.add_argument("--pollers", type=int, default=20)
    comparing.add_argument("--load", type=float, default=0.5, help="utilisation of MLflow, 0 to 1")
    comparing.add_argument(
        "--polls", type=int, default=60, help="polls per replica before the promotion"
    )
    comparing.set_defaults(what="compare")
    return parser.parse_args()


def _add_simulation_arguments(parser: argparse.ArgumentParser) -> None:
    def add_values(name: str, kind: type, default: list[float], help_text: str) -> None:
        parser.add_argument(name, type=kind, nargs="+", default=default, help=help_text)

    add_values("--replicas", int, [10, 100, 1000], "how many replicas follow the model")
    add_values("--poll-seconds", float, [2, 10, 30], "PREDICTOR_POLL_SECONDS")
    add_values("--servers", int, [1, 4], "MLflow's workers, each with a core of its own")
    add_values("--megabytes", float, [0.022], "size of the version's file")
    parser.add_argument(
        "--link", type=float, default=125, help="bandwidth of MLflow's network, MB/s"
    )
    parser.add_argument("--seed", type=int, default=0)


if __name__ == "__main__":
    sys.exit(main())
