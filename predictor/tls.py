"""TLS certificates: for serving HTTPS, and for connections to the registry."""

import os
import ssl
from pathlib import Path

import certifi

from predictor.errors import SettingsError
from predictor.settings import Settings


def check_tls(settings: Settings) -> None:
    """Raise SettingsError if the certificate or its key cannot be used."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None:
        if key is not None:
            raise SettingsError("PREDICTOR_TLS_KEY is set, but not PREDICTOR_TLS_CERTIFICATE")
        return
    for name, path in (("CERTIFICATE", certificate), ("KEY", key)):
        try:
            _ = path and path.read_bytes()
        except OSError as error:
            raise SettingsError(f"PREDICTOR_TLS_{name}: {path}: {error.strerror}") from None
    try:
        # Without this password, OpenSSL would prompt for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM, or encrypted").replace("_", " ").lower()
        raise SettingsError(
            f"PREDICTOR_TLS_CERTIFICATE, PREDICTOR_TLS_KEY: this pair cannot be used: {reason}"
        ) from None


def registry_tls(settings: Settings, *, own: bool = True) -> ssl.SSLContext:
    """The TLS context for the registry: trusted authorities and the client certificate.

    Other hosts of artifacts (not `own`) never get the client certificate, and their certificates are
    always verified. Raises SettingsError, which names the variable.
    """
    insecure = own and settings.tracking_insecure_tls
    variable, authorities = _authorities(settings.tracking_server_cert_path)
    certificate = settings.tracking_client_cert_path if own else None
    # The system's authorities take 40 ms to read. They are not needed if certificates are not verified, or
    # for plain HTTP (redirects are not followed). A file in the settings is always read, as a check.
    unused = insecure or (own and settings.tracking_uri.startswith("http:"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if not unused or settings.tracking_server_cert_path:
            context.load_verify_locations(**_location(authorities))
        if certificate:
            variable = "MLFLOW_TRACKING_CLIENT_CERT_PATH"
            # Without this password, OpenSSL would prompt for one.
            context.load_cert_chain(certificate, password="")
    except OSError as error:
        detail = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        reason = (detail or "not PEM, or encrypted").replace("_", " ").lower()
        raise SettingsError(f"{variable}: not a certificate file (PEM): {reason}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def trusted_authorities() -> dict[str, str]:
    """Where the trusted authorities are, for `load_verify_locations`: OpenSSL's variables, or certifi's file."""
    return _location(_authorities(None)[1])


def _location(authorities: str) -> dict[str, str]:
    return {"capath" if Path(authorities).is_dir() else "cafile": authorities}


def _authorities(named: Path | None) -> tuple[str, str]:
    """The path of the trusted authorities and its variable: MLflow's, OpenSSL's, or else certifi's file."""
    if named:
        return "MLFLOW_TRACKING_SERVER_CERT_PATH", str(named)
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := os.environ.get(variable):
            return variable, path
    return "certifi", certifi.where()
