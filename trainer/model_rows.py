"""Rows for a fitted model: a file's columns with the types that the model takes, or its input example."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model
from mlflow.types import DataType, Schema
from numpy.typing import NDArray

from exporters.answers import PredictionKind
from exporters.estimators import fitted_names, parts
from exporters.metadata import label_name
from trainer.errors import DataError, TrainerError
from trainer.table import MISSING, Column, Table, read_column, read_texts


@dataclass(frozen=True)
class Rows:
    """Rows [N, F] for an export, the target's values as texts [N] if there are any, and their source.

    Rows without a value of the target are left out.
    """

    features: Any
    labels: Any
    source: str

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.features)


def from_table(table: Table, types: Mapping[str, Any], target: str | None) -> Rows:
    """The columns that the model needs, which are those of `types`; without, all but the target.

    Raises DataError for a missing column, and for values that are not of their type.
    """
    if target is not None:
        table.require(target, "--target")
    names = [*types] or [str(name) for name in table.frame if name != target]
    columns = {}
    if target is not None:
        texts = table.frame[target].astype(str).str.strip()
        table = replace(table, frame=table.frame[~texts.isin(MISSING)].reset_index(drop=True))
    for name in names:
        table.require(name, "a feature of the model")
        columns[name] = _values(table, name, types.get(name))
    labels = (
        None if target is None else table.frame[target].astype(str).str.strip().to_numpy(object)
    )
    return Rows(pd.DataFrame(columns), labels, f"{len(table.frame):,} rows of {table.path}")


def from_example(description: Model, folder: Path) -> Rows | None:
    """The input example of a model; None if it has none. Raises TrainerError."""
    if description.saved_input_example_info is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            example: Any = description.load_input_example(str(folder))
    except Exception as error:  # MLflow raises any type of error for a wrong file
        raise TrainerError(
            f"the model's input example cannot be read ({error}); give rows with --data"
        ) from error
    if not isinstance(example, pd.DataFrame | np.ndarray):
        example = pd.DataFrame(example)
    return Rows(example, None, f"the model's input example ({len(example)} rows)")


def actual_values(texts: NDArray[Any], task: PredictionKind) -> NDArray[Any]:
    """Texts [N] of a target as the labels or numbers that the model predicts.

    A text that is none of the labels stays one. Raises TrainerError for a text that is no number.
    """
    if not task.labels:
        numbers = pd.to_numeric(pd.Series(texts), errors="coerce")
        if numbers.isna().any():
            raise TrainerError(f"--target has {texts[numbers.isna()][0]!r}, which is no number")
        return numbers.to_numpy(np.float64)
    known: dict[str, Any] = {}
    for label in (*(task.classes or ()), *task.served_classes):
        known |= {str(label): label, label_name(label): label}
        if isinstance(label, int):
            known[f"{float(label)}"] = label
    found = [known.get(text, text) for text in texts]
    same = len({type(each) for each in found}) == 1
    return np.array(found) if same else np.array(found, object)


def column_types(model: Any, signature: Schema | None) -> dict[str, Any]:
    """The type of each column that the model needs; None where only the values show it.

    They are the signature's. Tensors have neither names nor several types; then the columns of the fit count,
    of which encoders and imputers know the texts. Empty for a model without names.
    """
    if signature is not None and not signature.is_tensor_spec() and signature.has_input_names():
        return {str(each.name): each.type for each in signature.inputs}
    texts = {name for part in parts(model) for name in _texts_of(part)}
    names = [str(name) for name in fitted_names(model) or ()]
    return {name: DataType.string if name in texts else None for name in names}


def _texts_of(part: Any) -> Iterator[str]:
    """The columns of texts that an encoder, an imputer or a column transformer was fitted on."""
    names = getattr(part, "feature_names_in_", ())
    for attribute in ("categories_", "statistics_"):
        for name, values in zip(names, getattr(part, attribute, ()), strict=False):
            if any(isinstance(each, str) for each in np.atleast_1d(np.asarray(values, object))):
                yield str(name)
    for _, transformer, chosen in getattr(part, "transformers_", ()):
        if isinstance(chosen, str) and any(
            hasattr(each, "vocabulary_") for each in parts(transformer)
        ):
            yield chosen


def _values(table: Table, name: str, wanted: Any) -> "pd.Series[Any]":
    if wanted is not None and wanted not in _CONVERT:
        problem = f"the model's signature has the type {wanted} for column {name!r}"
        raise DataError(table.path, problem, "the service takes numbers, booleans and texts")
    try:
        values = _CONVERT[wanted](table, name)
    except DataError as error:
        # read_column advises to leave the column out, which a fitted model does not allow.
        advice = f"the model needs column {name!r}: correct its values"
        raise DataError(table.path, error.problem, advice) from error
    if values is None:
        raise DataError(
            table.path,
            f"column {name!r} has values such as {_odd(table, name, wanted)}, and the model takes "
            f"{wanted.name}",
            "correct the values, or give the column that the model was fitted on",
        )
    return values


def _odd(table: Table, name: str, wanted: DataType) -> str:
    """The first value that is probably not of this type, for an error."""
    present = table.frame[name].dropna()
    present = present[present.astype(str).str.strip() != ""]
    if wanted is not DataType.string:
        numbers = pd.to_numeric(present, errors="coerce")
        odd = present[numbers.isna()]
        if not len(odd) and wanted in {DataType.integer, DataType.long}:
            odd = present[numbers % 1 != 0]
        if not len(odd) and len(present) < len(table.frame):
            return "none (a missing one)"
        present = odd if len(odd) else present
    value = present.iloc[0] if len(present) else None
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value!r} (type {type(value).__name__})"


def _number(table: Table, name: str) -> "pd.Series[Any] | None":
    column, values = read_column(table, name)
    if column.kind == "boolean":
        return None
    numbers = _code_numbers(values) if column.kind == "text" else values
    return None if numbers is None else numbers.astype(np.float64)


def _integer(table: Table, name: str) -> "pd.Series[Any] | None":
    column, values = read_column(table, name)
    if column.kind == "integer":
        return values
    numbers = _number(table, name)
    if numbers is None or numbers.isna().any() or (numbers % 1 != 0).any():
        return None
    return numbers.astype(np.int64)


def _code_numbers(texts: "pd.Series[Any]") -> "pd.Series[Any] | None":
    """Numbers with leading zeros, which are texts only where nothing says otherwise."""
    numbers = pd.to_numeric(texts, errors="coerce")
    return None if (numbers.isna() & texts.notna()).any() else numbers


def _boolean(table: Table, name: str) -> "pd.Series[Any] | None":
    column, values = read_column(table, name)
    if column.missing or not _are_flags(column, values):
        return None
    return values.astype(np.bool_)


def _are_flags(column: Column, values: "pd.Series[Any]") -> bool:
    return column.kind == "boolean" or (
        column.kind == "integer" and bool(values.isin([0, 1]).all())
    )


_CONVERT: Mapping[Any, Callable[[Table, str], "pd.Series[Any] | None"]] = {
    None: lambda table, name: read_column(table, name)[1],
    DataType.boolean: _boolean,
    DataType.integer: _integer,
    DataType.long: _integer,
    DataType.float: _number,
    DataType.double: _number,
    DataType.string: read_texts,
}
