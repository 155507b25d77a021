"""The rows that a model is exported with: a pandas frame, and what each of its columns holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from exporters.errors import ExportError

Kind = Literal["number", "integer", "boolean", "text"]

# Stands for a missing text in a graph: what skl2onnx calls a missing category.
MISSING_TEXT = "nan"


@dataclass(frozen=True)
class Column:
    """One feature: its name, what its values are, and whether a value may be missing."""

    name: str
    kind: Kind
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """Rows in the form that the model takes, and their columns in the same order.

    `frame` is [N, F]: float64 for numbers (NaN where a value is missing), int64, bool, and object for
    texts (NaN where one is missing). Its labels are those that the model was fitted with. A model that was
    fitted on an array without names is given arrays.
    """

    frame: pd.DataFrame
    columns: tuple[Column, ...]
    named: bool = True

    @property
    def one_tensor(self) -> bool:
        """Whether all columns are numbers, which become one tensor; else there is one input per column."""
        return all(column.kind != "text" for column in self.columns)

    @property
    def names(self) -> list[str]:
        """The names of the features."""
        return [column.name for column in self.columns]

    def with_rows(self, frame: pd.DataFrame) -> "Table":
        """Other rows of the same columns."""
        return replace(self, frame=frame)

    def only(self, names: set[str]) -> "Table":
        """The columns of these names."""
        places = [place for place, column in enumerate(self.columns) if column.name in names]
        columns = tuple(self.columns[place] for place in places)
        return replace(self, frame=self.frame.iloc[:, places], columns=columns)

    def for_library(self) -> Any:
        """The rows as the model's `predict` takes them."""
        return self.frame if self.named else self.frame.to_numpy()

    def feed(self, inputs: Sequence[Any]) -> dict[str, NDArray[Any]]:
        """The rows as tensors for ONNX Runtime's `inputs`: one table [N, F], or a column [N, 1] each."""
        if self.one_tensor:
            (port,) = inputs
            return {port.name: self.frame.to_numpy(_dtype(port.type))}
        place = {name: index for index, name in enumerate(self.names)}
        return {
            port.name: _column(self.frame.iloc[:, place[port.name]], port.type) for port in inputs
        }

    def records(self) -> list[dict[str, Any]]:
        """Each row as a JSON object: names and values, None where one is missing."""
        return [dict(zip(self.names, row, strict=True)) for row in self.json_rows()]

    def json_rows(self) -> list[list[Any]]:
        """Each row as a list of JSON values."""
        columns = [
            [_json(value) for value in self.frame.iloc[:, index].tolist()]
            for index in range(len(self.columns))
        ]
        return [list(row) for row in zip(*columns, strict=True)]


def read_table(rows: Any, known: list[Any] | None = None) -> Table:
    """Read a data frame (pandas, Polars), an Arrow table, an array or a list of records.

    `known` are the names that the model was fitted with: the columns are put into this order, and other
    columns are left out. A column is optional if a value is missing in it. Raises ExportError for columns
    that a client could not send as JSON.
    """
    frame = _frame(rows)
    if known is not None:
        frame = _in_order(frame, [*known])
    if frame.columns.has_duplicates:
        twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
        raise ExportError(f"X has the columns {', '.join(twice)} more than once; rename them.")
    if not len(frame):
        raise ExportError("X has no rows; give rows like the model's training rows.")
    read = [_read(str(name), frame.iloc[:, index]) for index, name in enumerate(frame.columns)]
    columns = tuple(column for column, _ in read)
    values = dict(enumerate(values for _, values in read))
    typed = pd.DataFrame(values, index=range(len(frame))).set_axis(frame.columns, axis=1)
    return Table(typed, columns, named=known is not None or not _is_array(rows))


def with_optional(table: Table, names: set[str]) -> Table:
    """The table with exactly these columns optional."""
    columns = tuple(replace(each, optional=each.name in names) for each in table.columns)
    return replace(table, columns=columns)


