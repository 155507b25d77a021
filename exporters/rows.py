"""Rows for a parity check: given ones, random ones, unseen categories and missing values."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exporters.table import Column, Table

GENERATED_ROWS = 1500
_UNSEEN = "a category that no row has"
_EACH = 5  # rows for each column with a missing or an unseen value


def parity_rows(table: Table, *, seed: int = 0) -> dict[str, pd.DataFrame]:
    """The rows of `table`, with generated ones, by kind; kinds without rows are left out."""
    random = np.random.default_rng(seed)
    kinds = {
        "given": table.frame,
        "generated": generated_rows(table, random),
        "zero": _zero_rows(table, random),
        "unseen category": _unseen_rows(table, random),
        "missing value": _missing_rows(table, random),
    }
    return {kind: rows for kind, rows in kinds.items() if len(rows)}


def generated_rows(
    table: Table, random: np.random.Generator, *, count: int = GENERATED_ROWS
) -> pd.DataFrame:
    """`count` random rows across, beyond and near the rows of `table`.

    A third is uniform over the ranges of the numbers, a third over twice those ranges, a third are rows of
    the table with each number changed by up to a tenth. Every number is a float32, as in the predictor.
    Texts and booleans are drawn from their column.
    """
    each = -(-count // 3)
    columns = {
        place: _generated(column, table.frame.iloc[:, place].to_numpy(), each, random)[:count]
        for place, column in enumerate(table.columns)
    }
    typed = {place: pd.Series(each, dtype=each.dtype) for place, each in columns.items()}
    return pd.DataFrame(typed).set_axis(table.frame.columns, axis=1)


def _generated(
    column: Column, values: NDArray[Any], each: int, random: np.random.Generator
) -> NDArray[Any]:
    if column.kind in {"boolean", "text"}:
        return np.asarray(random.choice(values, 3 * each), values.dtype)
    numbers = values.astype(np.float64)
    present = numbers[~np.isnan(numbers)]
    if not present.size:
        return np.full(3 * each, np.nan)
    low, high = np.min(present), np.max(present)
    reach = (high - low) / 2
    near = random.choice(present, each) * random.uniform(0.9, 1.1, each)
    made = np.concatenate(
        [random.uniform(low, high, each), random.uniform(low - reach, high + reach, each), near]
    ).astype(np.float32)
    if column.kind == "integer":
        return np.asarray(made.round().astype(np.int64))
    return made.astype(np.float64)


def _zero_rows(table: Table, random: np.random.Generator) -> pd.DataFrame:
    """For each number a row in which it is 0, which some models read as missing."""
    places = [
        place for place, column in enumerate(table.columns) if column.kind in {"number", "integer"}
    ]
    rows = table.frame.iloc[random.choice(len(table.frame), len(places))].reset_index(drop=True)
    for number, place in enumerate(places):
        values = rows.iloc[:, place].to_numpy(copy=True)
        values[number] = 0
        rows.isetitem(place, values)
    return rows


def _unseen_rows(table: Table, random: np.random.Generator) -> pd.DataFrame:
    """For each text column a few rows with a text that no row has, and with an empty one."""
    made = []
    for place, column in enumerate(table.columns):
        if column.kind == "text":
            rows = _picked(table, random)
            rows.isetitem(place, np.resize(np.array([_UNSEEN, "", "É"], object), len(rows)))
            made.append(rows)
    return _joined(made, table)


def _missing_rows(table: Table, random: np.random.Generator) -> pd.DataFrame:
    """For each column whose values may be missing a few rows without one; and rows without any of them."""
    optional = [place for place, column in enumerate(table.columns) if column.optional]
    made = []
    for places in [*([place] for place in optional), optional] if optional else ():
        rows = _picked(table, random)
        for place in places:
            dtype: Any = object if table.columns[place].kind == "text" else np.float64
            rows.isetitem(place, np.full(len(rows), np.nan, dtype))
        made.append(rows)
    return _joined(made, table)


def _picked(table: Table, random: np.random.Generator) -> pd.DataFrame:
    chosen = random.choice(len(table.frame), min(_EACH, len(table.frame)), replace=False)
    return table.frame.iloc[np.sort(chosen)].copy()


def _joined(made: list[pd.DataFrame], table: Table) -> pd.DataFrame:
    return pd.concat(made, ignore_index=True) if made else table.frame.iloc[:0]
