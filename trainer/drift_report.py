"""Drift report: recorded predictions compared with earlier ones, or with a table, by Evidently, which is an extra."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from trainer.errors import RecordsError
from trainer.records import Choice, Records, parse_since

# Before the import: both would report that they are used.
os.environ["DO_NOT_TRACK"] = os.environ["ITERATIVE_DO_NOT_TRACK"] = "1"
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

_FEATURE, _PROBABILITY = "feature_", "probability_"
_MAX_ROWS = 100_000  # of each side; of more, a sample by the hash of their ids
_MIN_ROWS = 100
_THRESHOLD = 0.1  # Evidently's own, for both distances
_METHODS = {"num_method": "wasserstein", "cat_method": "jensenshannon"}
_TEXTS = {"VARCHAR", "BOOLEAN"}
_MAX_SEEN = 20  # different values of a text in the report's pictures


@dataclass(frozen=True)
class Comparison:
    """What is compared: the predictions `since` a time, with those of the same time before, or with a `reference` file."""

    folder: str
    since: str
    now: datetime
    model: str | None = None
    version: str | None = None
    reference: Path | None = None


@dataclass(frozen=True)
class ColumnDrift:
    """One column: the distance of its two distributions, by the named method."""

    column: str
    method: str
    distance: float

    @property
    def drifted(self) -> bool:
        """Whether the distance reaches Evidently's threshold."""
        return self.distance >= _THRESHOLD


@dataclass(frozen=True)
class Found:
    """The columns, the largest distance first, and how many rows were compared."""

    columns: list[ColumnDrift]
    rows: int
    reference_rows: int


def write(comparison: Comparison, output: Path) -> Found:
    """Write the report to an HTML file that only its owner can read. Raises RecordsError."""
    start = parse_since(comparison.since, comparison.now)
    records = _records(comparison, start)
    kinds = _columns(records)
    rows = _read(records, kinds)
    if comparison.reference is not None:
        reference = _table(comparison.reference, kinds)
    else:
        before = _records(comparison, start - (comparison.now - start))
        reference = _read(before, kinds, until=start)
    compared = [name for name in kinds if rows[name].notna().any() and name in reference.columns]
    compared = [name for name in compared if reference[name].notna().any()]
    _check_enough(comparison, len(rows), len(reference))
    texts = [name for name in compared if kinds[name]]
    definition = DataDefinition(
        numerical_columns=[name for name in compared if not kinds[name]], categorical_columns=texts
    )
    current, earlier = (_prepared(each[compared], texts) for each in (rows, reference))
    report = Report([DataDriftPreset(**_METHODS)])
    snapshot = report.run(
        Dataset.from_pandas(current, definition), Dataset.from_pandas(earlier, definition)
    )
    _save(snapshot, output)
    return Found(_distances(snapshot), len(rows), len(reference))


def _check_enough(comparison: Comparison, rows: int, reference_rows: int) -> None:
    needs = f"a comparison needs {_MIN_ROWS}"
    if rows < _MIN_ROWS:
        raise RecordsError(
            f"{comparison.folder} has {rows} rows since then, and {needs}; choose an earlier --since"
        )
    if reference_rows >= _MIN_ROWS:
        return
    if comparison.reference is not None:
        raise RecordsError(
            f"--reference {comparison.reference} has {reference_rows} rows, and {needs}"
        )
    raise RecordsError(
        f"{comparison.folder} has {reference_rows} rows to compare with, of the same time before --since, and {needs}; "
        "choose another --since, or give a table with --reference"
    )


def _records(comparison: Comparison, start: datetime) -> Records:
    return Records(
        comparison.folder, Choice(None, comparison.model, comparison.version, start)
    )  # fmt: skip


def _columns(records: Records) -> dict[str, bool]:
    """The compared columns of the record, and whether each is a text."""
    types = records.columns() if records else {}
    models = records.read("distinct model_name", after="limit 2") if records else []
    if len(models) > 1:
        raise RecordsError("the record has predictions of several models; choose one with --model")
    return {
        name: type_ in _TEXTS
        for name, type_ in types.items()
        if name.startswith((_FEATURE, _PROBABILITY))
        # Several targets are a list, which has no distance.
        or (name == "prediction" and not type_.endswith("]"))
    }


def _read(records: Records, kinds: dict[str, bool], until: datetime | None = None) -> pd.DataFrame:
    if not records or not kinds:
        return pd.DataFrame(columns=[*kinds])
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in kinds)
    end = {} if until is None else {"until": round(until.timestamp() * 1e6)}
    before = "and epoch_us(time) < $until" if end else ""
    after = f"{before} order by hash(id), id limit $most"
    return pd.DataFrame(
        records.read(columns, after=after, most=_MAX_ROWS, **end), columns=[*kinds]
    )  # fmt: skip


def _table(path: Path, kinds: dict[str, bool]) -> pd.DataFrame:
    """A table of features, with or without the record's prefix."""
    readers: dict[str, Callable[..., pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
    }
    read = readers.get(path.suffix)
    if read is None:
        raise RecordsError(f"--reference {path}: the name of the file must end in .csv or .parquet")
    try:
        table = read(path)
    except (OSError, ValueError) as error:
        raise RecordsError(f"--reference {path} cannot be read: {error}") from error
    known = {name: name.removeprefix(_FEATURE) for name in kinds if name.startswith(_FEATURE)}
    found = {own: name for name, own in known.items() if own in table.columns}
    if not found:
        raise RecordsError(
            f"--reference {path} has none of the recorded features; its columns must have their names"
        )
    table = table[[*found]].rename(columns=found)
    for name in table.columns:
        if not kinds[name]:
            try:
                table[name] = pd.to_numeric(table[name])
            except (ValueError, TypeError) as error:
                raise RecordsError(
                    f"--reference {path}: {name.removeprefix(_FEATURE)} is recorded as a number: {error}"
                ) from error
    return table


def _prepared(rows: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    """With booleans as texts, and rare texts together."""
    rows = rows.copy()
    for name in texts:
        values = rows[name].astype(str).where(rows[name].notna())
        often = values.value_counts().index[:_MAX_SEEN]
        rows[name] = values.where(values.isin(often) | values.isna(), "(other)")
    return rows


def _distances(snapshot: Any) -> list[ColumnDrift]:
    found = [
        ColumnDrift(config["column"], config["method"], float(metric["value"]))
        for metric in snapshot.dict()["metrics"]
        if "column" in (config := metric["config"]) and "method" in config
    ]
    return sorted(found, key=lambda each: -each.distance)


def _save(snapshot: Any, output: Path) -> None:
    part = output.with_name(f".{output.name}.part")
    before = os.umask(0o077)
    try:
        snapshot.save_html(str(part))
        part.replace(output)
    except OSError as error:
        raise RecordsError(f"{output} could not be written: {error.strerror}") from error
    finally:
        os.umask(before)
        part.unlink(missing_ok=True)
