"""OperatingPoint: the threshold that finds a stated share of the positive class, and how well it does so.

A model predicts the most probable class, which weighs a missed case as much as a false alarm. The operating
point is the largest threshold that still finds the stated share (the sensitivity) of the training rows' cases,
when each row is scored by a pipeline that was not fitted on it. What it finds is then counted on held-out rows,
which had no part in the choice.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from trainer.intervals import Proportion, percent

SENSITIVITY = 0.95
"""The default: at most one of twenty cases is missed. What a missed case costs is for the user to state."""

GREY_SENSITIVITY = 0.99
"""The share of the cases that lie above the lower end of the grey zone: at most one of a hundred is lower."""

METHOD = (
    "the largest threshold whose sensitivity on the training rows, each scored by a pipeline that was fitted "
    "on the other folds, is at least the target"
)


@dataclass(frozen=True)
class Counts:
    """What a threshold finds: cases of the positive class, and false alarms among all other rows.

    `lowest` is the lowest probability of a case, None if there is no case.
    """

    found: Proportion
    false_alarms: Proportion
    lowest: float | None = None

    @classmethod
    def of(
        cls, threshold: float, probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_]
    ) -> Self:
        """Count the rows at or above `threshold`; `probability` [N] is rounded to float32, as it is served."""
        served = np.asarray(probability, np.float32).astype(np.float64)
        above = served >= threshold
        return cls(
            Proportion(int((above & positive).sum()), int(positive.sum())),
            Proportion(int((above & ~positive).sum()), int((~positive).sum())),
            float(np.min(served[positive])) if positive.any() else None,
        )

    def __str__(self) -> str:
        """Such as `41 of 42 found, 95 % interval 88 to 99.6 %; 0 of 72 false alarms`."""
        low, high = (percent(bound) for bound in self.found.interval)
        return (
            f"{self.found} found, 95 % interval {low} to {high} %; {self.false_alarms} false alarms"
        )

    def as_evidence(self) -> dict[str, Any]:
        """The counts as JSON."""
        low, high = self.found.interval
        return {
            "found": self.found.count,
            "positives": self.found.of,
            "sensitivity": self.found.share if self.found.of else None,
            "sensitivity_interval_95": [low, high],
            "false_alarms": self.false_alarms.count,
            "negatives": self.false_alarms.of,
            "lowest_positive": self.lowest,
            "summary": str(self),
        }


@dataclass(frozen=True)
class GreyZone:
    """Probabilities below the threshold that are no reason to be sure: cases lie here too.

    It is `low` <= probability < `high`. `high` is the operating point's threshold, `low` the largest threshold
    that finds 99 % of the training rows' cases out of fold (all of fewer than 100). `positives` and `negatives`
    are the training rows in it, out of fold; `positives_below` are the cases that are still lower.
    """

    low: float
    high: float
    positives: Proportion
    negatives: Proportion
    positives_below: int

    @classmethod
    def of(
        cls, high: float, scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_]
    ) -> "GreyZone | None":
        """The zone below the threshold `high`, of `scores` [N] out of fold; None if no case is in it."""
        low = threshold(scores, positive, GREY_SENSITIVITY)
        all_, above = (Counts.of(each, scores, positive) for each in (low, high))
        inside = all_.found.count - above.found.count
        if inside <= 0:
            return None
        return cls(
            low,
            high,
            Proportion(inside, all_.found.of),
            Proportion(all_.false_alarms.count - above.false_alarms.count, all_.false_alarms.of),
            all_.found.of - all_.found.count,
        )

    def as_evidence(self) -> dict[str, Any]:
        """The zone and its counts as JSON."""
        return {
            "low": self.low,
            "high": self.high,
            "positives": self.positives.count,
            "of_positives": self.positives.of,
            "negatives": self.negatives.count,
            "of_negatives": self.negatives.of,
            "positives_below": self.positives_below,
        }


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold of the probability of `positive`: a row at or above it is a case.

    `threshold` is a float32 value. `out_of_fold` counts the training rows, `held_out` the rows that had no
    part in fitting or in the choice; it is None until they are measured. `scores` [N] are the training rows'
    probabilities out of fold, None if they are unknown. `grey_zone` is None if no case lies in it.
    """

    positive: Any
    threshold: float
    sensitivity: float
    folds: int
    out_of_fold: Counts
    held_out: Counts | None = None
    grey_zone: GreyZone | None = None
    scores: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    def measured(self, probability: ArrayLike, actual: ArrayLike) -> Self:
        """With the counts of held-out rows: the probability of `positive` [N], and the actual labels [N]."""
        positive = np.asarray(np.asarray(actual) == self.positive)
        counts = Counts.of(self.threshold, np.asarray(probability, np.float64), positive)
        return replace(self, held_out=counts)

    def metrics(self) -> dict[str, float]:
        """The metrics of a run: the threshold, the target, and the counts of the held-out rows."""
        values = {"threshold": self.threshold, "target_sensitivity": self.sensitivity}
        if self.held_out is not None:
            found, false_alarms = self.held_out.found, self.held_out.false_alarms
            values |= {
                "found": found.count,
                "positives": found.of,
                "sensitivity": found.share,
                "sensitivity_low": found.interval[0],
                "sensitivity_high": found.interval[1],
                "false_alarms": false_alarms.count,
                "negatives": false_alarms.of,
                "specificity": 1 - false_alarms.share,
            }
        known = {name: float(value) for name, value in values.items() if not math.isnan(value)}
        return {f"operating_point_{name}": value for name, value in known.items()}

    def as_metadata(self) -> dict[str, Any]:
        """The graph's metadata entry: class and threshold for the service, the rest as evidence."""
        label = self.positive.item() if isinstance(self.positive, np.generic) else self.positive
        measured = {} if self.held_out is None else {"held_out": self.held_out.as_evidence()}
        zone = {} if self.grey_zone is None else {"grey_zone": self.grey_zone.as_evidence()}
        return {
            "class": label,
            "threshold": self.threshold,
            "target_sensitivity": self.sensitivity,
            "method": METHOD,
            "folds": self.folds,
            **measured,
            "out_of_fold": self.out_of_fold.as_evidence(),
            **zone,
        }

    def __str__(self) -> str:
        """The threshold and its counts, in a sentence."""
        counts = self.out_of_fold if self.held_out is None else self.held_out
        return f"{self.positive} from {self.threshold:.3g}: {counts}"


