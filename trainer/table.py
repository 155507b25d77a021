"""Read a table from CSV or Parquet, and infer what each column holds and how a model can use it."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from trainer.errors import DataError
from trainer.wdbc import LARGEST

Kind = Literal["number", "integer", "boolean", "text"]
Use = Literal["number", "category", "words", "dropped"]

# As pandas reads them, and what other programs write for a missing value.
MISSING = frozenset(
    {"", "#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "na", "nan", "null", "?"}
)
MISSING_NUMBER = MISSING | {"-", "--", ".", "#DIV/0!", "#VALUE!"}
MAX_CATEGORIES = 100
# A text with more words than this on average, and more different texts than this, is read word by word.
FREE_TEXT_WORDS, FREE_TEXT_DISTINCT = 3, 20
MIN_IDENTIFIERS = 20  # so many texts, all different, do not happen by chance
MOSTLY = 0.9
RUNNING_NUMBER_SPAN = 1.2

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DECIMAL_COMMA = r"[+-]?[0-9]*,?[0-9]+(?:[eE][+-]?[0-9]+)?"
_INTEGER = r"[+-]?(?:0|[1-9][0-9]{0,17})"
_CODE = r"0[0-9]+"  # a number such as 007, of which the zeros count
# With a unit, or with separators of thousands: 1,234.50 or 5 %.
_DECORATED = r"[+-]?[^\w\s]? ?[0-9][0-9.,' ]*(?: ?[%€$£]| [a-zA-Z]{1,3})?"
_INFINITE = r"[+-]?inf(?:inity)?"
_DATE = r"\d{4}-\d{1,2}-\d{1,2}(?:[ T].*)?|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}(?: .*)?|\d{4}/\d{1,2}/\d{1,2}.*"
_IDENTIFIER_NAME = re.compile(r"(?:^|[_ -])(?:id|uuid|guid|key|nr|no)$", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column: what its values are, None if it was not read, and how a model uses it.

    `missing` and `distinct` are counts of rows and of different values. `note` is for people. `categories`
    are the texts that have a place of their own in a one-hot encoding, NaN for a missing one.
    """

    name: str
    kind: Kind | None
    missing: int
    distinct: int
    use: Use
    note: str = ""
    categories: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Table:
    """The rows of a file, with the values of each column as they were read, and where they came from.

    The columns of a `typed` file have types of their own: a text is a text, also if all look like numbers.
    """

    path: Path
    frame: pd.DataFrame
    decimal_comma: bool = False
    typed: bool = False

    def require(self, name: str, option: str) -> None:
        """Raise DataError unless there is a column of this name."""
        if name not in self.frame:
            columns = [str(each) for each in self.frame]
            near = get_close_matches(name, columns, 3, cutoff=0.5)
            known = f"did you mean {' or '.join(near)}?" if near else f"it has {_listed(columns)}"
            raise DataError(self.path, f"it has no column {name!r} for {option}", known)


