"""The writer: a process that turns closed files of the spool into Parquet. It ends after the service.

Killed at any moment, it loses nothing: a file of the spool is removed once its Parquet files are there, and written
again under the same names if that did not happen.
"""

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from predictor import logs
from predictor.log_events import (
    RECORDS_DELETED,
    RECORDS_NOT_DELETED,
    RECORDS_NOT_WRITTEN,
    RECORDS_RECOVERED,
    RECORDS_UNREADABLE,
    RECORDS_WRITTEN,
)
from predictor.recording.arguments import WriterArguments
from predictor.recording.frames import decode, whole_bytes
from predictor.recording.sink import Sink
from predictor.recording.spool import CLOSED, OPEN
from predictor.recording.tables import outcome_tables, tables

_LOOK_SECONDS = 0.5
_RETRY_SECONDS = (1.0, 60.0)  # after a failure: the first, and the longest, pause
_DELETE_SECONDS = 3600
_NICENESS = 5
_UNREADABLE = ".unreadable"


class Writer:
    """Empties one spool folder into a sink."""

    def __init__(self, spool: Path, sink: Sink, days: int) -> None:
        """Files older than `days` days are deleted from the sink; 0 keeps them."""
        self._spool = spool
        self._sink = sink
        self._days = days
        self._failures = 0
        self._deleted = -float(_DELETE_SECONDS)

    def write_all(self) -> float:
        """Write what is closed, or left by a killed process. Returns the seconds until the next call."""
        self._take_over()
        for path in sorted(self._spool.glob(f"*{CLOSED}")):
            try:
                self._write(path)
            except Exception as error:  # noqa: BLE001  each store raises its own
                return self._failed(error)
        self._failures = 0
        self._delete()
        return _LOOK_SECONDS

    def is_empty(self) -> bool:
        """Whether no file is left, also none that a living process appends to."""
        return not any(path.suffix in {OPEN, CLOSED} for path in self._spool.iterdir())

    def _take_over(self) -> None:
        """Close the files whose process was killed: nobody holds their lock."""
        for path in self._spool.glob(f"*{OPEN}"):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                content = file.read()
                whole = whole_bytes(content)
                os.truncate(path, whole)
                path.rename(path.with_suffix(CLOSED))
                RECORDS_RECOVERED.log(file=path.name, bytes=whole, lost_bytes=len(content) - whole)

    def _write(self, path: Path) -> None:
        content = path.read_bytes()
        rows = 0
        try:
            frames = [*decode(content)]
            found, outcomes = [*tables(frames)], [*outcome_tables(frames)]
        except (msgspec.DecodeError, ValueError, LookupError, TypeError) as error:
            _put_aside(path, str(error))
            return
        for number, (version, day, table) in enumerate(found):
            name = f"{path.stem}-{number}.parquet"
            self._sink.write(version.model_name, version.model_version, day, name, table)
            rows += len(table)
        for number, (day, table) in enumerate(outcomes):
            self._sink.write_outcomes(day, f"{path.stem}-{number}.parquet", table)
            rows += len(table)
        if (whole := whole_bytes(content)) == len(content):
            path.unlink()
        else:
            _put_aside(path, f"only its first {whole} of {len(content)} bytes make sense")
        RECORDS_WRITTEN.log(rows=rows)

    def _failed(self, error: Exception) -> float:
        RECORDS_NOT_WRITTEN.log(again=self._failures > 0, reason=f"{type(error).__name__}: {error}")
        self._failures += 1
        first, longest = _RETRY_SECONDS
        return float(min(longest, first * 2 ** min(self._failures - 1, 16)))

    def _delete(self) -> None:
        if self._days and time.monotonic() - self._deleted > _DELETE_SECONDS:
            self._deleted = time.monotonic()
            try:
                deleted = self._sink.delete_older_than(self._days)
            except Exception as error:  # noqa: BLE001  each store raises its own
                RECORDS_NOT_DELETED.log(reason=f"{type(error).__name__}: {error}")
            else:
                if deleted:
                    RECORDS_DELETED.log(days=deleted)


def _put_aside(path: Path, reason: str) -> None:
    path.rename(path.with_suffix(_UNREADABLE))
    RECORDS_UNREADABLE.log(file=path.name, reason=reason)


def main() -> int:
    """Write until the service closes stdin, then what is left; return the exit code."""
    ended = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the service decides
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    given = msgspec.json.decode(sys.stdin.buffer.readline(), type=WriterArguments)
    logs.set_up(given.log_level)
    os.nice(_NICENESS)  # requests are more urgent
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    folder = Path(given.spool)
    writer = Writer(folder, Sink(given.uri, folder, **given.options), given.days)
    with _alone(folder, ended) as alone:
        while alone and not ended.is_set():
            ended.wait(writer.write_all())
        deadline = time.monotonic() + given.shutdown_seconds
        while alone and not writer.is_empty() and time.monotonic() < deadline:
            time.sleep(min(writer.write_all(), 1))
    return 0


def _wait_for_end(ended: threading.Event) -> None:
    while os.read(0, 1024):  # not by sys.stdin, whose lock would be held at the end of the process
        pass
    ended.set()


@contextlib.contextmanager
def _alone(folder: Path, ended: threading.Event) -> Iterator[bool]:
    """Wait until no other process writes from this folder; False if the service ends before."""
    with (folder / "writer.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if ended.wait(_LOOK_SECONDS):
                    yield False
                    return
            else:
                break
        yield True


if __name__ == "__main__":
    sys.exit(main())
