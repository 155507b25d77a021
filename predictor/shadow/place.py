"""Where the process of the shadow listens: a Unix socket in the folder of the cache, which only this user may use."""

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from predictor.registry.cache import check_own, make_folder
from predictor.settings import Settings

_MAX_PATH = 100  # bytes; the kernel's limit is 104 or 108
_ABANDONED_SECONDS = 86_400.0


def socket_path(settings: Settings, since: float) -> Path:
    """The socket of one service. All its workers have the same `since`, and no other service has it."""
    name = hashlib.sha256(repr(since).encode()).hexdigest()[:16]
    return settings.cache_dir / "shadow" / f"{name}.sock"


def listen(path: Path) -> socket.socket:
    """Listen there; remove what killed processes left a day ago. Raises OSError."""
    make_folder(path.parent)
    check_own(path.parent)
    for other in path.parent.glob("*.sock"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - other.lstat().st_mtime > _ABANDONED_SECONDS:
                other.unlink()
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    before = os.umask(0o177)
    try:
        with _short(path) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Where to connect to. Raises OSError if another user could listen there."""
    check_own(path.parent)
    with _short(path) as found:
        yield found


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """The address of a socket, also for a path that is longer than addresses may be (on Linux)."""
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
