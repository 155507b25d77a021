"""A nats-server whose users sign in with JWTs: operator, accounts and users, as `nsc` makes them.

https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED, OPERATOR, ACCOUNT, USER = 18 << 3, 14 << 3, 0, 20 << 3
_ALL = dict.fromkeys(("subs", "data", "payload"), -1)
_LIMITS = _ALL | dict.fromkeys(
    ("imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"), -1
)


def _text(content: bytes) -> str:
    """A key as NATS writes it: with a CRC-16, in Base32."""
    checked = content + binascii.crc_hqx(content, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _base64(content: object) -> str:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@dataclass(frozen=True)
class Key:
    """A key pair of an operator, an account or a user."""

    kind: int
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> str:
        return _text(bytes([self.kind]) + self.private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        head = bytes([SEED | self.kind >> 5, (self.kind & 31) << 3])
        return _text(head + self.private.private_bytes_raw())

    def signed(self, subject: "Key", **claims: Any) -> str:
        """A JWT about another key."""
        body = {"jti": "1", "iat": 1, "iss": self.public, "sub": subject.public, "name": "a-name"}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**body, "nats": {**claims, "version": 2}}]
        text = ".".join(_base64(each) for each in parts)
        return f"{text}.{_base64(self.private.sign(text.encode()))}"


def credentials(account: Key, **permissions: Any) -> str:
    """The content of a `.creds` file for a new user of an account."""
    user = Key(USER)
    claims = {"pub": {}, "sub": {}, **_ALL, **permissions, "type": "user"}
    return (
        f"-----BEGIN NATS USER JWT-----\n{account.signed(user, **claims)}\n"
        "------END NATS USER JWT------\n\n*** IMPORTANT: keep the seed secret ***\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )


def configured(folder: Path) -> tuple[Path, Key]:
    """The configuration of a server with one account for users; and that account."""
    operator, system, account = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT)
    limits = {**_LIMITS, "wildcards": True}
    jwts = {
        each.public: operator.signed(each, limits=limits if each is account else {}, type="account")
        for each in (system, account)
    }
    preload = "\n".join(f"{name}: {jwt}" for name, jwt in jwts.items())
    file = folder / "nats.conf"
    file.write_text(
        f"operator: {operator.signed(operator, type='operator')}\nsystem_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n"
    )
    return file, account
