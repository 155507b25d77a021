"""API keys: files with one `name:sha256-hex-of-the-key` a line. `python -m predictor.keys NAME` makes a key."""

import argparse
import asyncio
import errno
import hashlib
import hmac
import os
import re
import secrets
import stat
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

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
        reading = self._reading
        done, _ = await asyncio.wait({reading}, timeout=_READ_SECONDS)
        if not done:
            raise TimeoutError(errno.ETIMEDOUT, f"not read within {_READ_SECONDS} seconds")
        if self._reading is reading:  # several calls may have waited for it
            self._reading = None
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


_MAX_BYTES = 1 << 20


def read_keys(path: Path) -> Keys:
    """The keys of a file. Raises KeysError for a file that cannot be used."""
    try:
        return Keys.read(read_small_file(path, _MAX_BYTES))
    except OSError as error:
        raise KeysError(f"{path}: {error.strerror}") from None


def append_line(path: Path, line: str) -> None:
    """Append a line to a key file; a new file is readable by its owner only.

    Raises KeysError, and changes nothing, if the file would be wrong with this line.
    """
    try:
        content = read_small_file(path, _MAX_BYTES) if path.exists() else b""
        # The last line may lack its line break.
        start = b"" if not content or content.endswith(b"\n") else b"\n"
        addition = start + line.encode() + b"\n"
        Keys.read(content + addition)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(addition)
    except KeysError as error:
        raise KeysError(f"{path}: {error}; nothing was appended") from None
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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; usage: {self.usage}\n")


def main(arguments: Sequence[str], program: str = "python -m predictor.keys") -> int:
    """Write a new key to stderr, and its line to stdout or to the end of a key file; return the exit code.

    stderr is the terminal even if stdout is redirected: `>> api_keys` must not store the key itself.
    """
    parser = _Parser(
        prog=program, usage=f"{program} NAME [--append FILE]", allow_abbrev=False,
        description="Make an API key: the key goes to stderr, its line for the key file to stdout.",
    )  # fmt: skip
    parser.add_argument("name", metavar="NAME", help="name of the key, for the log")
    parser.add_argument(
        "--append", metavar="FILE", type=Path, help="append the line to this key file"
    )
    options = parser.parse_args(arguments)
    key = secrets.token_urlsafe(_KEY_BYTES)
    try:
        line = line_of(options.name, key)
        if options.append is not None:
            append_line(options.append, line)
    except KeysError as error:
        sys.stderr.write(f"{program}: {error}\n")
        return 2
    if options.append is None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    sys.stderr.write(f"{key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
