"""The HTTP client of the tracking server, with MLflow's own credentials and certificates."""

import httpx

from predictor.http.certificates import registry_tls
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
        verify=registry_tls(settings),
        follow_redirects=False,
    )
