"""The column to predict: which task it makes, its classes, and which of two is positive."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exporters.metrics import Task
from trainer.errors import DataError
from trainer.table import Kind, Table, read_column

Choice = Literal["classification", "regression"]

MIN_ROWS = 20
# Of these, five folds can each have one, and the held-out rows two.
MIN_ROWS_PER_CLASS = 10
# Whole numbers with more values than this are a quantity, unless --task says otherwise.
MAX_NUMBERED_CLASSES = 20
POSITIVE_WORDS = ("true", "yes", "y", "1", "positive", "pos")
_LISTED = 10


@dataclass(frozen=True)
class Problem:
    """What is to be predicted: the target's name, and the task.

    `classes` are the labels in ascending order, and `positive` is one of two of them; a regression has neither.
    """

    target: str
    task: Task
    classes: tuple[Any, ...] = ()
    positive: Any = None


@dataclass(frozen=True)
class Target:
    """The problem, the labels (or numbers) [N] of the rows that have a target, and which rows these are.

    `kept` [M] is over all M rows of the table. `remarks` are sentences for people.
    """

    problem: Problem
    labels: NDArray[Any]
    kept: NDArray[np.bool_]
    remarks: tuple[str, ...]


def read_target(
    table: Table, name: str, choice: Choice | None = None, positive: str | None = None
) -> Target:
    """Read the target, and infer what `choice` (--task) and `positive` do not say. Raises DataError."""
    column, values = read_column(table, name)
    kept = values.notna().to_numpy()
    present, kind = _typed(values[kept], column.kind or "text")
    remarks = []
    if not kept.all():
        remarks.append(f"{int((~kept).sum())} rows have no {name} and are left out")
    if len(present) < MIN_ROWS:
        few = f"only {len(present)} of its rows have a {name}, at least {MIN_ROWS} are needed"
        raise DataError(table.path, few, "add rows")
    chosen = choice or _infer(present, kind)
    why = "" if choice else _why(present, kind, chosen)
    if chosen == "regression":
        problem = _regression(table, name, present, kind, positive)
        remarks.append(f"{name}: regression{why}, {present.min():g} to {present.max():g}")
        return Target(problem, present.to_numpy(np.float64), kept, tuple(remarks))
    problem, said = _classification(table, name, (present, kind), positive)
    counts = present.value_counts()
    classes = ", ".join(f"{label} ({counts[label]})" for label in problem.classes[:_LISTED])
    if len(problem.classes) > _LISTED:
        classes += f" and {len(problem.classes) - _LISTED} more"
    remarks.append(f"{name}: {len(problem.classes)} classes{why}: {classes}{said}")
    return Target(problem, np.array(present.tolist()), kept, tuple(remarks))


def _typed(present: "pd.Series[Any]", kind: Kind) -> tuple["pd.Series[Any]", Kind]:
    """The values with the type that they have without gaps."""
    if kind == "boolean":
        return present.astype(np.bool_), kind
    if kind == "number" and len(present) and (present % 1 == 0).all():
        return present.astype(np.int64), "integer"
    return present, kind


def _infer(present: "pd.Series[Any]", kind: Kind) -> Choice:
    if kind in {"text", "boolean"}:
        return "classification"
    most = min(MAX_NUMBERED_CLASSES, len(present) // MIN_ROWS_PER_CLASS)
    return "classification" if kind == "integer" and present.nunique() <= most else "regression"


def _why(present: "pd.Series[Any]", kind: Kind, chosen: Choice) -> str:
    if kind in {"text", "boolean"}:
        return ""
    other = "regression" if chosen == "classification" else "classification"
    return f" (it has {present.nunique()} different numbers; --task {other} decides otherwise)"


def _regression(
    table: Table, name: str, present: "pd.Series[Any]", kind: Kind, positive: str | None
) -> Problem:
    if kind in {"text", "boolean"}:
        problem = f"a regression predicts numbers, but {name} is a {kind}"
        raise DataError(table.path, problem, "choose --task classification or another --target")
    if positive is not None:
        problem = f"a regression of {name} has no positive class"
        raise DataError(table.path, problem, "leave out --positive, or add --task classification")
    if present.min() == present.max():
        raise DataError(table.path, f"each row has the same {name}", "choose another --target")
    return Problem(name, "regression")


def _classification(
    table: Table, name: str, target: tuple["pd.Series[Any]", Kind], positive: str | None
) -> tuple[Problem, str]:
    """The problem, and a remark about the positive class."""
    present, kind = target
    if kind == "number":
        problem = f"{name} has numbers with fractions, which are no classes"
        raise DataError(table.path, problem, "choose --task regression, or name the classes")
    counts: dict[Any, int] = {label: int(count) for label, count in present.value_counts().items()}
    if len(counts) == 1:
        problem = f"each row has the same {name}, {next(iter(counts))}"
        raise DataError(table.path, problem, "add rows of another class")
    _require_enough(table, name, counts, kind)
    classes = tuple(sorted(counts))
    if len(classes) > 2:  # noqa: PLR2004
        if positive is not None:
            problem = f"{name} has {len(classes)} classes, none of which is the positive one"
            raise DataError(table.path, problem, "leave out --positive")
        return Problem(name, "multiclass", classes), ""
    chosen, why = _positive(table, name, counts, positive)
    return Problem(name, "binary", classes, chosen), f"; positive class {chosen}{why}"


def _require_enough(table: Table, name: str, counts: Mapping[Any, int], kind: Kind) -> None:
    rare = {label: count for label, count in counts.items() if count < MIN_ROWS_PER_CLASS}
    if not rare:
        return
    shown = ", ".join(f"{label} ({count})" for label, count in list(rare.items())[:_LISTED])
    more = f" and {len(rare) - _LISTED} more" if len(rare) > _LISTED else ""
    advice = "merge rare classes or leave out their rows"
    if kind == "integer":
        advice += "; or, if it is a quantity, --task regression"
    problem = (
        f"each class of {name} needs at least {MIN_ROWS_PER_CLASS} rows; too few: {shown}{more}"
    )
    raise DataError(table.path, problem, advice)


def _positive(
    table: Table, name: str, counts: Mapping[Any, int], requested: str | None
) -> tuple[Any, str]:
    """One of two classes, and why."""
    by_text = {str(label): label for label in counts}
    if requested is not None:
        if requested in by_text:
            return by_text[requested], ""
        near = get_close_matches(requested, by_text, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problem = f"{name} has no class {requested!r} for --positive"
        raise DataError(table.path, problem, f"its classes are {' and '.join(by_text)}{hint}")
    other = "; --positive decides otherwise)"
    for label in counts:
        if str(label).lower() in POSITIVE_WORDS:
            return label, f" (by its name{other}"
    rarer = min(counts, key=lambda label: (counts[label], str(label)))
    return rarer, f" (the rarer one{other}"
