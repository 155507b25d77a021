"""The border to the MLflow server: how long to wait for it, and its exceptions as ours."""

import contextlib
import os
import re
from collections.abc import Iterator

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from trainer.errors import RefusedByMlflowError, RegistryError


def connect() -> MlflowClient:
    """A client of the server that MLFLOW_TRACKING_URI names, which gives up within seconds.

    It sets limits for all HTTP requests of this process, unless the environment does. Raises
    RegistryError without such an address; it does not yet connect.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or not uri.startswith(("http://", "https://")):
        problem = f"is {uri!r}, which is not the address of a server" if uri else "is not set"
        raise RegistryError(
            f"MLFLOW_TRACKING_URI {problem}; start a server with `mlflow server --port 5000` "
            "and set MLFLOW_TRACKING_URI=http://127.0.0.1:5000"
        )
    # MLflow's own defaults retry a server that is down for 246 seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    return MlflowClient(uri)


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
