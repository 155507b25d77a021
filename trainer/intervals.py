"""Confidence intervals of proportions and of the area under a ROC curve, and numbers as texts that are not rounded to certainty."""

import math
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.stats import binomtest, norm

CONFIDENCE = 0.95
_TINY = 1e-9


@dataclass(frozen=True)
class Proportion:
    """A count of some rows among others, such as the cases that were found among all cases."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """The proportion, between 0 and 1; NaN if there are no rows."""
        return self.count / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % score interval of the proportion.

        E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the
        American Statistical Association 22 (1927). It holds its level for small counts, and for none or all
        of them, where the normal approximation has no width.
        """
        if not self.of:
            return 0.0, 1.0
        found = binomtest(self.count, self.of).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        """Such as `41 of 1,042`."""
        return f"{self.count:,} of {self.of:,}"


def area_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """The 95 % score interval of the area under a ROC curve of so many rows, at least one of each kind.

    R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic.
    Part 2", Statistics in Medicine 25 (2006), method 5: the areas whose difference from `area` is within 1.96
    standard errors of their own, by the variance of Hanley and McNeil (1982). Unlike the intervals of DeLong
    and of a bootstrap, it has a width if the area is 1.
    """
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    mean_rows = (positives + negatives) / 2 - 1

    def excess(possible: float) -> float:
        variance = possible * (1 - possible) / (positives * negatives)
        variance *= 1 + mean_rows * ((1 - possible) / (2 - possible) + possible / (1 + possible))
        return (area - possible) ** 2 - z * z * variance

    # 0 and 1 solve the equation for their own area, and are not what is looked for.
    low = 0.0 if area <= 0 else brentq(excess, 0.0, min(area, 1 - _TINY))
    high = 1.0 if area >= 1 else brentq(excess, max(area, _TINY), 1.0)
    return float(low), float(high)


def decimal(value: float, digits: int = 3, most: float = 1) -> str:
    """A number of 0 to `most` with so many digits, and more where these would show 0 or `most` for another.

    Such as 0.996, 0.9996 and 1.000. NaN is `-`.
    """
    if math.isnan(value):
        return "-"
    while True:
        text = f"{value:.{digits}f}"
        if float(text) not in {0, most} or value in {0, most}:
            return text
        digits += 1


def percent(share: float, digits: int = 0) -> str:
    """A share as percent, without the sign, as `decimal`: 88, 99.6, 0.02 and 100."""
    return decimal(share * 100, digits, 100)


def significant(value: float, digits: int = 4) -> str:
    """A number with so many significant digits at most, such as 24,030 and 0.0512; with an exponent if it is very large or small."""
    short = f"{value:.{digits}g}"
    size = abs(float(short))
    if not 1e-4 <= size < 1e9:  # noqa: PLR2004
        return short
    places = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{float(short):,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text
