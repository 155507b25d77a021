"""The border to the MLflow server: how long to wait for it, and its exceptions as ours."""

import contextlib
import os
from collections.abc import Iterator

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from trainer.errors import RefusedByMlflowError, TrackingUriError, UnreachableError


def connect() -> MlflowClient:
    """A client of the server that MLFLOW_TRACKING_URI names, which gives up within seconds.

    It sets limits for all HTTP requests of this process, unless the environment does. Raises
    TrackingUriError; whether the server answers shows with the first question.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or not uri.startswith(("http://", "https://")):
        raise TrackingUriError(uri)
    # MLflow's own defaults retry a server that is down for 246 seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    return MlflowClient(uri)


@contextlib.contextmanager
def mlflow_border(client: MlflowClient, action: str) -> Iterator[None]:
    """MLflow's exceptions stop here and leave as ours."""
    try:
        yield
    except MlflowException as error:
        message = " ".join(str(error.message).split())
        _, is_transport, detail = message.partition(" failed with exception ")
        if is_transport:
            raise UnreachableError(client.tracking_uri, _short(detail)) from error
        raise RefusedByMlflowError(action, message[:300]) from error


def _short(detail: str) -> str:
    """The innermost cause in the nested text of a connection error."""
    if "refused" in detail:
        return "connection refused"
    if "timed out" in detail:
        return "timed out"
    return detail[:120]
