"""Files that are there whole or not at all, also after a crash: written beside, synced, renamed.

Folders are made for their owner alone, and no link is followed out of one.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step. Raises OSError and leaves what was there."""
    make_folder(path.parent)
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
    make_folder(place.parent)
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


def make_folder(folder: Path) -> None:
    """Have a folder, with those above it. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with contextlib.suppress(FileExistsError):  # made by another process meanwhile
            folder.mkdir(mode=0o700)


def check_own(folder: Path) -> None:
    """Raise OSError unless a folder is this user's, nobody else may write to it, and it is no link.

    One that is not there yet is all right.
    """
    try:
        found = folder.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "not a folder, or a link to one", str(folder))
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "the folder belongs to another user", str(folder))
    if found.st_mode & 0o022:
        reason = "others may write to the folder; empty it, then `chmod go-w`"
        raise PermissionError(errno.EPERM, reason, str(folder))


def read_file(path: Path) -> bytes:
    """What a regular file holds. Raises OSError, also for a link."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read()


def _write_new(path: Path, content: bytes) -> None:
    make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
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
