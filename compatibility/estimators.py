"""What `exporters.log_model` proves for each estimator: `python -m compatibility.estimators`.

Each estimator is fitted on a small table that suits it, exported, and compared with ONNX Runtime. The result
is exact, within the tolerance, or a refusal with its reason. They are written to docs/estimators.md.
"""

import argparse
import json
import logging
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from compatibility import estimator_page
from compatibility.estimator_cases import Proof, cases
from exporters.errors import ExportError
from exporters.export import export

PAGE = Path(__file__).parent.parent / "docs" / "estimators.md"
_PROCESSES = 2
Outcome = Literal["exact", "within tolerance", "refused", "not fitted"]


@dataclass(frozen=True)
class Result:
    """The result of one case; `difference` is the largest, None if it was refused."""

    library: str
    estimator: str
    predicts: str
    outcome: Outcome
    difference: float | None = None
    precision: str = ""
    splits: int = 0
    reason: str = ""


def prove(case: Proof) -> Result:
    """Fit one estimator, and export it."""
    named = (case.library, case.estimator, case.predicts)
    try:
        model, rows = case.fit()
    except Exception as error:  # noqa: BLE001 - each library has its own errors
        return Result(*named, "not fitted", reason=_one_line(error))
    try:
        parity = export(model, rows).parity
    except ExportError as error:
        return Result(*named, "refused", reason=_one_line(error))
    outcome: Outcome = "exact" if parity.exact else "within tolerance"
    return Result(
        *named, outcome, parity.largest_difference, parity.precision, parity.splits_tested
    )


def results(numbers: list[int]) -> Iterator[Result]:
    """The results of these cases, by their place in `cases`."""
    listed = [*cases()]
    for number in numbers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from fits that did not converge on few rows
            yield prove(listed[number])


def chosen(*, quick: bool) -> list[int]:
    """The places of all cases, or of the quick ones."""
    return [number for number, case in enumerate(cases()) if case.quick or not quick]


def _result(number: int) -> Result:
    return next(results([number]))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def main() -> None:
    """Prove all cases in two processes, and write the page, or the results as JSON."""
    parser = argparse.ArgumentParser(prog="compatibility.estimators")
    parser.add_argument("--json", type=Path, help="write the results to this file, and no page")
    arguments = parser.parse_args()
    found = []
    with ProcessPoolExecutor(
        _PROCESSES, initializer=logging.disable, initargs=(logging.WARNING,)
    ) as pool:
        for result in pool.map(_result, chosen(quick=False)):
            found.append(asdict(result))
            print(
                f"{result.library}, {result.estimator}, {result.predicts}: {result.outcome}",
                flush=True,
            )
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    else:
        PAGE.write_text(estimator_page.text(found))


if __name__ == "__main__":
    main()
