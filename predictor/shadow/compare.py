"""Compare the shadow's answers with those of the serving version, row by row. Pure, but for the clock."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from predictor.errors import NotFinite, RequestError
from predictor.metrics import families
from predictor.model.answers import Answer
from predictor.model.servable import Servable
from predictor.model.signature import Row, label_name
from predictor.shadow.bins import DIFFERENCES, SECONDS
from predictor.shadow.messages import (
    Answered,
    Compared,
    Computation,
    Rows,
    Serving,
    Sparse,
    kind_of_prediction,
)

MAX_LABELS = 50
"""Classes that are counted by name, as in `predictor_predictions_total`; further ones are `other`."""
OTHER = "other"


def why_not_comparable(serving: Serving, shadow: Servable) -> str | None:
    """Why the answers of two versions cannot be compared; None if they can."""
    signature = shadow.signature
    ours = {each.name: each.dtype for each in serving.features}
    its = {each.name: each.dtype for each in signature.features}
    if ours != its:
        return f"its features differ from those of the serving version: {_difference(ours, its)}"
    optional = {each.name for each in serving.features if not each.required}
    if missing := sorted(optional - {*signature.may_be_missing}):
        return (
            f"it needs {', '.join(missing)} in each record, and the serving version accepts records "
            "without"
        )
    if serving.is_value != (signature.outputs.value is not None):
        kinds = ("classifier", "regressor")
        serves, shadows = kinds[serving.is_value], kinds[not serving.is_value]
        return f"it is a {shadows}, and the serving version is a {serves}"
    prediction = kind_of_prediction(signature)
    if serving.prediction != prediction:
        return f"its prediction is {prediction}, that of the serving version {serving.prediction}"
    return None


def _difference(ours: dict[str, str], its: dict[str, str]) -> str:
    named = [f"it has no {name!r}" for name in ours if name not in its]
    named += [f"it has {name!r} as well" for name in its if name not in ours]
    named += [
        f"{name!r} is {its[name]} instead of {dtype}"
        for name, dtype in ours.items()
        if its.get(name, dtype) != dtype
    ]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")  # noqa: PLR2004


class Pair:
    """A serving version and a shadow that can be compared."""

    def __init__(self, serving: Serving, shadow: Servable) -> None:
        self._serving = serving
        self.shadow = shadow
        self._names = [label_name(label) for label in serving.class_labels]
        places = {each.name: place for place, each in enumerate(serving.features)}
        self._order = [places[each.name] for each in shadow.signature.features]
        self._in_order = self._order == sorted(self._order)
        listed = [*dict.fromkeys([*self._names, *shadow.signature.label_names])]
        # Without a list of classes, whole numbers are the usual ones; an outlier detector has -1 and 1.
        self._counted = (listed or [*map(str, range(-1, MAX_LABELS - 1))])[:MAX_LABELS]

    def compare(self, rows: Rows, begins: Callable[[], None] = lambda: None) -> Compared:
        """Compute the rows and compare. `begins` is called before each call of ONNX Runtime.

        Raises InferenceTimeout after the shadow's time limit.
        """
        version = self.shadow.model_version
        found = _Found()
        answered = [self._compare(each, found, begins) for each in rows.computations]
        return found.message(
            rows.number,
            version.version,
            self.shadow.artifact.onnx_sha256,
            answered if self._serving.answers else None,
        )

    def _compare(
        self, computation: Computation, found: "_Found", begins: Callable[[], None]
    ) -> Answered:
        rows, most = self._rows(computation.rows), self.shadow.rows_a_call
        answers: list[Answer | RequestError] = []
        started = perf_counter()
        for start in range(0, len(rows), most):
            begins()
            answers += self.shadow.answer(rows[start : start + most])
        found.took(computation.seconds, perf_counter() - started)
        compared: list[Answer | None] = []
        for row, answer in enumerate(answers):
            if isinstance(answer, RequestError):
                found.failed(not_finite=isinstance(answer, NotFinite))
                compared.append(None)
            elif self._compare_row(computation, row, answer, found):
                compared.append(answer)
            else:
                found.failed(not_finite=False)
                compared.append(None)
        return Answered(
            [None if each is None else each.prediction for each in compared],
            [_probability(each) for each in compared],
        )

    def _compare_row(
        self, computation: Computation, row: int, answer: Answer, found: "_Found"
    ) -> bool:
        """Count one row; False if its two predictions are of different kinds."""
        given = computation.predictions[row]
        if self._serving.is_value:
            distance = _distance(given, answer.prediction)
            if distance is None:
                return False
            found.rows += 1
            found.differs(distance)
            return True
        if type(given) is not type(answer.prediction):
            return False
        found.rows += 1
        one, other = _text(given), _text(answer.prediction)
        if one != other:
            found.flips[self._label(one), self._label(other)] += 1
        if computation.scores is not None and answer.probabilities:
            scores = dict(zip(self._names, computation.scores[row], strict=False))
            found.differs(self._gap(scores, answer.probabilities))
        return True

    def _gap(self, ours: dict[str, float | None], its: dict[str, float]) -> float:
        """The difference of the positive class, or else the largest of all classes."""
        positive = self._serving.positive_class
        names = [positive] if positive in ours and positive in its else {*ours, *its}
        return max(abs((ours.get(name) or 0.0) - its.get(name, 0.0)) for name in names if name)

    def _label(self, name: str) -> str:
        return name if name in self._counted_names else OTHER

    @cached_property
    def _counted_names(self) -> frozenset[str]:
        return frozenset(self._counted)

    def _rows(self, given: bytes | list[list[Any]]) -> Sequence[Row]:
        """The rows in the order of the shadow's features, as its signature takes them."""
        pack = self.shadow.signature.pack
        if isinstance(given, bytes):
            table = np.frombuffer(given, np.float32).reshape(-1, len(self._order))
            if not self._in_order:
                table = table[:, self._order]
            if pack is not None:
                return [row.tobytes() for row in table]
            return [tuple(row) for row in table.tolist()]
        ordered = [tuple(row[place] for place in self._order) for row in given]
        return ordered if pack is None else [pack(*row) for row in ordered]


