"""Certificates: those to serve https with, and those for talking to the registry."""

import ssl

from predictor.errors import SettingsError
from predictor.settings import Settings


def check_tls(settings: Settings) -> None:
    """Raise SettingsError where certificate and key cannot be served with."""
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
        # Without a password given, OpenSSL would ask the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM, or encrypted").replace("_", " ").lower()
        raise SettingsError(
            f"PREDICTOR_TLS_CERTIFICATE, PREDICTOR_TLS_KEY: no pair to serve with: {reason}"
        ) from None


def registry_tls(settings: Settings) -> ssl.SSLContext | bool:
    """What the registry's certificate is checked against, and with which we show who we are.

    False for any certificate, True for those that the system trusts. Raises SettingsError.
    """
    if settings.tracking_insecure_tls:
        return False
    if not (settings.tracking_server_cert_path or settings.tracking_client_cert_path):
        if settings.tracking_uri.startswith("http:"):
            # Nothing is encrypted, and no redirect is followed. Whom the system trusts takes 40 ms
            # to read; this trusts nobody.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return True
    variable = "MLFLOW_TRACKING_SERVER_CERT_PATH"
    try:
        context = ssl.create_default_context(cafile=settings.tracking_server_cert_path)
        if settings.tracking_client_cert_path:
            variable = "MLFLOW_TRACKING_CLIENT_CERT_PATH"
            context.load_cert_chain(settings.tracking_client_cert_path)
    except OSError as error:
        raise SettingsError(f"{variable}: not a certificate file (PEM): {error}") from error
    return context
