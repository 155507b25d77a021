"""Fit and export models of all libraries: `python -m compatibility.export FOLDER`.

Each model becomes a folder `NNN` below FOLDER. `not_exported-PART.json` lists models that cannot be exported.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from compatibility import boosting, networks, pipelines, scikit_learn
from compatibility.cases import Case, write

SOURCES = (scikit_learn.cases, pipelines.cases, networks.cases, boosting.cases)


def export(folder: Path, *, quick: bool, part: int = 0, parts: int = 1) -> None:
    """Write all cases, or only the quick ones; with several processes, only one part of them."""
    warnings.simplefilter(
        "ignore"
    )  # from estimators that did not converge on few rows, and from MLflow
    refused = []
    for number, case in enumerate(_cases(quick)):
        if number % parts != part:
            continue
        try:
            write(case, folder / f"{number:03}")
        except Exception as error:  # noqa: BLE001  each library has its own errors
            message = " ".join(str(error).split())[:200]
            refused.append({**case.described, "reason": f"{type(error).__name__}: {message}"})
    (folder / f"not_exported-{part}.json").write_text(json.dumps(refused))


def _cases(quick: bool) -> Iterator[Case]:
    every = chain.from_iterable(source() for source in SOURCES)
    return (case for case in every if case.quick or not quick)


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(prog="compatibility.export")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="only the smaller part")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    export(
        arguments.folder,
        quick=arguments.quick,
        part=arguments.part,
        parts=arguments.parts,
    )


if __name__ == "__main__":
    main()
