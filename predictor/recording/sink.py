"""Sink: where Parquet files are kept, a folder or any store that fsspec knows. Imports pyarrow, which is an extra."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

OUTCOMES = "_outcomes"
"""The folder of outcomes. pandas, pyarrow and Spark skip names that begin with `_` when they read all records."""
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Sink:
    """Writes each file whole or not at all: beside its place, then renamed; stores do that themselves."""

    def __init__(self, uri: str, temporary: Path, **options: Any) -> None:
        """`temporary` is a local folder; `options` are those of fsspec. Raises ImportError without a driver."""
        self._files, self._root = fsspec.core.url_to_fs(uri, **options)
        self._temporary = temporary

    def write(self, model: str, version: str, day: str, name: str, table: pa.Table) -> None:
        """Write `MODEL/VERSION/DAY/NAME`; a file of that name is replaced. Raises OSError, or the store's error."""
        self._write("/".join([quote(model, safe=""), version, day]), name, table)

    def write_outcomes(self, day: str, name: str, table: pa.Table) -> None:
        """Write `_outcomes/DAY/NAME`, as `write` does."""
        self._write(f"{OUTCOMES}/{day}", name, table)

    def _write(self, folder: str, name: str, table: pa.Table) -> None:
        folder = f"{self._root.rstrip('/')}/{folder}"
        if not isinstance(self._files, LocalFileSystem):
            part = self._temporary / f"{name}.part"
            self._write_file(table, part)
            self._files.put_file(str(part), f"{folder}/{name}")
            part.unlink()
            return
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        part = Path(folder, f".{name}.part")
        self._write_file(table, part)
        part.replace(Path(folder, name))

    @staticmethod
    def _write_file(table: pa.Table, path: Path) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())

    def delete_older_than(self, days: int) -> int:
        """Delete the folders of days that began more than `days` days ago; return how many."""
        oldest = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
        root = self._root.rstrip("/")
        old = [
            folder
            for pattern in (f"{root}/*/*/*", f"{root}/{OUTCOMES}/*")
            for folder in self._files.glob(pattern)
            if _DAY.fullmatch(name := folder.rstrip("/").rpartition("/")[2]) and name < oldest
        ]
        for folder in old:
            self._files.rm(folder, recursive=True)
        return len(old)
