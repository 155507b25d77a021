"""Records: the predictions that a service recorded as Parquet, read with DuckDB, which is an extra.

The service writes `MODEL/VERSION/DAY/*.parquet` below PREDICTOR_RECORD_URI; the model's name is percent-encoded, days
are UTC. Values never become a part of the SQL.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import fsspec
from fsspec.implementations.local import LocalFileSystem

from trainer.errors import RecordsError

OUTCOMES = "_outcomes"
"""The folder of the outcomes, beside the folders of the models."""
NOT_TRIED_OUT = "protocol <> 'what_if'"
"""In SQL: the row is a prediction. Rows of `what_if` are values that somebody tried out."""
_LAYOUT = 3  # folders below the root
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


@dataclass(frozen=True)
class Choice:
    """Which predictions: only the ones that fit all given conditions. `id` is that of a prediction or of its request.

    Rows that somebody tried out are chosen by their id, or `tried_out` says that they are among the others.
    """

    id: str | None = None
    model: str | None = None
    version: str | None = None
    since: datetime | None = None
    tried_out: bool = False

    @property
    def condition(self) -> str:
        """The condition in SQL; the values are `parameters`."""
        conditions = {
            "id": "(id = $id or request_id = $id)",
            "model": "model_name = $model",
            "version": "model_version = $version",
            "since": "epoch_us(time) >= $since",
        }
        chosen = [conditions[name] for name in self.parameters]
        if not self.tried_out and self.id is None:
            chosen.append(NOT_TRIED_OUT)
        return " and ".join(chosen) or "true"

    @property
    def parameters(self) -> dict[str, Any]:
        """The values by name; times in microseconds since the epoch."""
        since = None if self.since is None else round(self.since.timestamp() * 1e6)
        given = {"id": self.id, "model": self.model, "version": self.version, "since": since}
        return {name: value for name, value in given.items() if value is not None}

    def may_be_in(self, folders: Sequence[str]) -> bool:
        """Whether a file below `MODEL/VERSION/DAY` may have such predictions."""
        if len(folders) != _LAYOUT:
            return True
        model, version, day = folders
        return (
            (self.model is None or model == quote(self.model, safe=""))
            and (self.version is None or version == self.version)
            and (self.since is None or day >= self.since.astimezone(UTC).date().isoformat())
        )


def parse_since(text: str, now: datetime) -> datetime:
    """A time from `7d`, `12h` or `30m` before now, or from a date or time (UTC unless it says otherwise)."""
    try:
        if found := re.fullmatch(r"(\d{1,6})([dhm])", text.strip()):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        since = datetime.fromisoformat(text.strip())
        return (since if since.tzinfo else since.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for a time before the year 1
        raise RecordsError(
            f"--since {text!r} is no time; give a number of days, hours or minutes (7d, 12h, 30m) or a date "
            "(2026-11-29)"
        ) from None


class Records:
    """The predictions below a folder, or in one file; every method raises RecordsError."""

    def __init__(self, address: str, choice: Choice) -> None:
        """`address` is a path or any URI that fsspec knows; it is listed at once."""
        self.choice = choice
        self._address = address
        self._files, root = file_system(address)
        self.outcome_paths: list[str] = []
        self.paths = self._listed(root)
        self._connection = duckdb.connect()
        if not isinstance(self._files, LocalFileSystem):
            self._connection.register_filesystem(self._files)

    def __bool__(self) -> bool:
        """Whether a file may have such predictions."""
        return bool(self.paths)

    def columns(self) -> dict[str, str]:
        """DuckDB's type of each column, in the order of the files' columns."""
        found = self._relation("*", "false")
        return dict(zip(found.columns, map(str, found.types), strict=True))

    def read(self, columns: str, *, after: str = "", **parameters: Any) -> list[tuple[Any, ...]]:
        """The chosen predictions. `columns`, and `after` the condition, are SQL with `$name` for parameters."""
        try:
            return self._relation(columns, self.choice.condition, after, parameters).fetchall()
        except duckdb.Error as error:
            raise self._not_read(error) from error

    def query(self, sql: str, **parameters: Any) -> duckdb.DuckDBPyConnection:
        """Run SQL in the connection of this object, which may have tables of its own."""
        try:
            return self._connection.execute(sql, parameters)
        except duckdb.Error as error:
            raise self._not_read(error) from error

    def files(self) -> list[str]:
        """The files that have such predictions, at least one."""
        columns = "distinct filename"
        found = [str(path) for (path,) in self.read(columns, after="order by 1")] if self else []
        if not found:
            raise RecordsError(f"{self._address} has no prediction with the id {self.choice.id!r}")
        return found

    def export(self, path: Path) -> int:
        """Write the chosen predictions to a .csv or .parquet file that only its owner can read; return how many."""
        if path.suffix not in {".csv", ".parquet"}:
            raise RecordsError(
                f"--output {path}: the name of the file must end in .csv or .parquet"
            )
        columns = "*"
        if path.suffix == ".csv":
            columns = "* replace (strftime(make_timestamp(epoch_us(time)), '%Y-%m-%dT%H:%M:%S.%fZ') as time)"
        part = path.with_name(f".{path.name}.part")
        before = os.umask(0o077)
        try:
            relation = self._relation(
                columns, self.choice.condition, "order by time, request_id, len(id), id"
            )
            write = relation.write_csv if path.suffix == ".csv" else relation.write_parquet
            write(str(part))
            part.replace(path)
        except duckdb.IOException as error:
            raise RecordsError(f"{path} could not be written: {_one_line(error)}") from error
        except duckdb.Error as error:
            raise self._not_read(error) from error
        except OSError as error:
            raise RecordsError(f"{path} could not be written: {error.strerror}") from error
        finally:
            os.umask(before)
            part.unlink(missing_ok=True)
        return int(self.read("count(*)")[0][0])

    def _relation(
        self, columns: str, condition: str, after: str = "", more: Mapping[str, Any] | None = None
    ) -> duckdb.DuckDBPyRelation:
        known = self.choice.parameters if condition != "false" else {}
        sql = f"select {columns} from read_parquet($paths, union_by_name=true) where {condition} {after}"  # noqa: S608
        try:
            return self._connection.sql(sql, params={"paths": self.paths, **known, **(more or {})})
        except duckdb.Error as error:
            raise self._not_read(error) from error

    def _listed(self, root: str) -> list[str]:
        """The files that may have such predictions, as DuckDB opens them."""
        try:
            found = sorted(each for each in self._files.find(root) if each.endswith(".parquet"))
        except Exception as error:  # each store has its own errors
            raise RecordsError(
                f"{self._address} cannot be listed ({_one_line(error)}); check the address and the credentials"
            ) from error
        start = len(root.rstrip("/")) + 1
        self.outcome_paths = self._as_opened(
            each for each in found if each[start:].startswith(f"{OUTCOMES}/")
        )
        found = [each for each in found if not each[start:].startswith(f"{OUTCOMES}/")]
        if not found:
            raise RecordsError(
                f"{self._address} has no recorded predictions; give the folder that PREDICTOR_RECORD_URI names "
                "for the service"
            )
        chosen = [each for each in found if self.choice.may_be_in(each[start:].split("/")[:-1])]
        return self._as_opened(chosen)

    def _as_opened(self, paths: Iterable[str]) -> list[str]:
        if isinstance(self._files, LocalFileSystem):
            return [*paths]
        return [self._files.unstrip_protocol(each) for each in paths]

    def _not_read(self, error: Exception) -> RecordsError:
        if isinstance(error, duckdb.ConversionException):
            return RecordsError(
                f"{self._address} has predictions that do not fit into one table ({_one_line(error)}); choose one "
                "model with --model, or one version with --version"
            )
        return RecordsError(f"{self._address} cannot be read: {_one_line(error)}")


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and its path there. Raises RecordsError."""
    options: dict[str, Any] = {}
    if address.startswith("s3:") and (endpoint := os.environ.get("MLFLOW_S3_ENDPOINT_URL")):
        options = {"client_kwargs": {"endpoint_url": endpoint}}
    try:
        files, root = fsspec.core.url_to_fs(address, **options)
    except (ImportError, ValueError) as error:  # no driver, or an unknown scheme
        raise RecordsError(
            f"{address} cannot be opened: {error}; the extras s3, gcs and azure have the drivers of stores"
        ) from error
    return files, str(root)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
