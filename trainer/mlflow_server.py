"""The border to the MLflow server: how long to wait for it, and its exceptions as ours."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.tracking.request_header.abstract_request_header_provider import RequestHeaderProvider
from mlflow.tracking.request_header.registry import _request_header_provider_registry

from trainer.errors import RefusedByMlflowError, RegistryError

_TOKEN, _TOKEN_FILE = "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_TOKEN_FILE"


def connect() -> MlflowClient:
    """A client of the server that MLFLOW_TRACKING_URI names, which gives up within seconds.

    It sets limits for all HTTP requests of this process and turns off progress bars, unless the environment does.
    All requests of this process have the token of MLFLOW_TRACKING_TOKEN_FILE, which MLflow's client does not know. Raises
    RegistryError without such an address, or for a file without a token; it does not yet connect.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip().rstrip("/")
    if uri.startswith("databricks"):
        raise RegistryError(
            f"MLFLOW_TRACKING_URI is {uri!r}: these commands do not work with Databricks; move aliases in its "
            "page or with MLflow's client"
        )
    if not uri or not uri.startswith(("http://", "https://")):
        problem = f"is {uri!r}, which is not the address of a server" if uri else "is not set"
        raise RegistryError(
            f"MLFLOW_TRACKING_URI {problem}; start a server with `mlflow server --port 5000` "
            "and set MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
        )
    uri = _without_user(uri)
    # MLflow's functions read it, too; with a slash at the end, their paths would have two.
    os.environ["MLFLOW_TRACKING_URI"] = uri
    path = os.environ.get(_TOKEN_FILE, "").strip()
    _use_token_file(Path(path) if path else None)
    # MLflow's own defaults retry a server that is down for 246 seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    # Tables of a few kilobytes are downloaded for a report; a bar for each would stand in it.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    return MlflowClient(uri)


def _without_user(uri: str) -> str:
    """Move user and password from the address to MLflow's variables: errors and records show the address."""
    parts = urlsplit(uri)
    user, found, host = parts.netloc.rpartition("@")
    if not found:
        return uri
    name, _, password = user.partition(":")
    os.environ.setdefault("MLFLOW_TRACKING_USERNAME", unquote(name))
    os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", unquote(password))
    return parts._replace(netloc=host).geturl()


class TokenHeader(RequestHeaderProvider):
    """Adds the token of a file to each request of MLflow's client; the file is read again for each.

    User and password count more than the token, as in the service.
    """

    path: Path | None = None
    token = ""

    def in_context(self) -> bool:
        """Whether there is a file."""
        return self.path is not None

    def request_headers(self) -> dict[str, str]:
        """The token now; the previous one, and a line on stderr, if the file cannot be read."""
        try:
            self.token = _read_token(self.path) if self.path else self.token
        except RegistryError as error:
            sys.stderr.write(f"warning: {error}; the previous token is sent\n")
        return {"Authorization": f"Bearer {self.token}"}

    def use(self, path: Path | None) -> None:
        """Use this file from now on, or none. Raises RegistryError if it has no token."""
        self.path = None
        if path:
            self.token = _read_token(path)
            self.path = path


def _read_token(path: Path) -> str:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise RegistryError(f"{_TOKEN_FILE}: {path}: {reason}") from None
    if not token or " " in token or not token.isprintable():
        raise RegistryError(f"{_TOKEN_FILE}: {path} must hold one token and nothing else")
    return token


def _use_token_file(path: Path | None) -> None:
    registry = _request_header_provider_registry
    found = next((each for each in registry if isinstance(each, TokenHeader)), None)
    if found is None and path is None:
        return
    if found is None:
        registry.register(TokenHeader)  # type: ignore[no-untyped-call]
        found = next(each for each in registry if isinstance(each, TokenHeader))
    found.use(path)
    if path:
        # The file counts more than the variable, as in the service; MLflow's client would send the variable.
        os.environ.pop(_TOKEN, None)


@contextlib.contextmanager
def mlflow_border(client: MlflowClient, action: str) -> Iterator[None]:
    """Turn MLflow's exceptions into RegistryError; `action` follows `MLflow refused to`."""
    try:
        yield
    except MlflowException as error:
        message = " ".join(str(error.message).split())
        # MLflow has one exception for all; only its words tell a broken line from an answer.
        if lost := re.search(r" failed with (timeout )?exception (.*)", message):
            raise RegistryError(
                f"the MLflow server at {client.tracking_uri} gives no answer ({_cause(lost[2])}); "
                "check MLFLOW_TRACKING_URI and that the server runs, then try again"
            ) from error
        raise RefusedByMlflowError(f"MLflow refused to {action}: {message[:300]}") from error


def _cause(detail: str) -> str:
    """The innermost cause in the nested text of a connection error."""
    if many := re.search(r"too many (\d+) error responses", detail):
        return f"error {many[1]}, and again"
    for cause in ("timed out", "refused", "reset", "resolve"):
        if cause in detail:
            return {"resolve": "no such host"}.get(cause, f"connection {cause}")
    return detail[:120]
