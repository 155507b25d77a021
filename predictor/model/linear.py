"""Linear: a model that is a weighted sum of its features, and what each of them contributes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.errors import RequestError
from predictor.model.answers import Answer
from predictor.model.signature import Row, Signature

_TOLERANCE = 1e-5  # absolute, on probabilities; relative on values. ONNX Runtime adds up in float32
_CERTAIN = 700.0  # log-odds whose odds still fit float64


@dataclass(frozen=True, eq=False)
class Linear:
    """`intercept + weights . row`: a value; or, where there is a `label`, that class's log-odds.

    The weights are float64 [F], in the order of the features.
    """

    weights: NDArray[np.float64]
    intercept: float
    label: str | None = None
    other: str | None = None

    def scores(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum for each of the rows, float64 [N, F]: [N]."""
        return rows @ self.weights + self.intercept

    def contributions(
        self, row: NDArray[np.float64], background: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Shapley values against a background [B, F], exact: each weight times what differs.

        They add up to the score of the row less the mean score of the background. Lundberg and Lee,
        "A Unified Approach to Interpreting Model Predictions" (2017), corollary 1.
        """
        return self.weights * (row - background.mean(axis=0))

    def of(self, label: str | None) -> "Linear":
        """The same of another class: of the two, one's log-odds are the other's, negated."""
        if label == self.label:
            return self
        return Linear(-self.weights, -self.intercept, self.other, self.label)

    def agrees(self, rows: NDArray[np.float64], answers: Iterable[Answer | RequestError]) -> bool:
        """Whether this is what the model answered for these rows, but for rounding."""
        return all(
            isinstance(answer, Answer) and self._agrees(score, answer)
            for score, answer in zip(self.scores(rows).tolist(), answers, strict=True)
        )

    def _agrees(self, score: float, answer: Answer) -> bool:
        if self.label is None:
            given = answer.prediction
            return isinstance(given, float) and bool(
                np.isclose(score, given, rtol=_TOLERANCE, atol=_TOLERANCE)
            )
        given = (answer.probabilities or {}).get(self.label, np.inf)
        return abs(given - probability(score)) <= _TOLERANCE


def table(signature: Signature, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The rows of a version that takes one table, as it is given them: float64 [N, F]."""
    (given,) = signature.feed(rows).values()
    return given.astype(np.float64)


def probability(log_odds: float) -> float:
    """The probability that has these log-odds."""
    return float(1 / (1 + np.exp(-np.clip(log_odds, -_CERTAIN, _CERTAIN))))
