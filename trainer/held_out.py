"""Which held-out rows two versions predict differently, read from the tables in their runs.

A training logs `evaluation/held_out_predictions.csv` with the columns `row`, `actual`, `prediction` and,
for a classification, `probability_CLASS` for each class.
"""

import csv
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainer import tag_names
from trainer.errors import RefusedByMlflowError
from trainer.mlflow_server import mlflow_border
from trainer.promotion import DEFAULT_TASK
from trainer.registry import RegisteredModel, Version
from trainer.terminal import Table, number, prose, word

ARTIFACT = "evaluation/held_out_predictions.csv"
MAX_SHOWN = 20
_PROBABILITY = "probability_"
_CLASSES = [
    number("row"), prose("actual", rank=1), prose("champion", rank=2),
    number("champion_probability", "probability", 4, "{:.4f}".format), prose("challenger"),
    number("challenger_probability", "probability", 3, "{:.4f}".format), word("effect"),
]  # fmt: skip
_NUMBERS = [
    number("row"), number("actual", rank=1, text="{:.6g}".format),
    number("champion", rank=2, text="{:.6g}".format), number("challenger", text="{:.6g}".format),
    number("change", text="{:+.6g}".format),
]  # fmt: skip
_EFFECTS = RIGHT, WRONG, STILL = "becomes right", "becomes wrong", "stays wrong"


@dataclass(frozen=True)
class Prediction:
    """The prediction for one row; `probability` is that of the predicted class."""

    actual: str
    predicted: str
    probability: float | None

    @property
    def right(self) -> bool:
        """Whether the predicted class is the actual one."""
        return self.predicted == self.actual


Predictions = Mapping[str, Prediction]


@dataclass(frozen=True)
class Changes:
    """A sentence, and a table of the rows: the most important ones, MAX_SHOWN at most."""

    sentence: str
    table: Table | None = None


class _Change(NamedTuple):
    """The numbers of one row of a regression."""

    row: str
    actual: float
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def error_growth(self) -> float:
        return abs(self.after - self.actual) - abs(self.before - self.actual)

    @property
    def cells(self) -> Sequence[object]:
        return [self.row, self.actual, self.before, self.after, self.change]


class NotComparableError(Exception):
    """The predictions of two versions cannot be compared; the message says why."""


def changes(registry: RegisteredModel, champion: Version, challenger: Version) -> Changes:
    """The rows that `challenger` predicts differently from `champion`. Raises RegistryError."""
    try:
        _require_same_data(champion, challenger)
        before, after = (_read(registry, version) for version in (champion, challenger))
        _require_same_rows(before, after)
        if _task(challenger) == "regression":
            return changed_numbers(before, after)
        return changed_classes(before, after)
    except NotComparableError as error:
        return Changes(f"held-out rows were not compared: {error}")


def parse(lines: Iterable[str]) -> Predictions:
    """The predictions by row number. Raises NotComparableError for another table."""
    table = csv.DictReader(lines, restval="")
    if missing := {"row", "actual", "prediction"}.difference(table.fieldnames or ()):
        raise NotComparableError(f"{ARTIFACT} has no column {', '.join(sorted(missing))}")
    found = {}
    for line in table:
        probability = line.get(_PROBABILITY + line["prediction"])
        found[line["row"]] = Prediction(
            line["actual"],
            line["prediction"],
            None if probability is None else _number(line["row"], probability),
        )
    return found


def changed_classes(before: Predictions, after: Predictions) -> Changes:
    """The rows whose predicted class differs: those that become wrong, then the others, by number."""
    effects = {
        row: _effect(before[row], after[row])
        for row in before
        if before[row].predicted != after[row].predicted
    }
    sentence = f"{len(effects)} of {len(before)} held-out rows change sides"
    if not effects:
        return Changes(sentence)
    counts = Counter(effects.values())
    listed = ", ".join(
        f"{counts[each]} {each if counts[each] == 1 else each.replace('s ', ' ')}"
        for each in _EFFECTS
        if counts[each] or each != STILL
    )
    shown = sorted(effects, key=lambda row: (effects[row] != WRONG, len(row), row))[:MAX_SHOWN]
    return Changes(
        f"{sentence}: {listed}{_shown(len(effects))}",
        Table(_CLASSES, [[row, *_sides(before[row], after[row]), effects[row]] for row in shown]),
    )


def changed_numbers(before: Predictions, after: Predictions) -> Changes:
    """The rows whose predicted number changes most, and quantiles of the changes of all rows."""
    numbers = [
        _Change(
            row, *(_number(row, text) for text in (old.actual, old.predicted, after[row].predicted))
        )
        for row, old in before.items()
    ]
    numbers.sort(key=lambda each: -abs(each.change))
    changed = sum(each.change != 0 for each in numbers)
    sentence = f"the predictions of {changed} of {len(numbers)} held-out rows change"
    if not changed:
        return Changes(sentence)
    half, most, largest = (
        abs(numbers[index].change) for index in (len(numbers) // 2, len(numbers) // 10, 0)
    )
    closer = sum(each.error_growth < 0 for each in numbers)
    farther = sum(each.error_growth > 0 for each in numbers)
    return Changes(
        f"{sentence}: half of the rows by {half:.6g} or less, 90 % by {most:.6g} or less, the largest by "
        f"{largest:.6g}; {closer} come closer to the actual value, {farther} move away{_shown(changed)}",
        Table(_NUMBERS, [each.cells for each in numbers[: min(changed, MAX_SHOWN)]]),
    )


def _sides(before: Prediction, after: Prediction) -> Sequence[object]:
    return [
        before.actual, before.predicted, before.probability, after.predicted, after.probability
    ]  # fmt: skip


def _effect(before: Prediction, after: Prediction) -> str:
    if after.right:
        return RIGHT
    return WRONG if before.right else STILL


def _shown(changed: int) -> str:
    return f" ({MAX_SHOWN} are shown)" if changed > MAX_SHOWN else ""


def _number(row: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise NotComparableError(f"row {row} of {ARTIFACT} has {text!r} instead of a number")
    return number


def _task(version: Version) -> str:
    return version.tags.get(tag_names.TASK, DEFAULT_TASK)


def _require_same_data(champion: Version, challenger: Version) -> None:
    if (one := _task(champion)) != (other := _task(challenger)):
        raise NotComparableError(f"the champion's task is {one}, the challenger's {other}")
    digests = [each.tags.get(tag_names.DATASET_DIGEST) for each in (champion, challenger)]
    if digests[0] != digests[1]:
        raise NotComparableError(
            f"the champion was measured on dataset {digests[0]}, the challenger on {digests[1]}"
        )


def _require_same_rows(before: Predictions, after: Predictions) -> None:
    same = before.keys() == after.keys()
    if not before or not same or any(before[row].actual != after[row].actual for row in before):
        raise NotComparableError("the two versions held out different rows")


def _read(registry: RegisteredModel, version: Version) -> Predictions:
    missing = NotComparableError(
        f"the run of version {version.number} has no {ARTIFACT}, which a training logs"
    )
    if not version.run_id:
        raise missing
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mlflow_border(registry.client, f"read {ARTIFACT} of run {version.run_id}"):
                file = registry.client.download_artifacts(version.run_id, ARTIFACT, folder)
        except RefusedByMlflowError:
            raise missing from None
        try:
            with Path(file).open(newline="", encoding="utf-8") as lines:
                return parse(lines)
        except (UnicodeDecodeError, csv.Error) as error:
            raise NotComparableError(f"{ARTIFACT} is no table: {error}") from error
