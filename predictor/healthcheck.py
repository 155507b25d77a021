"""`python -m predictor.healthcheck`, for containers: whether the predictor answers `GET /health`.

It reads the same settings as the predictor, and sends the request to the address of these settings.
"""

import http.client
import ssl
import sys
from collections.abc import Sequence

from predictor.errors import SettingsError
from predictor.settings import Settings

_SECONDS = 4
# With either of these the server listens on all addresses, IPv4 included.
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104


def main(arguments: Sequence[str] = ()) -> int:
    """Return 0 if the predictor answers 200; else write a line to stderr and return 1, or 2 for a wrong setting."""
    if arguments:
        return _fail(
            "mlflow-hotswap: this command takes no arguments; settings are environment variables", 2
        )
    try:
        settings = Settings.read()
    except SettingsError as error:
        return _fail(f"mlflow-hotswap: {error}", 2)
    host, port = settings.host, settings.port
    host = "127.0.0.1" if host in _EVERYWHERE else host
    connection = _connection(host, port, tls=settings.tls_certificate is not None)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return _fail(f"{host} port {port} does not answer: {error or type(error).__name__}", 1)
    finally:
        connection.close()
    return 0 if status == http.HTTPStatus.OK else _fail(f"GET /health answers {status}", 1)


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    # Not urllib: it would use a proxy from the environment.
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_SECONDS)
    # The certificate is for the name that clients use, not for this address.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
