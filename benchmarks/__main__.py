"""Measure the predictor and its references: `python -m benchmarks`, or `make bench`."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import picture, readme, results
from benchmarks.context import Plan
from benchmarks.errors import BenchError
from benchmarks.grids import grids
from benchmarks.peers import picture as peers_picture
from benchmarks.peers import report as peers_report
from benchmarks.peers import run as peers
from benchmarks.report import show
from benchmarks.run import PARTS, QUICK, run
from demo.processes import ROOT, StartError

_PIPE_WIDTH = 150  # columns, if the output is not a terminal


def main() -> int:
    """Run the command; return 0, or 1 if no valid figures could be measured."""
    options = _options()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    try:
        _COMMANDS[options.command](options, console)
    except (BenchError, StartError) as error:
        console.print(f"No figures: {error}", style="red", markup=False)
        return 1
    return 0


def _run(options: argparse.Namespace, console: Console) -> None:
    parts = options.only or (QUICK if options.quick else tuple(PARTS))
    found = run(_plan(options, seconds=4, rounds=5), parts, _command(options), console)
    show(console, grids(found))
    whole = set(parts) == set(PARTS) and not options.quick
    _save(
        found, options.output or (results.FILE if whole else _scratch_file(results.FILE)), console
    )
    if whole:
        for file, colours in picture.FILES.items():
            picture.draw(found, file, colours)
        console.print(
            "`python -m benchmarks readme` writes the tables of README and docs/speed.md from it"
        )


def _peers(options: argparse.Namespace, console: Console) -> None:
    found = peers.run(_plan(options, seconds=4, rounds=3), _command(options), console)
    show(console, peers_report.grids(found))
    file = _scratch_file(Path("peers.json")) if options.quick else peers_report.FILE
    _save(found, options.output or file, console)


def _readme(_: argparse.Namespace, __: Console) -> None:
    found = results.read(results.FILE, results.Results)
    beside = peers_report.FILE
    measured = results.read(beside, peers.Peers) if beside.exists() else None
    readme.rewrite(ROOT, found, measured)
    if measured is not None:
        peers_picture.draw(measured)


_COMMANDS = {"run": _run, "peers": _peers, "readme": _readme}


def _plan(options: argparse.Namespace, *, seconds: int, rounds: int) -> Plan:
    if options.quick:
        seconds, rounds = 1, 2
    return Plan(options.seconds or seconds, options.rounds or rounds, options.lock, options.tries)


def _scratch_file(file: Path) -> Path:
    """The path, outside version control, for results of a partial run."""
    return ROOT / ".bench" / file.name


def _save(found: object, file: Path, console: Console) -> None:
    results.write(found, file)
    console.print(
        f"Results saved in {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}"
    )


def _command(options: argparse.Namespace) -> str:
    """The command line that repeats this run."""
    given = [
        *(["--quick"] if options.quick else []),
        *(["--only", *options.only] if options.only else []),
        *(["--seconds", str(options.seconds)] if options.seconds else []),
        *(["--rounds", str(options.rounds)] if options.rounds else []),
    ]
    target = "make bench-peers" if options.command == "peers" else "make bench"
    return f'{target} ARGS="{" ".join(given)}"' if given else target


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "command",
        nargs="?",
        choices=_COMMANDS,
        default="run",
        help="peers: other servers with the same model; readme: update figures and pictures of README and docs",
    )
    add("--quick", action="store_true", help=f"one minute: short rounds of {', '.join(QUICK)}")
    add("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--seconds", type=int, help="duration of each sample (4)")
    add("--rounds", type=int, help="samples of each server (5; 3 for peers)")
    add(
        "--tries",
        type=int,
        default=3,
        help="maximum attempts for a sample that other programs disturb (3)",
    )
    add("--output", type=Path, help="file for the results")
    add("--lock", type=Path, help="file to lock while a sample is measured")
    return parser.parse_args()  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
