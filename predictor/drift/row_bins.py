"""Row bins: which bins one version's rows are counted in, and the counts of many rows at once."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row, label_name
from predictor.model.training_bins import Bins, ScoreBins

SCORE = "(score)"  # in the place of a feature's name
BELOW, ABOVE, OTHER, MISSING = "(below)", "(above)", "(other)", "(missing)"
UNANSWERED = "(no answer)"

Counts = NDArray[np.int64]
Numbers = NDArray[np.float32]


class LabelledBins(NamedTuple):
    """The bins of one feature or of the score: their labels, and the training rows in each.

    `training` is None where the training rows are no reference.
    """

    name: str
    labels: tuple[str, ...]
    training: tuple[int, ...] | None


class _Numbers:
    """Counts columns of numbers, all together, as float32. NaN is a missing value."""

    def __init__(self, columns: Sequence[int], thresholds: Sequence[Sequence[float]]) -> None:
        """A column's first bin is up to its first threshold, its last one over its last."""
        self.columns = [*columns]
        most = max((len(each) for each in thresholds), default=0)
        table = np.full((most, len(columns)), np.inf, np.float32)
        for place, each in enumerate(thresholds):
            table[: len(each), place] = each
        self._thresholds = table
        self._sizes = [len(each) + 1 for each in thresholds]
        self._width = most + 2  # the last place of each column is for missing values
        self._firsts = np.arange(len(columns)) * self._width

    def count(self, table: Numbers) -> list[Counts]:
        """The rows [N, K] in each bin of each column; the last number is that of missing values."""
        bins = np.zeros(table.shape, np.uint8)
        # Much faster than a search for each value or column.
        for thresholds in self._thresholds:
            bins += table > thresholds
        missing = np.isnan(table)
        if missing.any():
            bins[missing] = self._width - 1
        found = np.bincount(
            (bins + self._firsts).ravel(), minlength=self._width * len(self.columns)
        )
        counts = found.reshape(-1, self._width)
        return [
            np.append(each[:size], each[-1]) for each, size in zip(counts, self._sizes, strict=True)
        ]


class _Texts:
    """Counts one column of texts."""

    def __init__(self, categories: Sequence[str], missing: object = None) -> None:
        self._places: dict[Any, int] = {text: place for place, text in enumerate(categories)}
        self._other = len(categories)
        if isinstance(missing, str):
            self._places[missing] = self._other + 1

    def count(self, values: Sequence[Any]) -> Counts:
        """The rows of each category, of all others, and of missing values."""
        places, other = self._places, self._other
        found = [places.get(value, other) for value in values]
        return np.bincount(np.array(found, np.int64), minlength=other + 2)


class RowBins:
    """Counts rows of one version. `labelled` has the features, in order, and then the score."""

    def __init__(self, servable: Servable, max_features: int) -> None:
        """Only the first `max_features` features are counted."""
        bins = servable.training_bins
        self._signature = signature = servable.signature
        features = bins.features[:max_features]
        self._texts = {
            place: _Texts(_categories(each), signature.features[place].missing)
            for place, each in enumerate(features)
            if signature.features[place].dtype == "string"
        }
        self.labelled = [
            _labelled(each, each.name, MISSING, texts=place in self._texts)
            for place, each in enumerate(features)
        ]
        columns = [place for place in range(len(features)) if place not in self._texts]
        self._numbers = _Numbers(columns, [_thresholds(features[place]) for place in columns])
        self._score = None
        names = {each.name for each in bins.features}
        if bins.score is not None and features and SCORE not in names:
            self._score = _Score(bins.score, servable)
            texts = bins.score.kind == "label"
            scored = _labelled(bins.score.bins, SCORE, UNANSWERED, texts=texts)
            fitted = bins.score.rows == "fitted"
            self.labelled.append(scored._replace(training=None) if fitted else scored)

    def count(self, rows: Sequence[Row], answers: Answers) -> list[Counts]:
        """The rows in each bin of `labelled`."""
        counts: dict[int, Counts] = {}
        numbers = self._numbers
        if self._signature.pack is not None:
            table = self._signature.table(rows)
            table = table if len(numbers.columns) == table.shape[1] else table[:, numbers.columns]
        else:
            columns = [*zip(*rows, strict=True)]
            with np.errstate(over="ignore"):
                table = np.array([columns[n] for n in numbers.columns], np.float32).T
            counts = {n: texts.count(columns[n]) for n, texts in self._texts.items()}
        if numbers.columns:
            counts.update(zip(numbers.columns, numbers.count(table), strict=True))
        found = [counts[place] for place in range(len(counts))]
        return found if self._score is None else [*found, self._score.count(answers)]


