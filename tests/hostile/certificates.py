"""A certificate and its key, made for a test."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate of 127.0.0.1, and its key, as files."""

    certificate: Path
    key: Path
    encrypted_key: Path
    both: Path


def make(folder: Path) -> Pair:
    """A new pair, in files of this folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1)).add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    plain = _pem(key, serialization.NoEncryption())
    secret = _pem(key, serialization.BestAvailableEncryption(b"secret"))
    chain = certificate.public_bytes(serialization.Encoding.PEM)
    pair = Pair(*(folder / name for name in ("cert.pem", "key.pem", "secret.pem", "both.pem")))
    for path, content in zip(
        (pair.certificate, pair.key, pair.encrypted_key, pair.both),
        (chain, plain, secret, chain + plain),
        strict=True,
    ):
        path.write_bytes(content)
    return pair


def _pem(
    key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
