"""Realised performance: how right predictions turned out to be, with 95 % intervals.

Proportions have score intervals (Wilson 1927), areas under ROC curves those of Newcombe (2006): see
`trainer/intervals.py`. The interval of a mean over rows (Brier score, errors) is the mean plus and minus 1.96 standard
errors; that of the RMSE is the root of the mean squared error's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from trainer.intervals import CONFIDENCE, Proportion, area_interval

BINS = 10
_Z = float(norm.ppf((1 + CONFIDENCE) / 2))

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value and the bounds of its 95 % interval; NaN for what the rows do not tell."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of_proportion(cls, proportion: Proportion) -> "Estimate":
        """A proportion of no rows is unknown."""
        return cls(proportion.share, *proportion.interval) if proportion.of else cls(math.nan)

    @classmethod
    def of_mean(cls, values: Numbers) -> "Estimate":
        """The mean of independent values [N]; fewer than two have no interval."""
        if len(values) == 0:
            return cls(math.nan)
        mean = float(values.mean())
        if len(values) == 1:
            return cls(mean)
        half = _Z * float(values.std(ddof=1)) / math.sqrt(len(values))
        return cls(mean, mean - half, mean + half)

    def floored(self) -> "Estimate":
        """The same for a quantity that is never negative."""
        low = self.low if math.isnan(self.low) else max(0.0, self.low)
        return Estimate(self.value, low, self.high)


@dataclass(frozen=True)
class Bin:
    """The rows whose probability lies in [low, high): their mean probability, and how many were positive."""

    low: float
    high: float
    expected: float
    observed: Proportion


def binary(actual: Flags, called: Flags, probability: Numbers | None) -> dict[str, Estimate]:
    """One class against the rest, for rows [N]: whether they are of it, were called so, and its probability.

    ROC-AUC is unknown without rows of both kinds.
    """
    right = actual == called
    found = {
        "sensitivity": _share(called & actual, actual),
        "specificity": _share(~called & ~actual, ~actual),
        "positive_predictive_value": _share(called & actual, called),
        "negative_predictive_value": _share(~called & ~actual, ~called),
        "accuracy": _share(right, np.ones_like(right)),
    }
    if probability is None or not len(actual):
        return found
    observed, expected = _share(actual, np.ones_like(actual)), float(probability.mean())
    bounds = (observed.value, observed.low, observed.high)
    ratio = [each / expected if expected else math.nan for each in bounds]
    return {
        **found,
        "roc_auc": roc_auc(actual, probability),
        "brier_score": Estimate.of_mean((probability - actual) ** 2).floored(),
        "observed_to_expected": Estimate(*ratio),
    }


def at_threshold(actual: Flags, probability: Numbers, threshold: float) -> dict[str, Estimate]:
    """What the operating point finds: rows [N] at or above the threshold."""
    above = probability >= threshold
    return {
        "operating_point_sensitivity": _share(above & actual, actual),
        "operating_point_specificity": _share(~above & ~actual, ~actual),
    }


def several_classes(
    actual: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: Numbers | None,
    count: int,
) -> tuple[dict[str, Estimate], list[dict[str, Estimate]]]:
    """All of `count` classes together, and each against the rest. `actual` and `predicted` are numbers of classes [N].

    `probabilities` are [N, C]. The Brier score is the sum over the classes (Brier 1950); ROC-AUC is the mean of the
    classes that have rows and others, without an interval, since they share their rows.
    """
    each = [
        binary(actual == number, predicted == number, _column(probabilities, number))
        for number in range(count)
    ]
    right = actual == predicted
    together = {"accuracy": _share(right, np.ones_like(right))}
    for name in ("sensitivity", "roc_auc"):
        known = [one[name].value for one in each if name in one and not math.isnan(one[name].value)]
        label = "balanced_accuracy" if name == "sensitivity" else name
        together[label] = Estimate(float(np.mean(known)) if known else math.nan)
    if probabilities is not None and len(actual):
        truth = np.eye(count)[actual]
        distance = ((probabilities - truth) ** 2).sum(axis=1)
        together["brier_score"] = Estimate.of_mean(distance).floored()
    return together, each


def values(actual: Numbers, predicted: Numbers) -> dict[str, Estimate]:
    """The errors of a regressor, for rows [N]. `bias` is predicted minus actual: below 0, predictions are too low."""
    error = predicted - actual
    squared = Estimate.of_mean(error**2).floored()
    return {
        "mae": Estimate.of_mean(np.abs(error)).floored(),
        "rmse": Estimate(*(math.sqrt(each) for each in (squared.value, squared.low, squared.high))),
        "bias": Estimate.of_mean(error),
    }


def roc_auc(actual: Flags, probability: Numbers) -> Estimate:
    """The area under the ROC curve: the share of pairs of a positive and another row in the right order, ties half."""
    positives = int(actual.sum())
    negatives = len(actual) - positives
    if not positives or not negatives:
        return Estimate(math.nan)
    ranks = float(rankdata(probability)[actual].sum())
    area = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return Estimate(area, *area_interval(area, positives, negatives))


def calibration(actual: Flags, probability: Numbers) -> tuple[Bin, ...]:
    """The rows by tenths of the probability; empty tenths are left out. The last one includes 1."""
    numbers = np.minimum((probability * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            number / BINS,
            (number + 1) / BINS,
            float(probability[numbers == number].mean()),
            Proportion(int(actual[numbers == number].sum()), int((numbers == number).sum())),
        )
        for number in np.unique(numbers).tolist()
    )


def as_json(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    """JSON has no NaN: what is unknown is null."""
    return {
        name: {
            part: None if math.isnan(number) else number
            for part, number in (("value", each.value), ("low", each.low), ("high", each.high))
        }
        for name, each in estimates.items()
    }


def _share(of: Flags, among: Flags) -> Estimate:
    return Estimate.of_proportion(Proportion(int(of.sum()), int(among.sum())))


def _column(probabilities: Numbers | None, number: int) -> Numbers | None:
    return None if probabilities is None else probabilities[:, number]
