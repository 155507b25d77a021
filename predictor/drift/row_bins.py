"""Row bins: which bins one version's rows are counted in, and the counts of many rows at once."""

from collections.abc import Sequence
from itertools import chain, pairwise
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

    def __init__(self, thresholds: Sequence[Sequence[float]]) -> None:
        """A column's first bin is up to its first threshold, its last one over its last."""
        most = max((len(each) for each in thresholds), default=0)
        self._thresholds = np.full((most, len(thresholds)), np.inf, np.float32)
        for place, each in enumerate(thresholds):
            self._thresholds[: len(each), place] = each
        width = most + 2  # the last place of each column is for missing values
        self._missing = width - 1
        self._firsts = np.arange(len(thresholds)) * width
        self._size = width * len(thresholds)
        # Bins beyond a column's last threshold are always empty.
        places = [
            first + np.array([*range(len(each) + 1), width - 1])
            for first, each in zip(self._firsts, thresholds, strict=True)
        ]
        self._places = np.concatenate(places) if places else np.zeros(0, np.int64)

    def count(self, table: Numbers) -> Counts:
        """The rows [N, K] in each bin: of each column its bins, and then its missing values."""
        bins = np.zeros(table.shape, np.uint8)
        # Much faster than a search for each value or column.
        for thresholds in self._thresholds:
            bins += table > thresholds
        missing = np.isnan(table)
        if missing.any():
            bins[missing] = self._missing
        counts = np.bincount((bins + self._firsts).ravel(), minlength=self._size)
        return counts[self._places]


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
    """Counts rows of one version. `labelled` has the features, those of texts last, and then the score."""

    def __init__(self, servable: Servable, max_features: int) -> None:
        """Only the first `max_features` features are counted."""
        bins = servable.training_bins
        self._signature = signature = servable.signature
        features = dict(enumerate(bins.features[:max_features]))
        texts = [place for place in features if signature.features[place].dtype == "string"]
        self._columns = [place for place in features if place not in texts]
        self._texts = {
            place: _Texts(_categories(features[place]), signature.features[place].missing)
            for place in texts
        }
        self.labelled = [
            _labelled(features[place], features[place].name, MISSING, texts=place in self._texts)
            for place in [*self._columns, *texts]
        ]
        thresholds = [_thresholds(features[place]) for place in self._columns]
        self._score = _Score.of(servable) if features else None
        if self._score is not None:
            self.labelled.append(self._score.labelled)
            if self._score.is_number:
                thresholds.append(self._score.thresholds)
        self._numbers = _Numbers(thresholds)
        self._features = len(self._columns)
        self._order = self._in_order()

    def _in_order(self) -> NDArray[np.int64]:
        """Where each bin of `labelled` is in what `count` puts together: a number's score is before the texts."""
        sizes = [len(each.labels) for each in self.labelled]
        ends = np.cumsum([0, *sizes])
        places = [np.arange(start, end) for start, end in pairwise(ends)]
        if self._score is not None and self._score.is_number:
            places.insert(self._features, places.pop())
        return np.argsort(np.concatenate(places)) if places else np.zeros(0, np.int64)

    def count(self, rows: Sequence[Row], parts: Sequence[Answers]) -> Counts:
        """The rows in each bin of `labelled`, one feature after the other; `parts` are their answers."""
        columns: list[Any] = []
        if self._signature.pack is not None:
            given = self._signature.table(rows)
            numbers = given if self._features == given.shape[1] else given[:, self._columns]
        else:
            columns = [*zip(*rows, strict=True)]
            with np.errstate(over="ignore"):
                numbers = np.array([columns[n] for n in self._columns], np.float32).T
        score = self._score
        if score is not None and score.is_number:
            table = np.empty((len(rows), self._features + 1), np.float32)
            table[:, : self._features] = numbers if self._features else 0
            table[:, -1] = score.numbers(parts)
            numbers = table
        counts = [self._numbers.count(numbers)] if numbers.size else []
        counts += [texts.count(columns[place]) for place, texts in self._texts.items()]
        if score is not None and not score.is_number:
            counts.append(score.labels(parts))
        return np.concatenate(counts)[self._order]


class _Score:
    """The score of each answer."""

    def __init__(self, score: ScoreBins, names: Sequence[str]) -> None:
        self._kind, self._of = score.kind, score.of
        self._column = names.index(score.of) if score.of in names else 0
        self.is_number = score.kind != "label"
        self.thresholds = _thresholds(score.bins) if self.is_number else []
        self._texts = _Texts(_categories(score.bins))
        labelled = _labelled(score.bins, SCORE, UNANSWERED, texts=not self.is_number)
        # The scores of rows that the model was fitted on are no reference.
        fitted = score.rows == "fitted"
        self.labelled = labelled._replace(training=None) if fitted else labelled

    @classmethod
    def of(cls, servable: Servable) -> "_Score | None":
        """None without bins, for several targets, and where a feature has the name that stands for the score."""
        score, signature = servable.training_bins.score, servable.signature
        if score is None or SCORE in {each.name for each in servable.training_bins.features}:
            return None
        value = signature.outputs.value
        if score.kind == "value" and (value is None or signature.result(value).width != 1):
            return None
        return cls(score, signature.label_names)

    def labels(self, parts: Sequence[Answers]) -> Counts:
        """The answers with each label; the last number is that of rows without an answer."""
        texts = [
            label_name(label)  # type: ignore[arg-type]
            for answers in parts
            for row, label in enumerate(answers.predictions)
            if row not in answers.errors
        ]
        counts = self._texts.count(texts)
        counts[-1] = sum(len(answers.errors) for answers in parts)
        return counts

    def numbers(self, parts: Sequence[Answers]) -> list[Any]:
        """One number for each row; NaN where there is none."""
        return [*chain.from_iterable(map(self._numbers, parts))]

    def _numbers(self, answers: Answers) -> list[Any]:
        if answers.errors or (answers.scores is None and self._kind != "value"):
            return [
                np.nan if row in answers.errors else self._number(answers[row])
                for row in range(len(answers))
            ]
        if self._kind == "value":
            return [*answers.predictions]
        scores = answers.scores or ()
        if self._kind == "probability":
            column = self._column
            return [row[column] for row in scores]
        return [max(row) for row in scores]

    def _number(self, answer: Any) -> float:
        """The score of a row that was computed alone, or whose graph gives a map; NaN without probabilities."""
        if self._kind == "value":
            return float(answer.prediction)
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
