"""Training bins: how many training rows each part of a feature's range has, for the comparison with live rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exporters.answers import Answers, PredictionKind
from exporters.table import Column, Table

_BINS = 20  # of equal shares
_MAX_CATEGORIES = 20
_MIN_ROWS = 5  # of a category that is named; rarer ones may identify a person
_MAX_LENGTH = 80  # of a category's text
_MIN_HELD_OUT = 100  # rows whose scores are worth a comparison
_DIGITS = 17  # write any float64

ScoreKind = Literal["probability", "largest_probability", "value", "label"]


@dataclass(frozen=True)
class Bins:
    """The training rows of one feature, or of the scores, by bin.

    Numbers have inner `edges` (a bin includes its upper edge), one of `counts` more, and the range of the
    training values. Texts, booleans and labels have `categories`, and a last count for all others.
    `missing` is the number of rows without a value.
    """

    name: str
    counts: list[int]
    missing: int = 0
    edges: list[float] | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: list[str] | None = None


@dataclass(frozen=True)
class ScoreBins:
    """The bins of what the model answers: the probability of class `of`, the largest probability, the value, or the label.

    `rows` says which rows were scored: `out_of_fold`, `held_out`, or `fitted`, whose scores are better than
    those of other rows and therefore no reference for them.
    """

    kind: ScoreKind
    rows: Literal["out_of_fold", "held_out", "fitted"]
    bins: Bins
    of: str | None = None


def feature_bins(table: Table) -> list[Bins]:
    """The bins of each column, in order."""
    return [
        _of_column(column, table.frame.iloc[:, place].to_numpy())
        for place, column in enumerate(table.columns)
    ]


def _of_column(column: Column, values: NDArray[Any]) -> Bins:
    if column.kind == "boolean":
        true = int(values.sum())
        return Bins(
            column.name, [len(values) - true, true, 0], categories=["false", "true"]
        )  # fmt: skip
    if column.kind == "text":
        texts = [value for value in values.tolist() if isinstance(value, str)]
        return _of_texts(column.name, texts, len(values) - len(texts))
    numbers = values.astype(np.float64)
    present = numbers[~np.isnan(numbers)]
    return _of_numbers(column.name, present, len(numbers) - len(present))


def score_bins(
    answers: Answers, task: PredictionKind, positive: str | None, names: Sequence[str],
    *, held_out: Answers | None = None, out_of_fold: NDArray[np.float64] | None = None,
) -> ScoreBins | None:  # fmt: skip
    """The bins of the scores; None for a model of several targets.

    `names` are the classes as JSON keys, `positive` one of them. The scores are those `out_of_fold` [N], of
    the positive class, if they are given; else those of `held_out` rows if there are enough; else those of
    the rows that the model was fitted on.
    """
    kind, of = _kind(answers, task, positive, names)
    if kind is None:
        return None
    if kind == "probability" and out_of_fold is not None and of == positive:
        bins = _of_numbers("score", np.asarray(out_of_fold, np.float64))
        return ScoreBins(kind, "out_of_fold", bins, of)
    enough = held_out is not None and (~held_out.refused).sum() >= _MIN_HELD_OUT
    chosen = held_out if held_out is not None and enough else answers
    scores = _scores(chosen, kind, 0 if of is None else names.index(of))
    bins = (
        _of_texts("score", [_label(each) for each in scores.tolist()], 0)
        if kind == "label"
        else _of_numbers("score", scores.astype(np.float64))
    )
    return ScoreBins(kind, "held_out" if enough else "fitted", bins, of)


def _kind(
    answers: Answers, task: PredictionKind, positive: str | None, names: Sequence[str]
) -> tuple[ScoreKind | None, str | None]:
    if answers.predictions.ndim > 1:
        return None, None
    if not task.labels:
        return "value", None
    if not task.probabilities or answers.scores is None or not names:
        return "label", None
    if positive is not None or len(names) == 2:  # noqa: PLR2004
        return "probability", names[-1] if positive is None else positive
    return "largest_probability", None


def _scores(answers: Answers, kind: ScoreKind, column: int) -> NDArray[Any]:
    computed = ~answers.refused
    if answers.scores is None or kind in {"value", "label"}:
        return answers.predictions[computed]
    scores = answers.scores[computed]
    return scores[:, column] if kind == "probability" else scores.max(axis=1)


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _of_texts(name: str, present: list[str], missing: int) -> Bins:
    texts, counts = np.unique(np.array(present, dtype=str), return_counts=True)
    most = sorted(zip((-counts).tolist(), texts.tolist(), strict=True))
    named = {
        text: -count
        for count, text in most
        if -count >= _MIN_ROWS and 0 < len(text) <= _MAX_LENGTH and text.isprintable()
    }
    kept = dict([*named.items()][:_MAX_CATEGORIES])
    others = len(present) - sum(kept.values())
    return Bins(name, [*kept.values(), others], missing, categories=[*kept])


def _of_numbers(name: str, present: NDArray[np.float64], missing: int = 0) -> Bins:
    """Compared as float32 on both sides, because most graphs get that."""
    with np.errstate(over="ignore"):
        values = np.sort(present.astype(np.float32))
    # No request has the others: the service refuses a number that does not fit float32.
    values = values[np.isfinite(values)]
    if not len(values):
        return Bins(name, [0], missing, [])
    edges = _edges(values)
    places = np.searchsorted(np.array(edges, np.float32), values, side="left")
    counts = np.bincount(places, minlength=len(edges) + 1).tolist()
    return Bins(name, counts, missing, edges, float(values[0]), float(values[-1]))


def _edges(values: NDArray[np.float32]) -> list[float]:
    """Inner edges that divide sorted values into about equal shares; equal values stay together."""
    shares = np.arange(1, _BINS) * len(values)
    lower = np.unique(values[-(-shares // _BINS) - 1])
    distinct = np.unique(values)
    after = np.searchsorted(distinct, lower, side="right")
    return [
        _between(value, distinct[place])
        for value, place in zip(lower, after, strict=True)
        if place < len(distinct)
    ]


def _between(low: np.float32, high: np.float32) -> float:
    """A number between two values, with few digits: an edge is no person's value, and rounding moves no value over it."""
    middle = (float(low) + float(high)) / 2
    for digits in range(2, _DIGITS):
        rounded = float(f"{middle:.{digits}g}")
        if low < np.float32(rounded) < high:
            return rounded
    return float(low)