class _Score:
    """Counts the scores of answers."""

    def __init__(self, score: ScoreBins, servable: Servable) -> None:
        self._kind, self._of = score.kind, score.of
        names = servable.signature.label_names
        self._column = names.index(score.of) if score.of in names else 0
        self._numbers = _Numbers([0], [_thresholds(score.bins)])
        self._texts = _Texts(_categories(score.bins))

    def count(self, answers: Answers) -> Counts:
        """The answers in each bin; the last number is that of rows without an answer."""
        errors = answers.errors
        if self._kind == "label":
            texts = [
                label_name(label)  # type: ignore[arg-type]
                for row, label in enumerate(answers.predictions)
                if row not in errors
            ]
            counts = self._texts.count(texts)
            counts[-1] = len(errors)
            return counts
        scores = np.array(self._scores(answers), np.float32)
        if errors:
            scores[[*errors]] = np.nan
        (counts,) = self._numbers.count(scores.reshape(-1, 1))
        return counts

    def _scores(self, answers: Answers) -> list[Any]:
        if self._kind == "value":
            return [np.nan if isinstance(v, str) else v for v in answers.predictions]
        if answers.scores is not None:
            column = self._column
            if self._kind == "probability":
                return [row[column] for row in answers.scores]
            return [max(row) for row in answers.scores]
        return [
            np.nan if row in answers.errors else self._of_answer(answers[row])
            for row in range(len(answers))
        ]

    def _of_answer(self, answer: Any) -> float:
        """The score of a row that was computed alone, or whose graph gives a map; NaN without probabilities."""
        given = answer.probabilities
        if given is msgspec.UNSET or not given:
            return np.nan
        if self._kind == "probability":
            return float(given.get(self._of, np.nan))
        return float(max(given.values()))


def _thresholds(bins: Bins) -> list[float]:
    """What lies between the bins of numbers: those below, the inner bins, and those above the training values."""
    if bins.categories is not None:  # false and true
        return [0.5]
    if bins.minimum is None or bins.maximum is None:
        return [*(bins.edges or ())]
    # A value that equals the minimum is not below it.
    under = np.nextafter(np.float32(bins.minimum), np.float32(-np.inf))
    return [float(under), *(bins.edges or ()), bins.maximum]


def _categories(bins: Bins) -> Sequence[str]:
    return bins.categories or ()


def _labelled(bins: Bins, name: str, missing: str, *, texts: bool) -> LabelledBins:
    """The labels of what `RowBins` counts, in the same order."""
    if texts:
        named = [f"'{text}'" if text.startswith("(") else text for text in _categories(bins)]
        return LabelledBins(name, (*named, OTHER, missing), (*bins.counts, bins.missing))
    if bins.categories is not None:  # booleans have no others
        return LabelledBins(
            name, (*bins.categories, missing), (*bins.counts[:2], bins.missing)
        )  # fmt: skip
    inner = _ranges([_plain(edge) for edge in bins.edges or ()])
    if bins.minimum is None:
        return LabelledBins(name, (*inner, missing), (*bins.counts, bins.missing))
    labels = (BELOW, *inner, ABOVE, missing)
    return LabelledBins(name, labels, (0, *bins.counts, 0, bins.missing))


def _ranges(edges: Sequence[str]) -> list[str]:
    if not edges:
        return ["any"]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]}", *between, f"over {edges[-1]}"]


def _plain(number: float) -> str:
    return repr(number).removesuffix(".0")
