"""OperatingPoint: whether the probability of one class reaches a threshold that the artifact states.

A model predicts the most probable class. Its operating point answers a second question: is this probability
high enough to act on? The threshold is part of the artifact, so that it is promoted and rolled back with the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Self, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from predictor.errors import LoadError
from predictor.model.answers import Answer, Answers, Label
from predictor.model.signature import Signature, label_name

_Key = tuple[Any, bool]
Count = Annotated[int, msgspec.Meta(ge=0)]
Chance = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class Comparison(msgspec.Struct, frozen=True, rename={"label": "class"}):
    """Whether one record's probability of `class` is at least `threshold`."""

    label: Label
    threshold: float
    above: bool


class _Entry(msgspec.Struct, frozen=True, rename={"label": "class"}):
    label: Label
    threshold: float


class Counted(msgspec.Struct, frozen=True):
    """What the threshold finds among labelled rows, and the lowest probability of the class among its own."""

    found: Count
    positives: Count
    false_alarms: Count
    negatives: Count
    sensitivity_interval_95: tuple[Chance, Chance]
    lowest_positive: Chance | None = None


class GreyZone(msgspec.Struct, frozen=True):
    """Probabilities below the threshold where rows of the class lie too: `low` <= probability < `high`."""

    low: Chance
    high: Chance
    positives: Count
    of_positives: Count
    negatives: Count
    of_negatives: Count
    positives_below: Count


@dataclass(frozen=True)
class OperatingPoint:
    """A class, the threshold of its probability, and how the threshold was chosen and measured.

    A record is `above` if the probability in its response is at least `threshold`. Both are compared as
    the float64 numbers that the response shows, so a response never contradicts itself.
    """

    label: Label
    threshold: float
    column: int
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, entry: Mapping[str, Any], signature: Signature) -> Self:
        """From the graph's metadata entry `operating_point`: `class`, `threshold`, and any evidence.

        `class` is a label, or its name as a JSON key. Raises LoadError (stage `signature`) if the entry is
        invalid, or the model has no probabilities of its classes.
        """
        try:
            known = msgspec.convert(entry, _Entry)
        except msgspec.ValidationError as error:
            raise _refused(f"is not readable: {error}") from error
        if not 0 <= known.threshold <= 1:
            raise _refused(f"has the threshold {known.threshold}, which is not within 0 and 1")
        if signature.outputs.probabilities is None or not signature.class_labels:
            raise _refused("needs a classifier with probabilities, which this model is not")
        name = label_name(known.label)
        if name not in signature.label_names:
            listed = ", ".join(map(repr, signature.label_names))
            raise _refused(f"has the class {name!r}, which is not among the class labels {listed}")
        column = signature.label_names.index(name)
        evidence = {key: value for key, value in entry.items() if key not in {"class", "threshold"}}
        # Adding 0 turns -0.0 into 0.0.
        return cls(signature.class_labels[column], known.threshold + 0.0, column, evidence)

    @cached_property
    def name(self) -> str:
        """The class as a JSON key."""
        return label_name(self.label)

    @cached_property
    def held_out(self) -> Counted | None:
        """The counts of held-out rows, as our trainer writes them; None if there are none of that form."""
        return self._evidence("held_out", Counted)

    @cached_property
    def grey_zone(self) -> GreyZone | None:
        """The grey zone, as our trainer writes it; None if there is none of that form."""
        return self._evidence("grey_zone", GreyZone)

    def _evidence(self, name: str, shape: type[_Shape]) -> _Shape | None:
        # Evidence has no fixed form: a version of other tools may have its own, which is shown at `/model` only.
        try:
            return msgspec.convert(self.evidence.get(name), shape)
        except msgspec.ValidationError:
            return None

    def compare(self, answer: Answer) -> Comparison | UnsetType:
        """The comparison of one answer; UNSET if the answer has no probability of the class."""
        scores = answer.probabilities
        if scores is UNSET or self.name not in scores:
            return UNSET
        return self.comparison(above=scores[self.name] >= self.threshold)

    def comparison(self, *, above: bool) -> Comparison:
        """The comparison with this result."""
        return Comparison(self.label, self.threshold, above)

    def keys(self, answers: Answers, scores: Sequence[Sequence[float]]) -> list[_Key]:
        """For each row, its prediction, and whether it is above."""
        column, threshold = self.column, self.threshold
        above = [row[column] >= threshold for row in scores]
        return [*zip(answers.predictions, above, strict=True)]


def _refused(reason: str) -> LoadError:
    return LoadError("signature", f"the graph's operating_point {reason}")
