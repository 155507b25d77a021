"""docs/models.md: what was tried, what it is served as, how exact it is, and what is refused and why."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from compatibility.doors import DOORS, Compared
from compatibility.serve import TOLERANCE, Outcome, Result

DESCRIBED = ("library", "estimator", "exported", "signature", "columns")
_REFUSED = "What is refused, and why"
# Graphs that ONNX Runtime itself does not compute as the library does.
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
predictor, which has none of these libraries installed. {asked} rows were asked through each protocol and
compared with ONNX Runtime on the same file, and with the library's own `predict` and `predict_proba`.

{counts}

`=` means equal to the last digit; a number is the largest difference, relative above 1. *library* compares
`/predict` with the library itself: what stands there is what the conversion to ONNX rounds, or what its
converter does otherwise; {tolerance:g} is allowed to the protocols, whatever the library says. "without"
lists outputs of the graph that a protocol does not give.
"""


def not_exported(folder: Path) -> list[dict[str, str]]:
    """What the exporters refused, with their reasons."""
    found = sorted(folder.glob("not_exported-*.json"))
    listed = [each for path in found for each in json.loads(path.read_text())]
    return sorted(listed, key=lambda each: (each["library"], each["estimator"], each["exported"]))


def text(results: Sequence[Result], not_exported: Sequence[dict[str, str]]) -> str:
    """The whole page."""
    rows = len(results[0].case["rows"])
    parts = [
        _HEAD.format(rows=150, asked=rows, counts=_counts(results), tolerance=TOLERANCE),
        _refused([each for each in results if each.outcome == "refused"]),
        *(_library(name, [*group]) for name, group in groupby(_served(results), key=_library_of)),
        _kept_out(not_exported, results),
    ]
    return "\n".join(part for part in parts if part)


def outcomes(page: str) -> dict[tuple[str, ...], str]:
    """What a written page says of each model, by the words that describe it."""
    found: dict[tuple[str, ...], str] = {}
    library = ""
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("## "):
            library = line.removeprefix("## ")
        elif library == _REFUSED and len(cells) > 1 and cells[0] not in {"library", "---"}:
            found[tuple(cells[:-1])] = "refused"
        elif len(cells) == len(DESCRIBED) + 1 + len(DOORS) and cells[0] not in {"estimator", "---"}:
            doors = " ".join(cells[len(DESCRIBED) : -1])
            worst = "differs" if "differs" in doors else "agrees"
            found[library, *cells[: len(DESCRIBED) - 1]] = (
                "in part" if "refused" in doors or "without" in doors else worst
            )
    return found


def wrong(result: Result) -> str:
    """What keeps a result from agreeing, on one line."""
    if result.refusal:
        return result.refusal
    told = []
    for name, door in result.doors.items():
        if isinstance(door, str):
            told.append(f"{name}: {door}")
        elif door.difference > TOLERANCE or door.missing:
            told.append(f"{name}: {_door(door)}")
    return "; ".join(told)


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
        *(f"`{d}`" for d in DOORS),
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
        lines.append(_line([*cells, *map(_door, each.doors.values()), _number(each.library)]))
    return "\n".join([*lines, ""])


def _kept_out(refused: Sequence[dict[str, str]], results: Iterable[Result]) -> str:
    """Estimators that no converter takes in any form: by name, because there is nothing to serve."""
    taken = {(each.case["library"], each.case["estimator"]) for each in results}
    names: dict[str, list[str]] = {}
    for each in refused:
        if (each["library"], each["estimator"]) not in taken:
            names.setdefault(each["library"], []).append(each["estimator"])
    lines = ["## What exporters do not take, or ONNX Runtime does not load", ""]
    for library, listed in names.items():
        lines += [f"{library}: {'; '.join(dict.fromkeys(listed))}.", ""]
    return "\n".join(lines) if names else ""


def _door(door: Compared | str) -> str:
    if isinstance(door, str):
        return f"refused: {door}"
    without = f", without {', '.join(f'`{name}`' for name in door.missing)}" if door.missing else ""
    return _number(door.difference) + without


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "differs"
    return "=" if value == 0 else f"{value:.0e}"


def _line(cells: Iterable[Any]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"