def choose(
    pipeline: Any,
    features: Any,
    labels: ArrayLike,
    positive: Any,
    *,
    sensitivity: float = SENSITIVITY,
    folds: int = 5,
    seed: int = 0,
) -> OperatingPoint:
    """The largest threshold whose sensitivity, out of fold, is at least `sensitivity`.

    Args:
        pipeline: a classifier with `predict_proba`; clones of it are fitted, it is not changed.
        features: the training rows, as the pipeline takes them [N, F].
        labels: their classes [N].
        positive: the class to find.
        sensitivity: above 0, at most 1.
        folds: stratified; fewer if a class has fewer rows.
        seed: of the folds.

    Raises:
        ValueError: `sensitivity` is out of range, or a class has fewer than two rows.
    """
    actual = np.asarray(labels)
    classes, counts = np.unique(actual, return_counts=True)
    possible = min(folds, int(np.min(counts)))
    if possible < 2 or positive not in classes:  # noqa: PLR2004
        raise ValueError(
            f"the operating point of {positive!r} needs two rows of each class, which the training rows "
            "do not have"
        )
    split = StratifiedKFold(possible, shuffle=True, random_state=seed)
    probabilities = cross_val_predict(
        clone(pipeline), features, actual, cv=split, method="predict_proba"
    )
    scores = probabilities[:, classes.tolist().index(positive)]
    is_positive = np.asarray(actual == positive)
    chosen = threshold(scores, is_positive, sensitivity)
    return OperatingPoint(
        positive,
        chosen,
        sensitivity,
        possible,
        Counts.of(chosen, scores, is_positive),
        grey_zone=GreyZone.of(chosen, scores, is_positive),
        scores=scores,
    )


def threshold(
    probability: NDArray[np.floating[Any]], positive: NDArray[np.bool_], sensitivity: float
) -> float:
    """The largest threshold, a float32 value, that finds at least this share of the `positive` rows.

    It is midway between the lowest score that it must find and the next lower score of any row, because a
    score may be rounded otherwise in the service. Raises ValueError if `sensitivity` is not above 0 and at
    most 1, or no row is positive.
    """
    if not 0 < sensitivity <= 1 or not positive.any():
        raise ValueError(
            f"a sensitivity must be above 0 and at most 1, and measured on at least one case; {sensitivity} "
            f"of {int(positive.sum())} cases was requested"
        )
    scores = np.asarray(probability, np.float32)
    cases = np.sort(scores[positive])[::-1]
    # 0.98 of 50 is 49 cases, although 0.98 * 50 is a little more in float64.
    needed = max(1, math.ceil(sensitivity * len(cases) - 1e-9))
    lowest = cases[needed - 1]
    below = scores[scores < lowest]
    under = float(np.max(below)) if below.size else 0.0
    middle = np.float32((under + float(lowest)) / 2)
    return float(middle if middle > under else lowest)
