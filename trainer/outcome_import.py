"""Import outcomes from a CSV file into the record, as `POST /outcomes` of the service appends them."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from trainer.errors import RecordsError
from trainer.records import OUTCOMES, file_system

SCHEMA = pa.schema(
    {
        "id": pa.string(), "outcome": pa.string(), "outcome_type": pa.string(),
        "at": pa.timestamp("us", "UTC"), "received_at": pa.timestamp("us", "UTC"), "key_name": pa.string(),
    }
)  # fmt: skip
"""The columns of `predictor/recording/tables.py`."""
_DELIMITERS = ",;\t"
_MAX_ID, _MAX_OUTCOME = 200, 500  # characters, as in the service
_MAX_FAULTS = 10  # in one message


@dataclass(frozen=True)
class Imported:
    """So many `rows` were written to `path`; none if this content was imported `before`, to that path."""

    rows: int
    path: str
    before: bool


def import_file(file: Path, address: str, now: datetime) -> Imported:
    """Append the outcomes of a CSV file to a record: columns `id`, `outcome` and perhaps `at`; others are ignored.

    A time without a zone is in UTC; without `at`, it is `now`. The file is imported whole or not at all, and the same
    content only once. Raises RecordsError.
    """
    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise RecordsError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise RecordsError(f"{file} is not text in UTF-8; save it as CSV in UTF-8") from None
    table = _table(file, text, now)
    files, root = file_system(address)
    name = f"import-{hashlib.sha256(content).hexdigest()[:32]}.parquet"
    folder = f"{root.rstrip('/')}/{OUTCOMES}"
    path = f"{folder}/{now.astimezone(UTC).date().isoformat()}/{name}"
    try:
        exists, found = files.exists(root), files.glob(f"{folder}/*/{name}")
        if exists and not found:
            _write(files, path, table)
    except Exception as error:  # each store has its own errors
        raise RecordsError(f"{address} cannot be written: {error}") from error
    if not exists:
        raise RecordsError(
            f"{address} does not exist; give the folder that PREDICTOR_RECORD_URI names for the service"
        )
    return (
        Imported(0, str(found[0]), before=True)
        if found
        else Imported(len(table), path, before=False)
    )


def _table(file: Path, text: str, now: datetime) -> pa.Table:
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if missing := {"id", "outcome"} - {*names}:
        raise RecordsError(
            f"{file} has no column {' and no column '.join(sorted(missing))}; the first line names the columns: "
            "id, outcome and, if known, at"
        )
    if twice := [name for name in ("id", "outcome", "at") if names.count(name) > 1]:
        raise RecordsError(f"{file} has several columns {' and '.join(twice)}; leave one of each")
    reader.fieldnames = names
    faults: list[str] = []
    try:
        rows = [*_rows(reader, now, faults)]
    except csv.Error as error:
        raise RecordsError(f"{file}, line {reader.line_num}: not CSV: {error}") from None
    if faults:
        shown = "; ".join(faults[:_MAX_FAULTS])
        more = f"; and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        raise RecordsError(f"{file} was not imported: {shown}{more}")
    if not rows:
        raise RecordsError(f"{file} has no outcomes")
    columns = [[*column] for column in zip(*rows, strict=True)]
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)],
        schema=SCHEMA,
    )


def _rows(
    reader: "csv.DictReader[str]", now: datetime, faults: list[str]
) -> Iterable[Sequence[Any]]:
    for row in reader:
        line = f"line {reader.line_num}"
        id_, outcome = ((row[name] or "").strip() for name in ("id", "outcome"))
        if not 1 <= len(id_) <= _MAX_ID or not id_.isprintable():
            faults.append(f"{line}: no id of 1 to {_MAX_ID} characters")
            continue
        if not 1 <= len(outcome) <= _MAX_OUTCOME:
            faults.append(f"{line}: no outcome of 1 to {_MAX_OUTCOME} characters")
            continue
        at = _time(row.get("at"), now)
        if at is None:
            faults.append(f"{line}: at is not a time up to now, such as 2026-11-29T16:30:00Z")
            continue
        yield id_, outcome, "text", at, now, None


def _time(text: str | None, now: datetime) -> datetime | None:
    """The time of an outcome; None for what is not a time, or in the future."""
    if not (text or "").strip():
        return now
    try:
        at = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at if at <= now else None


def _write(files: Any, path: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    if not isinstance(files, LocalFileSystem):
        files.pipe_file(path, buffer.getvalue())
        return
    target = Path(path)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(buffer.getvalue())
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
