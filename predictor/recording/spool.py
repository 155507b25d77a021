"""Spool: files in a folder, to which this process appends frames until the writer has turned them into Parquet."""

import fcntl
import hashlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

from predictor.log_events import RECORDS_NOT_CLOSED
from predictor.recording.frames import VersionFrame, encode
from predictor.settings import Settings

OPEN, CLOSED = ".open", ".spool"
_NEW = ".new"
_FILE_BYTES = 8 << 20  # a larger file is closed
_LOOK_SECONDS = 0.2  # between two looks whether the writer has removed a file


def spool_folder(settings: Settings) -> Path:
    """The folder of one sink, which all services that record there may share."""
    name = hashlib.sha256(settings.record_uri.encode()).hexdigest()[:16]
    return (settings.record_spool_dir or settings.cache_dir / "records") / name


class SpoolFull(Exception):
    """The files of this process have the maximum size, or the disk is full."""


class Spool:
    """The files of one process: one is open, and closed ones wait for the writer. Use it under a lock.

    An open file has an exclusive lock (`flock`), which ends with the process: the writer takes over what a killed
    process left.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """`max_bytes` is the limit of all files of this process. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._numbers = itertools.count()
        self._descriptor: int | None = None
        self._path = folder
        self._size = 0
        self._opened = 0.0
        self._versions: dict[object, int] = {}
        self.file = 0
        """The number of the open file, or of the last one."""
        self.frames = 0
        """How many frames the open file has."""
        self._closed: dict[Path, tuple[int, float]] = {}  # size in bytes, and when it was closed
        self._looked = 0.0

    @property
    def bytes_waiting(self) -> int:
        """The size of all files that are not written as Parquet yet."""
        return self._size + sum(size for size, _ in self._closed.values())

    @property
    def seconds_waiting(self) -> float:
        """How long the oldest closed file has waited for the writer."""
        return max((time.monotonic() - closed for _, closed in self._closed.values()), default=0.0)

    def look(self) -> None:
        """Forget the files that the writer has removed."""
        self._closed = {path: each for path, each in self._closed.items() if os.path.lexists(path)}

    def version(self, key: object, describe: Callable[[], VersionFrame]) -> int:
        """The number of a version in the open file; the first use appends its description. Raises as `append`."""
        self.close_if_large()
        if key not in self._versions:
            self.append(encode(describe()))
            self._versions[key] = len(self._versions)
        return self._versions[key]

    def close_if_large(self) -> None:
        """Close the open file if it is so large that the next frame should go to another."""
        if self._size >= _FILE_BYTES:
            self.close()

    def append(self, frame: bytes) -> None:
        """Append a frame, whole or not at all. Raises SpoolFull or OSError."""
        if self.bytes_waiting + len(frame) > self._max_bytes:
            self._look_soon()
            if self.bytes_waiting + len(frame) > self._max_bytes:
                raise SpoolFull
        descriptor = self._open()
        try:
            written = os.write(descriptor, frame)
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        if written < len(frame):  # the disk is full
            os.ftruncate(descriptor, self._size)
            raise SpoolFull
        self._size += written
        self.frames += 1

    def close_after(self, seconds: float) -> None:
        """Close the open file if it is that old."""
        if self._descriptor is not None and time.monotonic() - self._opened >= seconds:
            self.close()

    def close(self) -> None:
        """Close the open file, so that the writer takes it."""
        if self._descriptor is None:
            return
        closed = self._path.with_suffix(CLOSED)
        try:
            self._path.rename(closed)
        except OSError as error:
            # If it is still there, the writer takes it over once it has no lock.
            RECORDS_NOT_CLOSED.log(file=self._path.name, bytes=self._size, reason=str(error))
        else:
            self._closed[closed] = (self._size, time.monotonic())
        os.close(self._descriptor)
        self._descriptor, self._size, self._versions = None, 0, {}
        self.frames = 0

    def _open(self) -> int:
        if self._descriptor is None:
            # Unique for all processes that share the folder, and in order of time.
            name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}"
            new, self._path = self._folder / f"{name}{_NEW}", self._folder / f"{name}{OPEN}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(new, flags, 0o600)
            # Before it has its name, so that the writer does not find it without a lock.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            new.rename(self._path)
            self._descriptor, self._opened = descriptor, time.monotonic()
            self.file += 1
        return self._descriptor

    def _look_soon(self) -> None:
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            self.look()
