"""Training bins: an artifact's counts of training rows in each part of a feature's range."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec

from predictor.errors import LoadError
from predictor.model.signature import Feature, label_name

_MAX_EDGES = 30
_MAX_CATEGORIES = 30
_BOOLEANS = ["false", "true"]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Bins(msgspec.Struct, frozen=True):
    """The training rows of one feature, or of the scores, by bin.

    Numbers have inner `edges` (a bin includes its upper edge), one of `counts` more, and the range of the
    training values. Texts and booleans have `categories`, and a last count for all others. `missing` is the
    number of rows without a value.
    """

    name: str
    counts: Annotated[list[_Count], msgspec.Meta(min_length=1)]
    missing: _Count = 0
    edges: Annotated[list[float], msgspec.Meta(max_length=_MAX_EDGES)] | None = None
    minimum: float | None = None
    maximum: float | None = None
    categories: (
        Annotated[
            list[Annotated[str, msgspec.Meta(max_length=200)]],
            msgspec.Meta(max_length=_MAX_CATEGORIES),
        ]
        | None
    ) = None


class ScoreBins(msgspec.Struct, frozen=True):
    """The bins of the answers: the probability of class `of`, the largest probability, the value, or the label.

    `rows` says which rows were scored. Scores of `fitted` rows are no reference for those of others.
    """

    kind: Literal["probability", "largest_probability", "value", "label"]
    rows: Literal["out_of_fold", "held_out", "fitted"]
    bins: Bins
    of: str | None = None


class TrainingBins(msgspec.Struct, frozen=True):
    """The bins of each feature, in order, and of the scores if the model has one score."""

    features: list[Bins] = []
    score: ScoreBins | None = None

    def check(self, features: Sequence[Feature], labels: Sequence[str | int | bool]) -> None:
        """Raise LoadError (stage `signature`) unless there are valid bins for each feature, or none at all."""
        if not self.features:
            return
        if [bins.name for bins in self.features] != [feature.name for feature in features]:
            raise LoadError(
                "signature", "the graph's training_bins are not of its features, in order"
            )
        for bins, feature in zip(self.features, features, strict=True):
            _check(bins, feature.dtype == "string")
        if self.score is not None:
            _check(self.score.bins, self.score.kind == "label")
            known = [label_name(label) for label in labels]
            if self.score.kind == "probability" and self.score.of not in known:
                raise LoadError(
                    "signature",
                    f"training_bins of the score: {self.score.of!r} is not among the class labels",
                )


def _check(bins: Bins, is_text: bool) -> None:
    for fault in _faults(bins, is_text):
        raise LoadError("signature", f"training_bins of {bins.name!r}: {fault}")


def _faults(bins: Bins, is_text: bool) -> Iterator[str]:
    edges, categories = bins.edges, bins.categories
    if (edges is None) == (categories is None):
        yield "it must have either edges or categories"
    if len(bins.counts) != len([*(edges or ()), *(categories or ())]) + 1:
        yield "it needs one count more than edges or categories"
    if categories is not None:
        if len({*categories}) != len(categories):
            yield "its categories must differ"
        if not is_text and categories != _BOOLEANS:
            yield "a number has edges"
        return
    if is_text:
        yield "a text has categories"
    if (bins.minimum is None) != (bins.maximum is None):
        yield "it has one of minimum and maximum without the other"
    ordered = [each for each in (bins.minimum, *(edges or ()), bins.maximum) if each is not None]
    if ordered != sorted(ordered) or len({*(edges or ())}) != len(edges or ()):
        yield "minimum, edges and maximum must be in this order"
