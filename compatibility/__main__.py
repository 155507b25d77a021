"""`python -m compatibility`: export, serve, compare, and write docs/models.md."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compatibility import page
from compatibility.cases import CASE
from compatibility.serve import Result, english_locale, serve

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "models.md"
_PROCESSES = 2


def exported(python: str, folder: Path, *arguments: str) -> None:
    """Run the export in the libraries' environment. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    # Small fits are slower with several threads.
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    env = {**os.environ, **threads, **english_locale(folder)}
    command = [python, "-m", "compatibility.export", str(folder), *arguments]
    running = [
        subprocess.Popen([*command, "--part", str(part), "--parts", str(_PROCESSES)], cwd=ROOT, env=env)
        for part in range(_PROCESSES)
    ]  # fmt: skip
    for process in running:
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)


def folders(below: Path) -> list[Path]:
    """The folders of the exported versions, in the order of the table."""
    return sorted(path.parent for path in below.glob(f"*/{CASE}"))


def main() -> None:
    """Run both halves, write the page, and exit with 1 if a number is wrong."""
    parser = argparse.ArgumentParser(prog="compatibility")
    parser.add_argument("--python", default=str(ROOT / ".venv-models" / "bin" / "python"),
                        help="the Python interpreter with the libraries")  # fmt: skip
    parser.add_argument(
        "--folder", type=Path, help="folder of the exported versions; they are reused"
    )
    parser.add_argument("--quick", action="store_true", help="only the smaller part; write no page")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        below = arguments.folder or Path(scratch) / "versions"
        started = time.monotonic()
        if not folders(below):
            exported(arguments.python, below, *(["--quick"] if arguments.quick else []))
        results = serve(folders(below), Path(scratch) / "predictor", _print_result)
    print(f"{len(results)} models in {time.monotonic() - started:.0f} s")
    if not arguments.quick:
        arguments.output.write_text(page.text(results, page.not_exported(below)))
    sys.exit(any(result.outcome == "differs" for result in results))


def _print_result(result: Result) -> None:
    case = result.case
    if result.outcome != "agrees":
        named = ", ".join(
            case[each] for each in ("library", "estimator", "exported", "signature", "columns")
        )
        print(f"{result.outcome}: {named}: {page.wrong(result)}", flush=True)


if __name__ == "__main__":
    main()
