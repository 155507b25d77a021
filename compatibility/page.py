"""docs/models.md: the tested models, how they are served, how exact, and which are refused and why."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from compatibility.protocols import PROTOCOLS, Compared
from compatibility.serve import TOLERANCE, Outcome, Result

DESCRIBED = ("library", "estimator", "exported", "signature", "columns")
_REFUSED = "What is refused, and why"
# Graphs for which ONNX Runtime itself differs from the library.
_WRONG_FILES = {
    (
        "scikit-learn",
        "MLPRegressor",
    ): " (skl2onnx puts all targets into one column, below each other)",
    ("LightGBM", "LGBMClassifier (rf)"): " (onnxmltools leaves out a class)",
}
_HEAD = """# Models of other libraries

Written by `make models`; do not edit it by hand. Each row is a model that was fitted on {rows} rows,
exported the way that users of its library do it, logged as `mlflow.onnx` logs it, and served by the real
predictor, which has none of these libraries installed. {tested} rows were sent by each protocol and
compared with ONNX Runtime on the same file, and with the library's own `predict` and `predict_proba`.

{counts}

`=` means equal to the last digit; a number is the largest difference, relative above 1. *library* compares
`/predict` with the library itself: what stands there is what the conversion to ONNX rounds, or what its
converter does otherwise; {tolerance:g} is allowed to the protocols, whatever the library says. "without"
lists outputs of the graph that a protocol does not give.
"""


def not_exported(folder: Path) -> list[dict[str, str]]:
    """The models that no exporter converts, with reasons."""
    found = sorted(folder.glob("not_exported-*.json"))
    listed = [each for path in found for each in json.loads(path.read_text())]
    return sorted(listed, key=lambda each: (each["library"], each["estimator"], each["exported"]))


def text(results: Sequence[Result], not_exported: Sequence[dict[str, str]]) -> str:
    """The whole page."""
    rows = len(results[0].case["rows"])
    parts = [
        _HEAD.format(rows=150, tested=rows, counts=_counts(results), tolerance=TOLERANCE),
        _refused([each for each in results if each.outcome == "refused"]),
        *(_library(name, [*group]) for name, group in groupby(_served(results), key=_library_of)),
        _not_exported(not_exported, results),
    ]
    return "\n".join(part for part in parts if part)


def outcomes(page: str) -> dict[tuple[str, ...], str]:
    """The outcome of each model on a written page, by the model's description."""
    found: dict[tuple[str, ...], str] = {}
    library = ""
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("## "):
            library = line.removeprefix("## ")
        elif library == _REFUSED and len(cells) > 1 and cells[0] not in {"library", "---"}:
            found[tuple(cells[:-1])] = "refused"
        elif len(cells) == len(DESCRIBED) + 1 + len(PROTOCOLS) and cells[0] not in {
            "estimator",
            "---",
        }:
            by_protocol = " ".join(cells[len(DESCRIBED) : -1])
            worst = "differs" if "differs" in by_protocol else "agrees"
            found[library, *cells[: len(DESCRIBED) - 1]] = (
                "in part" if "refused" in by_protocol or "without" in by_protocol else worst
            )
    return found


def wrong(result: Result) -> str:
    """The differences and refusals of a result, on one line."""
    if result.refusal:
        return result.refusal
    reasons = []
    for name, compared in result.by_protocol.items():
        if isinstance(compared, str):
            reasons.append(f"{name}: {compared}")
        elif compared.difference > TOLERANCE or compared.missing:
            reasons.append(f"{name}: {_protocol_cell(compared)}")
    return "; ".join(reasons)


def _served(results: Iterable[Result]) -> list[Result]:
    return [each for each in results if each.outcome != "refused"]


def _library_of(result: Result) -> str:
    return str(result.case["library"])


def _counts(results: Sequence[Result]) -> str:
    names = list(dict.fromkeys(map(_library_of, results)))
    outcomes: tuple[Outcome, ...] = ("agrees", "in part", "differs", "refused")
    lines = [
        "| | models | all four agree | in part | differ | refused |",
        "|---|---|---|---|---|---|",
    ]
    for name in [*names, "all"]:
        own = [each for each in results if name in ("all", _library_of(each))]
        count = Counter(each.outcome for each in own)
        lines.append(
            f"| {name} | {len(own)} | " + " | ".join(str(count[o]) for o in outcomes) + " |"
        )
    return "\n".join(lines)


def _refused(results: Sequence[Result]) -> str:
    if not results:
        return ""
    lines = [f"## {_REFUSED}", "", "| library | estimator | exported | signature | columns | reason |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for each in results:
        case = each.case
        cells = [
            case["library"],
            case["estimator"],
            case["exported"],
            case["signature"],
            case["columns"],
        ]
        note = _WRONG_FILES.get((case["library"], case["estimator"]), "")
        lines.append(_line([*cells, each.refusal + note]))
    return "\n".join([*lines, ""])


def _library(name: str, results: Sequence[Result]) -> str:
    heads = [
        "estimator",
        "exported",
        "signature",
        "columns",
        "served as",
        *(f"`{d}`" for d in PROTOCOLS),
        "library",
    ]
    lines = [f"## {name}", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for each in results:
        case = each.case
        cells = [
            case["estimator"],
            case["exported"],
            case["signature"],
            case["columns"],
            each.served_as,
        ]
        lines.append(
            _line([*cells, *map(_protocol_cell, each.by_protocol.values()), _number(each.library)])
        )
    return "\n".join([*lines, ""])


def _not_exported(refused: Sequence[dict[str, str]], results: Iterable[Result]) -> str:
    """The names of estimators that no exporter converts in any form."""
    taken = {(each.case["library"], each.case["estimator"]) for each in results}
    names: dict[str, list[str]] = {}
    for each in refused:
        if (each["library"], each["estimator"]) not in taken:
            names.setdefault(each["library"], []).append(each["estimator"])
    lines = ["## What exporters do not take, or ONNX Runtime does not load", ""]
    for library, listed in names.items():
        lines += [f"{library}: {'; '.join(dict.fromkeys(listed))}.", ""]
    return "\n".join(lines) if names else ""


def _protocol_cell(compared: Compared | str) -> str:
    if isinstance(compared, str):
        return f"refused: {compared}"
    without = (
        f", without {', '.join(f'`{name}`' for name in compared.missing)}"
        if compared.missing
        else ""
    )
    return _number(compared.difference) + without


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "differs"
    return "=" if value == 0 else f"{value:.0e}"


def _line(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
