"""Keys in a device or a token (PKCS#11), which signs and never gives its private key away.

A key is named by a URI of RFC 7512: `pkcs11:token=ward;object=alice?module-path=/usr/lib/softhsm/libsofthsm2.so`.
The object's label is the person's name.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pkcs11
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import NoSuchKey, PKCS11Error
from pkcs11.util.ec import encode_named_curve_parameters

from approvals.envelope import PublicKey
from trainer.errors import SigningKeyError
from trainer.signing_keys import check_name, public_key_of, read_passphrase

MODULE = "PKCS11_MODULE"
_ED25519 = "1.3.101.112"  # RFC 8410
_RAW_BYTES = 32


@dataclass(frozen=True)
class KeyUri:
    """A key of a token: the token's label, the object's label, and the path of the device's library."""

    token: str
    name: str
    module: str

    @classmethod
    def parse(cls, text: str, name: str = "") -> "KeyUri":
        """Read a URI; `name` is the object where the URI has none. Raises SigningKeyError."""
        path, _, query = text.removeprefix("pkcs11:").partition("?")
        parts = [*path.split(";"), *query.split("&")]
        known = {each.partition("=")[0]: unquote(each.partition("=")[2]) for each in parts if each}
        token, label = known.pop("token", ""), known.pop("object", name)
        module = known.pop("module-path", os.environ.get(MODULE, ""))
        if not text.startswith("pkcs11:") or not token or not label or not module or known:
            raise SigningKeyError(
                f"{text!r} does not name a key; give pkcs11:token=LABEL;object=NAME?module-path=LIBRARY "
                f"and nothing else; {MODULE} can have the path of the library"
            )
        return cls(token, check_name(label), module)


@dataclass(frozen=True)
class DeviceSigner:
    """A private key in a device, in a session that ends with the process."""

    name: str
    public_key: PublicKey
    key: Any = field(repr=False)

    def sign(self, content: bytes) -> bytes:
        """The signature of `content`, 64 bytes. Raises SigningKeyError."""
        with _device_errors(self.name):
            return bytes(self.key.sign(content, mechanism=Mechanism.EDDSA))


def open_device_key(text: str, pin_file: Path | None) -> DeviceSigner:
    """Sign in to a token with its PIN, and find a key. Raises SigningKeyError."""
    uri = KeyUri.parse(text)
    session = _session(uri, pin_file, writes=False)
    with _device_errors(uri.name):
        public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=uri.name)
        private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=uri.name)
        return DeviceSigner(uri.name, _public(public, uri.name), private)


def create_device_key(name: str, text: str, pin_file: Path | None) -> PublicKey:
    """Make a key pair in a token, which never leaves it. Raises SigningKeyError if the name is taken."""
    uri = KeyUri.parse(text, name)
    if uri.name != name:
        raise SigningKeyError(f"the URI names the object {uri.name}, the command {name}")
    session = _session(uri, pin_file, writes=True)
    with _device_errors(uri.name):
        try:
            session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=uri.name)
        except NoSuchKey:
            curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(_ED25519)}
            parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
            mechanism = Mechanism.EC_EDWARDS_KEY_PAIR_GEN
            public, _ = parameters.generate_keypair(mechanism=mechanism, store=True, label=uri.name)
            return _public(public, uri.name)
    raise SigningKeyError(
        f"the token {uri.token} has a key {uri.name} already, and a key is never overwritten; "
        "`python -m trainer keys list --pkcs11 URI` prints its line"
    )


def _session(uri: KeyUri, pin_file: Path | None, *, writes: bool) -> Any:
    pin = read_passphrase(uri.name, pin_file)
    with _device_errors(uri.name):
        token = pkcs11.lib(uri.module).get_token(token_label=uri.token)
        return token.open(rw=writes, user_pin=pin)


def _public(key: Any, name: str) -> PublicKey:
    """The public half of a key in a device: its point is 32 bytes, in DER or without."""
    raw = bytes(key[Attribute.EC_POINT])
    if key[Attribute.KEY_TYPE] != KeyType.EC_EDWARDS or len(raw) not in {
        _RAW_BYTES,
        _RAW_BYTES + 2,
    }:
        raise SigningKeyError(f"the key {name} of the token is not an Ed25519 key; make another")
    return public_key_of(Ed25519PublicKey.from_public_bytes(raw[-_RAW_BYTES:]))


@contextmanager
def _device_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (PKCS11Error, RuntimeError, OSError) as error:
        name_of_error = type(error).__name__
        detail = name_of_error if isinstance(error, PKCS11Error) else f"{name_of_error}: {error}"
        raise SigningKeyError(
            f"the token cannot use the key {name} ({detail}); check the PIN, the labels in the URI and "
            "the path of the library, and that the device is connected"
        ) from error
