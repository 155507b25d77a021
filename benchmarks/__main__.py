"""Measure the predictor beside its references: `python -m benchmarks`, or `make bench`."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks import picture, readme, results
from benchmarks.errors import BenchError
from benchmarks.grids import grids
from benchmarks.report import show
from benchmarks.run import PARTS, QUICK, run
from benchmarks.stage import Plan
from demo.processes import ROOT, StartError


def main() -> int:
    """Run, print and keep; return 0 where the figures mean what they say, whatever they are."""
    options = _options()
    if options.command == "readme":
        readme.rewrite(ROOT / "README.md", results.read(results.FILE))
        return 0
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    try:
        _measure(options, console)
    except (BenchError, StartError) as error:
        console.print(f"No figures: {error}", style="red", markup=False)
        return 1
    return 0


def _measure(options: argparse.Namespace, console: Console) -> None:
    seconds, rounds = (1, 2) if options.quick else (4, 5)
    plan = Plan(options.seconds or seconds, options.rounds or rounds, options.lock)
    parts = options.only or (QUICK if options.quick else tuple(PARTS))
    found = run(plan, parts, _command(options), console)
    show(console, grids(found))
    whole = set(parts) == set(PARTS)
    file = options.output or (results.FILE if whole else ROOT / ".bench" / results.FILE.name)
    results.write(found, file)
    if whole:
        picture.draw(found, file.with_suffix(".svg"))
    console.print(f"Kept in {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}")


def _command(options: argparse.Namespace) -> str:
    given = [
        *(["--quick"] if options.quick else []),
        *(["--only", *options.only] if options.only else []),
        *(["--seconds", str(options.seconds)] if options.seconds else []),
        *(["--rounds", str(options.rounds)] if options.rounds else []),
    ]
    return f'make bench ARGS="{" ".join(given)}"' if given else "make bench"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "command", nargs="?", choices=("run", "readme"), default="run",
        help="readme: write the README's figures from benchmarks/results.json",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help=f"a minute: short rounds of {', '.join(QUICK)}"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seconds", type=int, help="of each sample (4)")
    parser.add_argument("--rounds", type=int, help="of samples, interleaved (5)")
    parser.add_argument(
        "--output",
        type=Path,
        help="file for the results; benchmarks/results.json where all parts were run",
    )
    parser.add_argument("--lock", type=Path, help="file to hold a lock on while samples are taken")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
