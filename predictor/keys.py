"""API keys, as a file says: one `name:sha256-hex-of-the-key` a line. `python -m predictor.keys NAME` makes one."""

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
    # O_NONBLOCK: a pipe must not make us wait for its writer; it is refused.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"larger than {max_bytes} bytes")
    return content


class SmallFile:
    """A regular file of at most `max_bytes`, which is read again and again."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._reading: asyncio.Future[bytes] | None = None
        # A pool of its own: access must not depend on the work that holds the threads of a shared pool.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="small-file")

    def read(self) -> bytes:
        """The content now. Raises OSError."""
        return read_small_file(self.path, self._max_bytes)

    async def latest(self) -> bytes:
        """As `read`, in a thread: a folder on the network may hang. Raises OSError.

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
_NOTHING = hashlib.sha256(b"").digest()
_MAX_KEYS = 1000  # each is compared for each request that has to be checked


@dataclass(frozen=True)
class Keys:
    """Some keys: the name and the digest (32 bytes) of each."""

    digests: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, content: bytes) -> "Keys":
        """The keys of a file. Raises KeysError where any line is wrong, or there is no key at all."""
        try:
            lines = content.decode("ascii").splitlines()
        except UnicodeDecodeError:
            raise KeysError("not a text of `name:sha256` lines") from None
        digests = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            found = _LINE.fullmatch(text)
            if found is None:  # the line is not repeated: it may be a key
                raise KeysError(f"line {number} is not `name:sha256-of-the-key`")
            digest = bytes.fromhex(found[2])
            if digest == _NOTHING:  # a script that hashed a variable that was not set
                raise KeysError(f"line {number} is the digest of a key without a character")
            digests.append((found[1], digest))
        if not digests:
            raise KeysError("holds no key")
        if len(digests) > _MAX_KEYS:
            raise KeysError(f"holds more than {_MAX_KEYS} keys")
        return cls(tuple(digests))

    def owner(self, key: bytes) -> str | None:
        """The name of a key; None where it is none of these.

        Takes as long for a key that is right as for any other of its length: every digest is looked
        at, each by `hmac.compare_digest`.
        """
        digest = hashlib.sha256(key).digest()
        owner = None
        for name, known in self.digests:
            if hmac.compare_digest(digest, known):
                owner = name
        return owner


def line_of(name: str, key: str) -> str:
    """The line of a file that lets this key in. Raises KeysError for a name that no line can have."""
    if not _NAME.fullmatch(name):
        raise KeysError(f"{name!r} is no name for a key: up to 64 letters, digits and `._@-`")
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}"


def main() -> int:
    """Print a new key, for its owner, and on the next line its line of the file; return the exit code."""
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

    async def look(self) -> bool:
        """Read the file again; return whether the keys changed. Raises KeysError; the previous keys stay valid.

        The content is compared, and not its time: a change within one tick of the file system's
        clock is seen, too.
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
