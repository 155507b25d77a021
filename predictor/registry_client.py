"""The HTTP client of the tracking server, with MLflow's own credentials and certificates."""

import ssl

import httpx

from predictor.errors import SettingsError
from predictor.settings import Settings


def http_client(settings: Settings, *, seconds: float = 5) -> httpx.AsyncClient:
    """A client with MLflow's own credentials.

    It follows no redirect, and waits `seconds` at most for each step of a request. Raises
    SettingsError where a certificate cannot be read.
    """
    auth, headers = None, {}
    if settings.tracking_username:
        auth = httpx.BasicAuth(
            settings.tracking_username, settings.tracking_password.get_secret_value()
        )
    elif token := settings.tracking_token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    return httpx.AsyncClient(
        base_url=settings.tracking_uri,
        auth=auth,
        headers=headers,
        timeout=seconds,
        verify=_tls(settings),
        follow_redirects=False,
    )


def _tls(settings: Settings) -> ssl.SSLContext | bool:
    if settings.tracking_insecure_tls:
        return False
    if not (settings.tracking_server_cert_path or settings.tracking_client_cert_path):
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
