"""`python -m predictor.healthcheck`: whether the predictor of this environment answers; for containers.

It reads the settings that the predictor reads, and asks `GET /health` of the address it listens on.
"""

import http.client
import ssl
import sys

from predictor.errors import SettingsError
from predictor.settings import Settings

_SECONDS = 4
# What a server listens on when it listens everywhere, which is IPv4 each time.
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104


def main() -> int:
    """0 where the predictor answers 200, else 1 with a line on stderr, or 2 for a wrong setting."""
    try:
        settings = Settings.read()
    except SettingsError as error:
        return _say(f"mlflow-hotswap: {error}", 2)
    host, port = settings.host, settings.port
    host = "127.0.0.1" if host in _EVERYWHERE else host
    connection = _connection(host, port, tls=settings.tls_certificate is not None)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return _say(f"{host} port {port} does not answer: {error or type(error).__name__}", 1)
    finally:
        connection.close()
    return 0 if status == http.HTTPStatus.OK else _say(f"GET /health answers {status}", 1)


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    # Not urllib: it would take the way through a proxy that the environment names.
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_SECONDS)
    # The certificate is for the name that clients use; here it is this machine that answers.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
