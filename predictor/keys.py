"""Keys: who may ask, as a file says: one `name:sha256-hex-of-the-key` a line. `python -m predictor.keys NAME` makes one.

A key is 256 bits from the system's source of randomness, so a plain SHA-256 is all the hashing it needs:
nobody can try 2**256 keys, however fast the hash. A slow hash (bcrypt, argon2) is for what people make
up and remember; here it would only let a flood of wrong keys take the processor. For the same reason
the digests need no salt. Whoever reads the file cannot use what it says.

Lines that are empty or begin with `#` are left out. Two lines may have one name, for as long as a new
key takes the place of an old one.
"""

import hashlib
import hmac
import re
import secrets
import sys
from dataclasses import dataclass

from predictor.errors import KeysError

_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._@-]{0,63}):([0-9a-f]{64})")
_NAME = re.compile(_LINE.pattern.partition(":")[0])
_KEY_BYTES = 32
_NOTHING = hashlib.sha256(b"").digest()
_MOST = 1000  # keys: each is looked at for each request that has to be checked


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
        if len(digests) > _MOST:
            raise KeysError(f"holds more than {_MOST} keys")
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


if __name__ == "__main__":
    sys.exit(main())
