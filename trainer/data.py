"""The rows that a training uses: features, target, and what is to be predicted.

The default is the breast-cancer data: scikit-learn's copy, or a file in UCI's format with the same rows.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from exporters.training_data import Description
from trainer import wdbc
from trainer.errors import DataError
from trainer.measurements import DESCRIPTIONS, PAGE
from trainer.table import Column, Table, read_column, read_table, unread, usable
from trainer.target import Choice, Problem, read_target
from trainer.wdbc import FEATURES

POSITIVE, NEGATIVE = "malignant", "benign"
TARGET = "diagnosis"
# Every version is measured on the same held-out rows, whatever the seed of its search: else a test
# metric of one version could not be compared with that of another.
HELD_OUT_SEED = 20
HELD_OUT_SHARE = 0.2
FEWEST_PER_DIAGNOSIS = 20

DIAGNOSIS = Problem(TARGET, "binary", (NEGATIVE, POSITIVE), POSITIVE)


@dataclass(frozen=True)
class Dataset:
    """Features [N, F], and the target [N]: labels (str, bool or int64), or float64 of a regression.

    The columns of a table are float64, int64, bool, or objects (texts), with NaN where a value is missing.
    `digest` depends on the values, their order and the problem, not on where they came from. `rows` [N] are
    the rows' numbers in the source, from 0.
    """

    features: pd.DataFrame
    target: NDArray[Any]
    rows: NDArray[np.int64]
    source: str
    digest: str
    name: str = "breast-cancer-wisconsin-diagnostic"
    problem: Problem = DIAGNOSIS
    descriptions: Mapping[str, Description] = field(default_factory=dict)
    page: Mapping[str, Any] | None = None  # texts for the predictor's page
    # Of a table: each of its columns, the unused ones too, and sentences on what was inferred.
    columns: tuple[Column, ...] = ()
    remarks: tuple[str, ...] = ()

    def frame(self) -> pd.DataFrame:
        """All columns in one frame, the target last."""
        return self.features.assign(**{self.problem.target: self.target})


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


@dataclass(frozen=True)
class Choices:
    """What a person chooses about a table; the rest is inferred."""

    target: str
    task: Choice | None = None
    positive: str | None = None
    identifier: str | None = None
    dropped: Sequence[str] = ()


def load_table(path: Path, choices: Choices) -> Dataset:
    """Load a CSV or Parquet file, and infer types, task and positive class. Raises DataError."""
    table = read_table(path)
    _require_columns(table, choices)
    target = read_target(table, choices.target, choices.task, choices.positive)
    rows = replace(table, frame=table.frame[target.kept].reset_index(drop=True))
    columns, features = _features(rows, choices)
    problem, remarks = target.problem, [*target.remarks]
    if choices.identifier and rows.frame[choices.identifier].duplicated().any():
        remarks.append(
            f"{choices.identifier} repeats: rows of one {choices.identifier} can be both trained on "
            "and held out, which makes the metrics too good"
        )
    remarks += _suspicions(features, target.labels, problem)
    return Dataset(
        features,
        target.labels,
        np.flatnonzero(target.kept),
        str(path),
        _digest(features, target.labels, f"{problem.target},{problem.task},{problem.positive}"),
        name=path.stem,
        problem=problem,
        columns=columns,
        remarks=tuple(remarks),
    )


def split(dataset: Dataset) -> Split:
    """A split that depends only on the rows; it keeps the classes' shares."""
    train, test = train_test_split(
        np.arange(len(dataset.target)),
        test_size=HELD_OUT_SHARE,
        stratify=dataset.target if dataset.problem.classes else None,
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
    return Dataset(
        frame,
        diagnosis,
        np.arange(len(diagnosis)),
        source,
        _digest(frame, diagnosis),
        descriptions=DESCRIPTIONS,
        page=PAGE,
    )


def _rows(dataset: Dataset, places: NDArray[np.int64]) -> Dataset:
    return replace(
        dataset,
        features=dataset.features.iloc[places].reset_index(drop=True),
        target=dataset.target[places],
        rows=dataset.rows[places],
    )


def _require_columns(table: Table, choices: Choices) -> None:
    table.require(choices.target, "--target")
    for option, names in (("--id", [choices.identifier]), ("--drop", choices.dropped)):
        for name in names:
            if name is None:
                continue
            table.require(name, option)
            if name == choices.target:
                problem = f"{name!r} is the target, and cannot be for {option}, too"
                raise DataError(table.path, problem, f"leave out {option} or change --target")


def _features(table: Table, choices: Choices) -> tuple[tuple[Column, ...], pd.DataFrame]:
    """Each column, and the values of the columns that a model uses."""
    left_out = dict.fromkeys(choices.dropped, "--drop")
    if choices.identifier:
        left_out[choices.identifier] = "--id"
    columns: list[Column] = []
    used: dict[str, Any] = {}
    for name in map(str, table.frame):
        if name == choices.target:
            continue
        if name in left_out:
            columns.append(unread(table, name, left_out[name]))
            continue
        column, values = usable(*read_column(table, name))
        columns.append(column)
        if column.use != "dropped":
            used[name] = values
    if not used:
        raise DataError(table.path, "no column is left to learn from", "add columns")
    return tuple(columns), pd.DataFrame(used)


def _suspicions(features: pd.DataFrame, target: NDArray[Any], problem: Problem) -> list[str]:
    """A remark on each column from whose value alone the class follows."""
    found = []
    for name, values in features.items():
        if values.nunique() > len(problem.classes):
            continue
        classes = pd.Series(target).groupby(values.to_numpy(), dropna=False).nunique()
        if classes.max() == 1:
            found.append(
                f"{problem.target} follows from {name} alone; if it says the same, --drop {name}"
            )
    return found


def _digest(features: pd.DataFrame, target: NDArray[Any], problem: str = "") -> str:
    """32 hexadecimal characters; MLflow keeps at most 36."""
    digest = hashlib.sha256(",".join(features.columns).encode())
    numbers = features.select_dtypes(["number", "bool"])
    digest.update(numbers.to_numpy(dtype="<f8", copy=True).tobytes(order="C"))
    for name in features.columns.difference(numbers.columns, sort=False):
        texts = features[name]
        digest.update("\x1f".join(map(str, texts)).encode())
    digest.update(",".join(map(str, target.tolist())).encode())
    digest.update(problem.encode())
    return digest.hexdigest()[:32]
