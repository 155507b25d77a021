"""Load the training data: scikit-learn's copy, or a file in UCI's format with the same rows."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from trainer import wdbc
from trainer.errors import DataError
from trainer.wdbc import FEATURES

POSITIVE, NEGATIVE = "malignant", "benign"
TARGET = "diagnosis"
# Every version is measured on the same held-out rows, whatever the seed of its search: else a test
# metric of one version could not be compared with that of another.
HELD_OUT_SEED = 20
HELD_OUT_SHARE = 0.2
FEWEST_PER_DIAGNOSIS = 20


@dataclass(frozen=True)
class Dataset:
    """Features, float64 [N, 30] with the columns FEATURES, and diagnoses, `malignant` or `benign` [N].

    `digest` depends on the values and their order alone, not on where they came from.
    """

    features: pd.DataFrame
    diagnosis: NDArray[np.str_]
    source: str
    digest: str

    def frame(self) -> pd.DataFrame:
        """All columns in one frame, the diagnosis last."""
        return self.features.assign(**{TARGET: self.diagnosis})


@dataclass(frozen=True)
class Split:
    """Training rows, and held-out rows for measurements."""

    train: Dataset
    test: Dataset


def load(path: Path | None = None) -> Dataset:
    """Load a file in UCI's format, or without a path scikit-learn's 569 rows.

    Raises DataError.
    """
    if path is not None:
        features, diagnosis = wdbc.read(path)
        return _dataset(features, diagnosis, str(path))
    bunch = load_breast_cancer()
    diagnosis = np.where(bunch.target == 0, POSITIVE, NEGATIVE)
    return _dataset(bunch.data, diagnosis, "sklearn.datasets.load_breast_cancer")


def split(dataset: Dataset) -> Split:
    """A stratified split that depends only on the rows."""
    train, test = train_test_split(
        np.arange(len(dataset.diagnosis)),
        test_size=HELD_OUT_SHARE,
        stratify=dataset.diagnosis,
        random_state=HELD_OUT_SEED,
    )
    return Split(_rows(dataset, np.sort(train)), _rows(dataset, np.sort(test)))


def _dataset(features: NDArray[np.float64], diagnosis: NDArray[np.str_], source: str) -> Dataset:
    for label in (POSITIVE, NEGATIVE):
        count = int((diagnosis == label).sum())
        if count < FEWEST_PER_DIAGNOSIS:
            problem = (
                f"only {count} of its rows are {label}, at least {FEWEST_PER_DIAGNOSIS} are needed"
            )
            raise DataError(source, problem)
    frame = pd.DataFrame(features, columns=list(FEATURES), dtype=np.float64)
    return Dataset(frame, diagnosis, source, _digest(frame, diagnosis))


def _rows(dataset: Dataset, rows: NDArray[np.int64]) -> Dataset:
    return replace(
        dataset,
        features=dataset.features.iloc[rows].reset_index(drop=True),
        diagnosis=dataset.diagnosis[rows],
    )


def _digest(features: pd.DataFrame, diagnosis: NDArray[np.str_]) -> str:
    """32 hexadecimal characters; MLflow keeps at most 36."""
    digest = hashlib.sha256(",".join(features.columns).encode())
    digest.update(features.to_numpy(dtype="<f8", copy=True).tobytes(order="C"))
    digest.update(",".join(diagnosis.tolist()).encode())
    return digest.hexdigest()[:32]
