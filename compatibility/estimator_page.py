"""docs/estimators.md: what `log_model` proves for each estimator, and what it refuses and why."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

_PROVEN = ("exact", "within tolerance")
_REFUSED = "Refused, and why"
_HEAD = """# What `log_model` proves for each estimator

Written by `make estimators`; do not edit it by hand. Every estimator of scikit-learn's `all_estimators()`, and
those of LightGBM, XGBoost and CatBoost, alone and inside pipelines, calibrations, stacks and search objects, is
fitted on 120 rows that suit it. Then `exporters.log_model`'s export converts it to ONNX, and compares ONNX
Runtime with the library on these rows, on 1,500 generated ones, on zeros, missing values and unseen categories, and
on both sides of every tree split.

*exact*: every label is equal and every number to the last digit. *within tolerance*: labels are equal, and
probabilities differ by at most 0.00001, values and scores by at most 0.00001 of their spread. *refused*: nothing is
logged; [the reason](#refused-and-why) stands below. A transformer is tested as the step before a logistic
regression. *Computed in* is the number format that was needed: `float32` is the fastest; `float64` takes
float32 rows; `float64_input` takes float64 rows. *Splits* is the number of tree splits tested on both sides.
"""


def text(results: Sequence[dict[str, Any]]) -> str:
    """The whole page."""
    fitted = [each for each in results if each["outcome"] != "not fitted"]
    parts = [_HEAD, _counts(fitted)]
    for library, group in groupby(fitted, key=itemgetter("library")):
        parts += [f"\n## {library}\n", _table([*group])]
    names = {each["estimator"] for each in fitted}
    unfitted = (each["estimator"] for each in results if each["estimator"] not in names)
    others = dict.fromkeys(each.split(",")[0] for each in unfitted)
    parts += [
        f"\n## {_REFUSED}\n", _reasons([each for each in fitted if each["outcome"] == "refused"]),
        f"\nNot tested, because they take no table of this kind: {', '.join(others)}.\n",
    ]  # fmt: skip
    return "\n".join(parts)


def proven(page: str) -> set[tuple[str, str, str]]:
    """The library, estimator and prediction of each row of a written page that is proven."""
    found = set()
    library = ""
    for line in page.splitlines():
        if line.startswith("## "):
            library = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and cells[2] in _PROVEN:  # noqa: PLR2004
            found.add((library, cells[0], cells[1]))
    return found


def _counts(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| | cases | exact | within tolerance | refused | proven estimators |",
        "|---|---|---|---|---|---|",
    ]
    for name in [*dict.fromkeys(each["library"] for each in results), "all"]:
        own = [each for each in results if name in ("all", each["library"])]
        count = Counter(each["outcome"] for each in own)
        estimators = {(each["library"], each["estimator"]) for each in own}
        good = {(each["library"], each["estimator"]) for each in own if each["outcome"] in _PROVEN}
        numbers = [len(own), count["exact"], count["within tolerance"], count["refused"]]
        lines.append(
            f"| {name} | {' | '.join(map(str, numbers))} | {len(good)} of {len(estimators)} |"
        )
    return "\n".join(lines)


def _table(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| estimator | predicts | result | largest difference | computed in | splits |",
        "|---|---|---|---|---|---|",
    ]
    for each in results:
        good = each["outcome"] in _PROVEN
        difference = f"{each['difference']:.0e}" if good and each["difference"] else ""
        lines.append(
            f"| {each['estimator']} | {each['predicts']} | {each['outcome']} | {difference} | "
            f"{each['precision']} | {each['splits'] or ''} |"
        )
    return "\n".join(lines)


def _reasons(results: Sequence[dict[str, Any]]) -> str:
    lines = ["| library | estimator | predicts | reason |", "|---|---|---|---|"]
    for (library, estimator, reason), group in groupby(
        results, key=lambda each: (each["library"], each["estimator"], _reason(each["reason"]))
    ):
        predicts = ", ".join(each["predicts"] for each in group)
        lines.append(f"| {library} | {estimator} | {predicts} | {reason} |")
    return "\n".join(lines)


def _reason(message: str) -> str:
    """The cause in an error's message."""
    conversion = re.search(
        r"cannot be converted to ONNX(?: \((.*)\)\. Replace it|: (.*)\.$)", message
    )
    parity = re.search(r"disagree on .*? rows; [^.]*? differ by up to \S+", message)
    found = (conversion[1] or conversion[2]) if conversion else parity[0] if parity else message
    return found.replace("|", "\\|")
