"""Linear: the coefficients in the graph's metadata, which are checked against the model, and contributions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from predictor.errors import LoadError, RequestError
from predictor.model.answers import Answer
from predictor.model.signature import Row, Signature

_TOLERANCE = 1e-5  # absolute, on probabilities; relative on values. ONNX Runtime adds up in float32
_MAX_LOG_ODDS = 700.0  # their odds still fit float64


class LinearEntry(msgspec.Struct, frozen=True):
    """The metadata entry `linear`: `intercept + coefficients . features`, in the features' own units.

    For a regressor it is the predicted value, for a classifier the log-odds of `positive_class`.
    """

    coefficients: list[float]
    intercept: float


@dataclass(frozen=True, eq=False)
class Linear:
    """`intercept + weights . row`: the predicted value or, if `label` is set, the log-odds of that class.

    The weights are float64 [F], in the order of the features.
    """

    weights: NDArray[np.float64]
    intercept: float
    label: str | None = None

    @classmethod
    def read(cls, entry: LinearEntry, signature: Signature) -> Self:
        """Raises LoadError (stage `signature`) if the entry does not fit the model's signature."""
        features, labels = signature.features, signature.label_names
        label = signature.positive_class
        if len(entry.coefficients) != len(features):
            raise _refused(f"{len(entry.coefficients)} coefficients, not one per feature")
        if len(signature.ports) != 1 or any(f.type != "number" for f in features):
            raise _refused("coefficients, but the graph does not take one table of numbers")
        if signature.may_be_missing:
            raise _refused("coefficients, but optional_features may be missing")
        if signature.outputs.value is None and (len(labels) != 2 or label not in labels):  # noqa: PLR2004
            raise _refused("coefficients, but no positive_class of two class_labels")
        is_regressor = signature.outputs.value is not None
        return cls(
            np.array(entry.coefficients, np.float64),
            entry.intercept,
            None if is_regressor else label,
        )

    def scores(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum for each of the rows, float64 [N, F], as float64 [N]."""
        return rows @ self.weights + self.intercept

    def contributions(
        self, row: NDArray[np.float64], background: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Exact Shapley values [F] of a row [F] against a background [B, F].

        Each is the weight times the difference from the background's mean. Their sum is the score of the
        row minus the mean score of the background. Lundberg and Lee, "A Unified Approach to
        Interpreting Model Predictions" (2017), corollary 1.
        """
        return self.weights * (row - background.mean(axis=0))

    def check(self, rows: NDArray[np.float64], answers: Iterable[Answer | RequestError]) -> None:
        """Raise LoadError (stage `signature`) if the answers to rows [N, F] differ by more than rounding."""
        scores = self.scores(rows).tolist()
        for number, (score, answer) in enumerate(zip(scores, answers, strict=True), 1):
            if not (isinstance(answer, Answer) and self._agrees(score, answer)):
                raise _refused(
                    f"coefficients that contradict the model in row {number} of the background; "
                    "correct the entry or leave it out"
                )

    def _agrees(self, score: float, answer: Answer) -> bool:
        if self.label is None:
            value = answer.prediction
            return isinstance(value, float) and bool(
                np.isclose(score, value, rtol=_TOLERANCE, atol=_TOLERANCE)
            )
        value = (answer.probabilities or {}).get(self.label, np.inf)
        return abs(value - probability(score)) <= _TOLERANCE


def _refused(reason: str) -> LoadError:
    return LoadError("signature", f"the graph's metadata entry `linear` has {reason}")


def table(signature: Signature, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The rows as the graph gets them, as float64 [N, F]. The graph must take one table."""
    (tensor,) = signature.feed(rows).values()
    return tensor.astype(np.float64)


def probability(log_odds: float) -> float:
    """The probability with these log-odds."""
    return float(1 / (1 + np.exp(-np.clip(log_odds, -_MAX_LOG_ODDS, _MAX_LOG_ODDS))))
