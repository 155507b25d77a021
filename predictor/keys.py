"""API keys: files with one `name:sha256-hex-of-the-key` a line. `python -m predictor.keys NAME` makes a key."""

import asyncio
import errno
import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from predictor.errors import KeysError

_READ_SECONDS = 0.5


def read_small_file(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file. Raises OSError, with `strerror`, also for a larger file."""
    # O_NONBLOCK: opening a pipe must not wait for its writer. The next line refuses it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes")
    return content


class SmallFile:
    """A regular file of at most `max_bytes` that is read repeatedly."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._reading: asyncio.Future[bytes] | None = None
        # Its own thread: in a shared pool, a reload would wait for other work.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="small-file")

    def read(self) -> bytes:
        """The content now. Raises OSError."""
        return read_small_file(self.path, self._max_bytes)

    async def latest(self) -> bytes:
        """The content now, read in a thread because a network folder may hang. Raises OSError.

        While a read hangs, each call raises TimeoutError; no call starts a second thread.
        """
        if self._reading is None:
            loop = asyncio.get_running_loop()
            self._reading = loop.run_in_executor(self._thread, self.read)
        done, _ = await asyncio.wait({self._reading}, timeout=_READ_SECONDS)
        if not done:
            raise TimeoutError(errno.ETIMEDOUT, f"not read within {_READ_SECONDS} seconds")
        reading, self._reading = self._reading, None
        return reading.result()


_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@-]{0,63}):([0-9a-f]{64})")
_NAME = re.compile(_LINE.pattern.partition(":")[0])
_KEY_BYTES = 32
_EMPTY_KEY = hashlib.sha256(b"").digest()
_MAX_KEYS = 1000  # every request is compared with each of them


@dataclass(frozen=True)
class Keys:
    """The name and the digest (32 bytes) of each key of a file."""

    digests: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, content: bytes) -> "Keys":
        """Parse a file's content. Raises KeysError if any line is wrong or there is no key."""
        try:
            lines = content.decode("ascii").splitlines()
        except UnicodeDecodeError:
            raise KeysError("not an ASCII text of `name:sha256` lines") from None
        digests = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            found = _LINE.fullmatch(text)
            if found is None:  # the error does not quote the line: it may be a key
                raise KeysError(f"line {number} is not `name:sha256-of-the-key`")
            digest = bytes.fromhex(found[2])
            if digest == _EMPTY_KEY:  # from a script that hashed an unset variable
                raise KeysError(f"line {number} is the digest of an empty key")
            digests.append((found[1], digest))
        if not digests:
            raise KeysError("contains no key")
        if len(digests) > _MAX_KEYS:
            raise KeysError(f"contains more than {_MAX_KEYS} keys")
        return cls(tuple(digests))

    def owner(self, key: bytes) -> str | None:
        """The name of a key; None for an unknown key.

        The time does not depend on whether the key is valid: every digest is compared, in constant time.
        """
        digest = hashlib.sha256(key).digest()
        owner = None
        for name, known in self.digests:
            if hmac.compare_digest(digest, known):
                owner = name
        return owner


def line_of(name: str, key: str) -> str:
    """The line of a key file for this key. Raises KeysError for an invalid name."""
    if not _NAME.fullmatch(name):
        raise KeysError(f"{name!r} is not a valid name: use up to 64 letters, digits and `._@-`")
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def main() -> int:
    """Print a new key, then its line for the key file; return the exit code."""
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.stderr.write("usage: python -m predictor.keys NAME\n")
        return 2
    key = secrets.token_urlsafe(_KEY_BYTES)
    try:
        line = line_of(sys.argv[1], key)
    except KeysError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{key}\n{line}\n")
    return 0


_MAX_BYTES = 1 << 20


def read_keys(path: Path) -> Keys:
    """The keys of a file. Raises KeysError for a file that cannot be used."""
    try:
        return Keys.read(read_small_file(path, _MAX_BYTES))
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None


class KeyFile:
    """A key file that is read again while the service runs. After a failed read, the previous keys stay valid."""

    def __init__(self, path: Path) -> None:
        """Raises KeysError for a file that cannot be used."""
        self._file = SmallFile(path, _MAX_BYTES)
        self._content: bytes | None = None
        self.keys = read_keys(path)

    async def reload(self) -> bool:
        """Read the file again; return whether the keys changed. Raises KeysError; the previous keys stay valid.

        Compares the content, not the time of the last change: two changes may have the same time.
        """
        try:
            content = await self._file.latest()
        except OSError as error:
            raise KeysError(f"{self._file.path}: {error.strerror}") from None
        if content == self._content:
            return False
        keys = Keys.read(content)
        changed = keys != self.keys
        self.keys, self._content = keys, content
        return changed


if __name__ == "__main__":
    sys.exit(main())