def _probability(answer: Answer | None) -> float | None:
    if answer is None or not isinstance(answer.probability, float):
        return None
    return answer.probability


def _text(prediction: Any) -> str:
    return str(prediction) if isinstance(prediction, list) else label_name(prediction)


def _distance(one: Any, other: Any) -> float | None:
    """The largest difference of all targets; None for two regressors with different numbers of targets."""
    ones = one if isinstance(one, list) else [one]
    others = other if isinstance(other, list) else [other]
    if len(ones) != len(others):
        return None
    return float(max(abs(a - b) for a, b in zip(ones, others, strict=True)))


@dataclass
class _Found:
    """What the comparison of some computations found so far."""

    rows: int = 0
    not_finite: int = 0
    errors: int = 0
    flips: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seconds_of_both: list[tuple[float, float]] = field(default_factory=list)

    def took(self, serving: float, shadow: float) -> None:
        """A computation took this many seconds; 0 is unknown."""
        self.seconds.append(shadow)
        if serving:
            self.seconds_of_both.append((serving, shadow))

    def failed(self, *, not_finite: bool) -> None:
        """A row has no answer."""
        self.not_finite += not_finite
        self.errors += not not_finite

    def differs(self, by: float) -> None:
        """The difference of a row."""
        self.differences.append(by)

    def message(
        self, number: int, version: str, digest: str, answers: list[Answered] | None
    ) -> Compared:
        """As the worker gets it."""
        return Compared(
            number=number,
            version=version,
            digest=digest,
            rows=self.rows,
            failed=self.errors,
            not_finite=self.not_finite,
            flips=[(*labels, count) for labels, count in self.flips.items()],
            differences=_sparse(map(DIFFERENCES.of, self.differences)),
            difference_buckets=_buckets(families.SHADOW_DIFFERENCE, self.differences),
            difference_sum=sum(self.differences),
            largest=max(self.differences, default=0.0),
            serving_seconds=_sparse(SECONDS.of(each) for each, _ in self.seconds_of_both),
            shadow_seconds=_sparse(SECONDS.of(each) for _, each in self.seconds_of_both),
            second_buckets=_buckets(families.SHADOW_SECONDS, self.seconds),
            second_sum=sum(self.seconds),
            answers=answers,
        )


def _sparse(places: Any) -> Sparse:
    return [*Counter(places).items()]


def _buckets(family: families.Family, numbers: Sequence[float]) -> Sparse:
    return _sparse(bisect_left(family.buckets, number) for number in numbers)
