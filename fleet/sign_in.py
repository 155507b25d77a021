"""Credentials for NATS, as a file has them: `USER:PASSWORD`, a token, or a JWT and its key (`.creds`)."""

import base64
import binascii
import re
from typing import Any

MAX_BYTES = 16_384
"""A file of credentials is at most as large as this; a JWT contains its user's permissions."""
_BLOCK = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END \1-{3,}")
_JWT, _SEED = "NATS USER JWT", "USER NKEY SEED"
# https://github.com/nats-io/nkeys: type S and U, 32 bytes of the key, CRC-16 (little-endian), in Base32.
_SEED_TYPE = b"\x95\x00"
_SEED_BYTES = 36


def options(content: bytes) -> dict[str, Any]:
    """The arguments of nats-py's `connect` for these credentials.

    Raises ValueError, whose text quotes nothing of the content.
    """
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        text = ""
    if f"BEGIN {_JWT}" in text:
        return _by_jwt(text)
    if not text or len(text.splitlines()) != 1:
        raise ValueError("expected one line, USER:PASSWORD or a token, or a .creds file")
    user, colon, password = text.partition(":")
    return {"user": user, "password": password} if colon else {"token": user}


def _by_jwt(text: str) -> dict[str, Any]:
    # An extra, and slow to import.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    blocks = dict(_BLOCK.findall(text))
    if blocks.keys() != {_JWT, _SEED}:
        raise ValueError(f"a .creds file has one block {_JWT!r} and one {_SEED!r}")
    jwt = blocks[_JWT].encode()
    key = Ed25519PrivateKey.from_private_bytes(_private_bytes(blocks[_SEED]))
    # The server sends a nonce; nats-py sends its signature and the JWT.
    return {
        "user_jwt_cb": lambda: jwt,
        "signature_cb": lambda nonce: base64.b64encode(key.sign(nonce.encode())),
    }


def _private_bytes(seed: str) -> bytes:
    try:
        found = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        found = b""
    content, checksum = found[:-2], int.from_bytes(found[-2:], "little")
    if (
        len(found) != _SEED_BYTES
        or not content.startswith(_SEED_TYPE)
        or binascii.crc_hqx(content, 0) != checksum
    ):
        raise ValueError("the seed of the .creds file is not that of a user's key")
    return content.removeprefix(_SEED_TYPE)
