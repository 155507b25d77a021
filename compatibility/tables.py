"""Small training tables with every kind of column."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROWS, TESTED_ROWS = 150, 8
_RANDOM = np.random.default_rng(7)
NAMES = ["age", "dose", "pulse", "weight"]
# Multiples of 1/64: float32 and float64 hold the same value, so no threshold lies between them.
_VALUES = np.round(_RANDOM.normal(size=(ROWS, 4)) * 64) / 64


@dataclass(frozen=True)
class Table:
    """Rows [150, 4] with targets: 3 text classes, 2 number classes, a positive number, two numbers."""

    frame: pd.DataFrame
    words: NDArray[Any]
    bits: NDArray[Any]
    number: NDArray[Any]

    @property
    def array(self) -> NDArray[np.float32]:
        """The same rows as float32 [150, 4]."""
        return self.frame.to_numpy(np.float32, copy=True)

    @property
    def numbers(self) -> NDArray[Any]:
        """Two targets [150, 2]."""
        return np.column_stack([self.number, self.frame.iloc[:, 1].fillna(0) - self.number])

    @property
    def pairs(self) -> NDArray[Any]:
        """Two labels [150, 2]: multi-label, 0 or 1 each."""
        return np.column_stack([self.bits, (self.frame.iloc[:, 1].fillna(0) > 0).astype(int)])


def _of(values: NDArray[Any]) -> Table:
    clean = np.nan_to_num(values)
    score = clean[:, 0] + 0.5 * clean[:, 1] - 0.25 * clean[:, 2]
    thirds = np.quantile(score, [1 / 3, 2 / 3])
    frame = pd.DataFrame(values, columns=NAMES, dtype=np.float32)
    words = np.array(["benign", "malignant", "unsure"], object)[np.digitize(score, thirds)]
    return Table(frame, words, (score > np.median(score)).astype(int), score - score.min() + 0.5)


PLAIN = _of(_VALUES)
POSITIVE = _of(np.abs(_VALUES))
GAPS = _of(np.where(_RANDOM.random((ROWS, 4)) < 0.15, np.nan, _VALUES))  # noqa: PLR2004


def mixed() -> pd.DataFrame:
    """Rows with a float, an integer, a boolean and two texts."""
    return pd.DataFrame(
        {
            "fare": _VALUES[:, 0].astype(np.float32),
            "siblings": np.arange(ROWS) % 4,
            "alone": np.arange(ROWS) % 3 == 0,
            "port": np.array(["Cherbourg", "Queenstown", "Southampton"] * (ROWS // 3), object),
            "class": np.array(["1st", "2nd"] * (ROWS // 2), object),
        }
    )