def read_table(path: Path) -> Table:
    """Read CSV (separated by comma, semicolon, tab or |) or Parquet. Raises DataError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(path, f"it cannot be read ({error.strerror})", "check --data") from error
    if content.startswith(b"PAR1"):
        table = Table(path, _read_parquet(path, content), typed=True)
    else:
        text = _decode(path, content).lstrip("\r\n")
        separator, header = _read_header(path, text)
        table = Table(path, _read_csv(text, separator, header), separator != ",")
    if not len(table.frame):
        raise DataError(path, "it has no rows", "give --data a file with rows")
    return table


def read_column(table: Table, name: str) -> tuple[Column, "pd.Series[Any]"]:
    """A column, and its values with the dtype of its kind.

    Numbers are float64, NaN where one is missing; integers int64; booleans bool, or 1, 0 and NaN where one
    is missing; texts objects, NaN where one is missing. Raises DataError for dates, infinite numbers and
    values that are none of these.
    """
    raw = table.frame[name]
    kind, values, note = (
        _from_texts(table, name, raw) if _is_text(raw) else _from_types(table, name, raw)
    )
    if kind in {"number", "integer"} and (values.abs() > LARGEST).any():
        problem = f"column {name!r} has numbers beyond {LARGEST:.3g}, which no server can be sent"
        raise DataError(table.path, problem, f"use another unit, or --drop {name}")
    column = Column(name, kind, int(values.isna().sum()), int(values.nunique()), "dropped", note)
    return column, values


def read_texts(table: Table, name: str) -> "pd.Series[Any] | None":
    """A column of texts as they are, also if all look like numbers; None for a column of another type.

    A missing text is NaN.
    """
    raw = table.frame[name]
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype(raw.cat.categories.dtype)
    if not _is_text(raw):
        return None
    texts = raw.astype(object).where(raw.notna(), "").str.strip()
    return texts.where(~texts.isin(MISSING), np.nan)


def unread(table: Table, name: str, note: str) -> Column:
    """A column that a person left out, which is not read."""
    raw = table.frame[name]
    texts = raw.astype(str)
    missing = int((raw.isna() | (texts == "")).sum())
    return Column(name, None, missing, int(texts.nunique()), "dropped", note)


def usable(column: Column, values: "pd.Series[Any]") -> tuple[Column, "pd.Series[Any]"]:
    """Decide how a model uses a column: as numbers, as categories, word by word, or not at all."""
    if not column.name.strip():
        return _used(column, "dropped", "it has no name"), values
    if column.distinct == 0:
        return _used(column, "dropped", "no row has a value"), values
    if column.distinct == 1 and not column.missing:
        return _used(column, "dropped", "each row has the same value"), values
    if column.kind == "text":
        return _usable_text(column, values)
    if column.kind == "integer" and _is_running_number(values):
        return _used(column, "dropped", "a running number of the rows"), values
    note = "1 and 0; " if column.kind == "boolean" else ""
    note += "missing values become the median; " if column.missing else ""
    note += "scaled for models that need it"
    if _IDENTIFIER_NAME.search(column.name) and column.distinct == len(values):
        note += f"; different in each row: an identifier? Then name it with --id {column.name}"
    return _used(column, "number", note), values


def _usable_text(column: Column, values: "pd.Series[Any]") -> tuple[Column, "pd.Series[Any]"]:
    present = values.dropna()
    words = float(present.str.split().map(len).mean())
    if column.distinct > FREE_TEXT_DISTINCT and words >= FREE_TEXT_WORDS:
        # A text without words and a missing text are the same.
        return _used(column, "words", "a number for each of the 200 most frequent words"), (
            values.fillna("")
        )
    if column.distinct == len(present) and len(present) >= MIN_IDENTIFIERS:
        note = f"a different text in each row: an identifier? Then name it with --id {column.name}"
        return _used(column, "dropped", note), values
    if column.distinct > len(present) / 2 and column.distinct > FREE_TEXT_DISTINCT:
        return _used(column, "dropped", "most rows have a text of their own; group them"), values
    counts = present.value_counts(sort=True)
    kept = sorted(counts.index[:MAX_CATEGORIES].tolist())
    note = "one-hot"
    if column.distinct > len(kept):
        note = f"one-hot, the {len(kept)} most frequent; others count as none of them"
    if column.missing:
        kept.append(np.nan)
        note += "; missing is a category"
    used = _used(column, "category", note)
    return Column(**{**vars(used), "categories": tuple(kept)}), values


def _used(column: Column, use: Use, note: str) -> Column:
    notes = "; ".join(each for each in (note, column.note) if each)
    return Column(**{**vars(column), "use": use, "note": notes})


def _decode(path: Path, content: bytes) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            path, "it is neither UTF-8 text nor Parquet", "save it as CSV in UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(path, "it is neither CSV nor Parquet", "save it as CSV in UTF-8")
    if not text.strip():
        raise DataError(path, "it is empty", "give --data a file with a header and rows")
    return text


def _read_header(path: Path, text: str) -> tuple[str, list[str]]:
    """The separator that makes most columns of the first line, and the columns' names."""
    headers = {}
    for separator in (",", ";", "\t", "|"):
        lines = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
        headers[separator] = [name.strip() for name in next(lines)]
    separator = max(headers, key=lambda each: len(headers[each]))
    _require_different(path, headers[separator])
    _require_same_length(path, text, separator, len(headers[separator]))
    return separator, headers[separator]


def _require_same_length(path: Path, text: str, separator: str, columns: int) -> None:
    lines = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    try:
        for line in lines:
            if line and len(line) != columns:
                problem = f"line {lines.line_num} has {len(line)} columns, the header {columns}"
                advice = "write an empty field for a missing value, and quote texts that have a "
                raise DataError(path, problem, f"{advice}{separator!r} in them")
    except csv.Error as error:
        raise DataError(path, f"line {lines.line_num}: {error}", "mend that line") from error


def _require_different(path: Path, names: Sequence[str]) -> None:
    named = [name for name in names if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise DataError(
            path, f"it has the columns {_listed(twice)} more than once", "rename them in the header"
        )


def _read_csv(text: str, separator: str, header: list[str]) -> pd.DataFrame:
    names = [name or " " * place for place, name in enumerate(header, start=1)]
    return pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0,
        names=names,
        index_col=False,
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
    )


def _read_parquet(path: Path, content: bytes) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except Exception as error:
        detail = " ".join(str(error).split())[:200]
        raise DataError(path, f"it is damaged ({detail})", "write the file again") from error
    frame.columns = [str(name).strip() for name in frame.columns]
    _require_different(path, [str(name) for name in frame.columns])
    return frame.reset_index(drop=True)


def _is_text(raw: "pd.Series[Any]") -> bool:
    return pd.api.types.is_string_dtype(raw.dtype) and all(
        isinstance(value, str) for value in raw.dropna()
    )


