"""Signed envelopes: DSSE (https://github.com/secure-systems-lab/dsse) with Ed25519 signatures (RFC 8032).

The content is an in-toto statement (https://in-toto.io/Statement/v1), which sigstore's tools read.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from approvals.errors import EnvelopeError, PublicKeyError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_CHARACTERS = 60_000  # MySQL keeps 65,535 bytes of a tag
_MAX_SIGNATURES = 10


@dataclass(frozen=True)
class PublicKey:
    """An Ed25519 public key. Two are equal if their keys are."""

    der: bytes
    """SubjectPublicKeyInfo in DER (RFC 8410), 44 bytes."""

    @classmethod
    def read(cls, text: str) -> "PublicKey":
        """Read a key in PEM, or the Base64 between the two lines of PEM. Raises PublicKeyError."""
        lines = (line.strip() for line in text.strip().splitlines())
        body = "".join(line for line in lines if not line.startswith("-----"))
        try:
            key = load_der_public_key(base64.b64decode(body, validate=True))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise PublicKeyError("not a public key in PEM or Base64") from error
        if not isinstance(key, Ed25519PublicKey):
            raise PublicKeyError("not an Ed25519 key")
        return cls(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    @property
    def text(self) -> str:
        """The key in Base64, on one line."""
        return base64.b64encode(self.der).decode()

    @property
    def key_id(self) -> str:
        """SHA-256 of the DER bytes, in hex, as sigstore's tools name a key."""
        return hashlib.sha256(self.der).hexdigest()

    def has_signed(self, content: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's signature of `content`."""
        key = load_der_public_key(self.der)
        assert isinstance(key, Ed25519PublicKey)  # noqa: S101  `read` checked it
        try:
            key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


class Signer(Protocol):
    """A private key, in a file or in a device."""

    @property
    def public_key(self) -> PublicKey:
        """Its public half."""

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, 64 bytes."""


@dataclass(frozen=True)
class Envelope:
    """A payload with its signatures. Nothing of it is trusted before `signed_by` names a known key."""

    payload: bytes
    signatures: tuple[bytes, ...]

    @classmethod
    def read(cls, text: str) -> "Envelope":
        """Read an envelope in JSON. Raises EnvelopeError."""
        if len(text) > MAX_CHARACTERS:
            raise EnvelopeError(f"longer than {MAX_CHARACTERS:,} characters")
        try:
            read = json.loads(text)
            if read["payloadType"] != PAYLOAD_TYPE:
                raise EnvelopeError(f"its payloadType is not {PAYLOAD_TYPE}")
            signatures = read["signatures"][: _MAX_SIGNATURES + 1]
            found = tuple(_decode(each["sig"]) for each in signatures)
            payload = _decode(read["payload"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise EnvelopeError("not a DSSE envelope in JSON") from error
        if not 1 <= len(found) <= _MAX_SIGNATURES:
            raise EnvelopeError(f"it has no signature, or more than {_MAX_SIGNATURES}")
        return cls(payload, found)

    def signed_by(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """Those of `keys` that have signed this payload."""
        content = pre_authentication_encoding(self.payload)
        return tuple(
            key for key in keys if any(key.has_signed(content, each) for each in self.signatures)
        )


def seal(payload: bytes, signer: Signer) -> str:
    """Sign a payload; return the envelope in JSON."""
    signature = signer.sign(pre_authentication_encoding(payload))
    return json.dumps(
        {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [
                {
                    "keyid": signer.public_key.key_id,
                    "sig": base64.b64encode(signature).decode(),
                }
            ],
        },
        separators=(",", ":"),
    )


def pre_authentication_encoding(payload: bytes) -> bytes:
    """What is signed: DSSE's encoding of the payload's type and content."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _decode(text: Any) -> bytes:
    """Standard or URL-safe Base64, as DSSE allows."""
    return base64.b64decode(str(text).translate(str.maketrans("-_", "+/")), validate=True)
