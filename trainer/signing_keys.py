"""Signing keys: Ed25519 pairs in a folder, the private half encrypted with a passphrase.

NAME.pem is the private half (PKCS#8 in PEM), NAME.pub the public half (PEM). Both are standard files, so that
`openssl` reads them.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import typer
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from approvals.envelope import PublicKey, Signer
from approvals.errors import PublicKeyError
from trainer.errors import SigningKeyError
from trainer.options import default_keys_folder

PASSPHRASE = "TRAINER_PASSPHRASE"  # noqa: S105  the name of a variable
MIN_PASSPHRASE = 12
# A bare key of TOML, and the name of a file.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


class NamedSigner(Signer, Protocol):
    """A private key with the name of its owner."""

    @property
    def name(self) -> str:
        """The name, as in the file of approvers."""


@dataclass(frozen=True)
class FileSigner:
    """A private key that was read from a file."""

    name: str
    key: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> PublicKey:
        """Its public half."""
        return public_key_of(self.key.public_key())

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, 64 bytes."""
        return self.key.sign(content)


@dataclass(frozen=True)
class KeyFolder:
    """A folder of key pairs. Every method raises SigningKeyError."""

    path: Path

    def create(self, name: str, passphrase: str) -> PublicKey:
        """Make a key pair; return the public half. Nothing is overwritten."""
        check_name(name)
        if len(passphrase) < MIN_PASSPHRASE:
            raise SigningKeyError(
                f"the passphrase has {len(passphrase)} characters; take at least {MIN_PASSPHRASE}, "
                "such as four random words"
            )
        key = Ed25519PrivateKey.generate()
        encryption = BestAvailableEncryption(passphrase.encode())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        private_file, public_file = (self.path / f"{name}.{each}" for each in ("pem", "pub"))
        for file in (private_file, public_file):
            if os.path.lexists(file):
                raise _exists(file)
        _write_new(private_file, private, 0o600)
        _write_new(public_file, public, 0o644)
        return public_key_of(key.public_key())

    def public_keys(self) -> Mapping[str, PublicKey]:
        """The public halves by name, in alphabetical order."""
        return {path.stem: _read_public(path) for path in sorted(self.path.glob("*.pub"))}

    def private_key(self, key: str | None) -> Path:
        """The file of a private key: `key` is a name or a path; None chooses the only key of the folder."""
        if key is None:
            found = sorted(self.path.glob("*.pem"))
            if len(found) == 1:
                return found[0]
            names = ", ".join(path.stem for path in found)
            problem = f"has the keys {names}: choose one with --key" if found else "has no key"
            raise SigningKeyError(
                f"{self.path} {problem}; `python -m trainer keys new NAME` makes one"
            )
        path = Path(key) if "/" in key or key.endswith(".pem") else self.path / f"{key}.pem"
        if not path.exists():
            raise SigningKeyError(
                f"there is no key {path}; `python -m trainer keys list` lists the keys, "
                "`python -m trainer keys new NAME` makes one"
            )
        return path


def open_key(key: str | None, passphrase_file: Path | None) -> NamedSigner:
    """Read and decrypt a private key: a name in the user's folder, or a path. Raises SigningKeyError.

    None chooses the only key of the folder. `pkcs11:…` names a key of a device, whose PIN is the passphrase.
    """
    if key is not None and key.startswith("pkcs11:"):
        from trainer.pkcs11_keys import open_device_key  # an extra

        return open_device_key(key, passphrase_file)
    path = KeyFolder(default_keys_folder()).private_key(key)
    name = check_name(path.stem)
    content = _read(path)
    if b"ENCRYPTED" not in content:
        raise SigningKeyError(
            f"{path} is not an encrypted key in PEM; encrypt it with `openssl pkcs8 -topk8 -in {path}`"
        )
    passphrase = read_passphrase(name, passphrase_file)
    try:
        read = load_pem_private_key(content, passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningKeyError(
            f"{path} cannot be decrypted: the passphrase is wrong, or the file is damaged"
        ) from None
    if not isinstance(read, Ed25519PrivateKey):
        raise SigningKeyError(f"{path} is not an Ed25519 key; `python -m trainer keys new NAME`")
    return FileSigner(name, read)


def own_keys() -> Mapping[str, tuple[PublicKey, ...]]:
    """The public keys of the user's folder by name, in the form of a file of approvers. Raises SigningKeyError."""
    return {name: (key,) for name, key in KeyFolder(default_keys_folder()).public_keys().items()}


def read_passphrase(name: str, file: Path | None, *, new: bool = False) -> str:
    """The passphrase of a key: the first line of a file, TRAINER_PASSPHRASE, or typed by the user.

    A `new` one is typed twice. Raises SigningKeyError.
    """
    if file is not None:
        return _read(file).decode(errors="replace").partition("\n")[0].rstrip("\r")
    if found := os.environ.get(PASSPHRASE):
        return found
    if not sys.stdin.isatty():
        raise SigningKeyError(
            f"the key {name} needs its passphrase, and there is no terminal to type it; "
            f"give --passphrase-file FILE, or set {PASSPHRASE}"
        )
    prompt = f"Passphrase for the key {name}"
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=new, err=True))


def check_name(name: str) -> str:
    """Return the name of a key. Raises SigningKeyError if it cannot stand in a file of approvers."""
    if not _NAME.fullmatch(name):
        raise SigningKeyError(
            f"{name[:70]!r} cannot be the name of a key: take up to 64 letters, digits, - and _"
        )
    return name


def approvers_line(name: str, key: PublicKey) -> str:
    """The line of a public key in a file of approvers."""
    return f'{name} = "{key.text}"'


def public_key_of(key: Ed25519PublicKey) -> PublicKey:
    """A public key as this project has it."""
    return PublicKey(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _read_public(path: Path) -> PublicKey:
    try:
        return PublicKey.read(_read(path).decode(errors="replace"))
    except PublicKeyError as error:
        raise SigningKeyError(f"{path} is {error}; remove the file, or restore it") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SigningKeyError(f"{path} cannot be read: {error.strerror}") from None


def _exists(path: Path) -> SigningKeyError:
    return SigningKeyError(
        f"{path} exists already, and a key is never overwritten; choose another name, or remove "
        "the file if no approval depends on it"
    )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise SigningKeyError(f"{path} cannot be written: {error.strerror}") from None