def _from_texts(
    table: Table, name: str, raw: "pd.Series[Any]"
) -> tuple[Kind, "pd.Series[Any]", str]:
    texts = raw.astype(object).where(raw.notna(), "").str.strip()
    present = texts[~texts.isin(MISSING_NUMBER)]
    numbers = None if table.typed else _numbers(table, name, texts, present)
    if numbers is not None:
        return numbers
    _refuse_dates(table, name, present)
    lower = present.str.lower()
    if len(present) and not table.typed and lower.isin(["true", "false"]).all():
        flags = texts.str.lower().map({"true": True, "false": False})
        gaps = bool(flags.isna().any())
        return "boolean", flags.astype(np.float64 if gaps else np.bool_), ""
    values = texts.where(~texts.isin(MISSING), np.nan)
    return "text", values, _mixed(values.dropna())


def _numbers(
    table: Table, name: str, texts: "pd.Series[Any]", present: "pd.Series[Any]"
) -> tuple[Kind, "pd.Series[Any]", str] | None:
    """The column as numbers, or None if some values are not."""
    if not len(present):
        return "number", pd.Series(np.nan, texts.index), ""
    if present.str.fullmatch(_CODE).any():
        return None
    if table.decimal_comma and present.str.fullmatch(_DECIMAL_COMMA).all():
        present = present.str.replace(",", ".")
    fits = present.str.fullmatch(_NUMBER)
    if not fits.all():
        if (fits | present.str.lower().str.fullmatch(_INFINITE)).all():
            problem = f"column {name!r} has infinite values"
            raise DataError(table.path, problem, f"leave them empty, or --drop {name}")
        return None
    if len(present) == len(texts) and present.str.fullmatch(_INTEGER).all():
        return "integer", present.astype(np.int64), ""
    return "number", present.astype(np.float64).reindex(texts.index), ""


def _from_types(
    table: Table, name: str, raw: "pd.Series[Any]"
) -> tuple[Kind, "pd.Series[Any]", str]:
    """A column that a Parquet file has given a type."""
    kinds = pd.api.types
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype(raw.cat.categories.dtype)
        return _from_texts(table, name, raw) if _is_text(raw) else _from_types(table, name, raw)
    if kinds.is_datetime64_any_dtype(raw.dtype) or kinds.is_timedelta64_dtype(raw.dtype):
        _refuse_date(table, name, raw.dropna())
    present = raw.dropna()
    gaps = len(present) < len(raw)
    if kinds.is_bool_dtype(raw.dtype) or (
        len(present) and all(isinstance(value, bool) for value in present)
    ):
        values = raw.astype(object).where(raw.notna(), np.nan)
        return "boolean", values.astype(np.float64 if gaps else np.bool_), ""
    if kinds.is_integer_dtype(raw.dtype) and not gaps:
        return "integer", raw.astype(np.int64), ""
    if kinds.is_numeric_dtype(raw.dtype) or all(isinstance(value, Decimal) for value in present):
        values = raw.astype(object).where(raw.notna(), np.nan).astype(np.float64)
        if np.isinf(values).any():
            problem = f"column {name!r} has infinite values"
            raise DataError(table.path, problem, f"leave them empty, or --drop {name}")
        return "number", values, ""
    found = _listed(sorted({type(value).__name__ for value in present}))
    if "date" in found:
        _refuse_date(table, name, present)
    raise DataError(table.path, f"column {name!r} holds values of type {found}", f"--drop {name}")


def _refuse_dates(table: Table, name: str, present: "pd.Series[Any]") -> None:
    if len(present) and present.str.fullmatch(_DATE).mean() > MOSTLY:
        _refuse_date(table, name, present)


def _refuse_date(table: Table, name: str, present: "pd.Series[Any]") -> None:
    example = f" (such as {present.iloc[0]})" if len(present) else ""
    raise DataError(
        table.path,
        f"column {name!r} holds dates{example}, which no model here can use",
        f"--drop {name}, or put numbers in its place, such as days since an event, month or weekday",
    )


def _mixed(present: "pd.Series[Any]") -> str:
    """A remark if nearly all texts are numbers, or numbers with a unit or separators of thousands."""
    fits = present.str.fullmatch(_NUMBER)
    if len(present) and MOSTLY < fits.mean() < 1:
        odd = present[~fits].iloc[0]
        return f"text because of values such as {odd!r}, although {fits.mean():.0%} are numbers"
    if len(present) and not fits.any() and present.str.fullmatch(_DECORATED).mean() > MOSTLY:
        return f"text: if values such as {present.iloc[0]!r} are numbers, write them plainly"
    return ""


def _is_running_number(values: "pd.Series[Any]") -> bool:
    """Whether it only grows, and leaves out few numbers: rows may have been left out."""
    steps = np.diff(values.to_numpy())
    few_gaps = steps.sum() < RUNNING_NUMBER_SPAN * len(values)
    return len(values) >= MIN_IDENTIFIERS and bool((steps >= 1).all() and few_gaps)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown  # noqa: PLR2004