def _frame(rows: Any) -> pd.DataFrame:
    if isinstance(rows, pd.DataFrame):
        return rows.reset_index(drop=True)
    if isinstance(rows, pd.Series):
        return rows.to_frame().reset_index(drop=True)
    if hasattr(rows, "to_pandas"):  # Polars and Arrow
        return pd.DataFrame(rows.to_pandas())
    if hasattr(rows, "toarray"):
        raise ExportError(
            "X is a sparse matrix; give the rows before they were encoded, or X.toarray()."
        )
    if isinstance(rows, Sequence) and rows and isinstance(rows[0], Mapping):
        return pd.DataFrame(rows)
    values = np.asarray(rows)
    if values.ndim != 2:  # noqa: PLR2004
        raise ExportError(f"X must have rows and columns, but its shape is {values.shape}.")
    names = [f"feature_{index}" for index in range(values.shape[1])]
    return pd.DataFrame(values, columns=names)


def _is_array(rows: Any) -> bool:
    return not (hasattr(rows, "columns") or hasattr(rows, "column_names"))


def _in_order(frame: pd.DataFrame, known: list[Any]) -> pd.DataFrame:
    missing = [str(name) for name in known if name not in frame.columns]
    if not missing:
        return frame[known]
    if [str(name).replace(" ", "_") for name in frame.columns] == known:  # LightGBM renames
        return frame
    numbered = [f"feature_{index}" for index in range(len(known))]
    if list(frame.columns) == numbered:  # an array for a model that was fitted on a frame
        return frame.set_axis(known, axis=1)
    near = get_close_matches(missing[0], [str(name) for name in frame.columns], 1)
    hint = f" ({near[0]!r} is similar to {missing[0]!r})" if near else ""
    raise ExportError(
        f"X lacks {', '.join(missing)}, which the model was fitted with{hint}; give all its columns."
    )


def _read(name: str, values: "pd.Series[Any]") -> tuple[Column, "pd.Series[Any]"]:
    """The column and its values with the dtype of its kind."""
    missing = values.isna()
    kind = _kind(name, values[~missing], values.dtype)
    if kind == "text":
        texts = values.astype(object).where(~missing, np.nan)
        return Column(name, kind, bool(missing.any())), texts
    if missing.any():
        if kind == "boolean":
            raise ExportError(
                f"column {name!r} has booleans and gaps, which no graph can hold; make it a number "
                "(1, 0 and NaN) or a text before the model is fitted."
            )
        return Column(name, "number", True), values.astype(np.float64)
    dtype = {"number": np.float64, "integer": np.int64, "boolean": np.bool_}[kind]
    read = values.astype(dtype)
    if kind == "number" and not np.isfinite(read).all():
        raise ExportError(f"column {name!r} has infinite values; the service refuses these.")
    return Column(name, kind), read


def _kind(name: str, present: "pd.Series[Any]", dtype: Any) -> Kind:
    """The kind of a column, from its dtype or, for objects and categories, from its values."""
    types = {type(value) for value in present}
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_object_dtype(dtype):
        found = {
            next((kind for kind, known in _TYPES if issubclass(each, known)), None)
            for each in types
        }
    else:
        found = {next((kind for kind, fits in _FITS if fits(dtype)), None)}
    if found == {"integer", "number"} or not found:
        found = {"number"}  # also a column without any value
    (kind,) = found if len(found) == 1 else (None,)
    if kind is not None:
        return kind
    listed = ", ".join(sorted(each.__name__ for each in types))
    raise ExportError(
        f"column {name!r} has values of type {listed}; a feature is a number, a boolean or a text. "
        "Convert the column before the model is fitted, for instance a date into a number of days."
    )


_TYPES: tuple[tuple[Kind, tuple[type[Any], ...]], ...] = (
    ("text", (str,)),
    ("boolean", (bool, np.bool_)),
    ("integer", (int, np.integer)),
    ("number", (float, np.floating)),
)
_FITS: tuple[tuple[Kind, Callable[[Any], bool]], ...] = (
    ("boolean", pd.api.types.is_bool_dtype),
    ("integer", pd.api.types.is_integer_dtype),
    ("number", pd.api.types.is_float_dtype),
    ("text", pd.api.types.is_string_dtype),
)


def _dtype(onnx_type: str) -> Any:
    return {"tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}.get(
        onnx_type, np.float32
    )


def _column(values: "pd.Series[Any]", onnx_type: str) -> NDArray[Any]:
    if onnx_type == "tensor(string)":
        return values.where(values.notna(), MISSING_TEXT).to_numpy(object).reshape(-1, 1)
    return values.to_numpy(_dtype(onnx_type)).reshape(-1, 1)


def _json(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value
