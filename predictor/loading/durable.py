"""Files that are there whole or not at all, also after a crash: written beside, synced, renamed."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step. Raises OSError and leaves what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_and_sync(file.fileno(), content)
        Path(beside).replace(path)
    except OSError:
        Path(beside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_folder(place: Path, contents: Mapping[str, bytes]) -> None:
    """Put a folder with these files, by relative path, at `place` in one step.

    A folder that another process put there meanwhile is left: places are named by content. Raises
    OSError and leaves nothing.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".writing-", dir=place.parent))
    try:
        for path, content in contents.items():
            _write_new(beside / path, content)
        for folder in {(beside / path).parent for path in contents}:
            _sync_folder(folder)
        try:
            beside.rename(place)
        except OSError:
            if not place.exists():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)  # gone already where it was renamed
    _sync_folder(place.parent)


def remove(place: Path) -> None:
    """Take a file or a folder away in one step, before what it holds is removed. Raises OSError.

    One that another process is removing too is none of ours.
    """
    beside = Path(tempfile.mkdtemp(prefix=".writing-", dir=place.parent))
    with contextlib.suppress(FileNotFoundError):
        place.rename(beside / place.name)
    shutil.rmtree(beside, ignore_errors=True)


def _write_new(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        _write_and_sync(file.fileno(), content)


def _write_and_sync(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
