"""Errors as `application/problem+json` (RFC 9457), and the one table from error to HTTP status.

A protocol that writes its errors in another form has a `Dialect`, for every path below its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from msgspec import UNSET, Meta, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from predictor import errors
from predictor.errors import FieldError
from predictor.http.body import shortened
from predictor.http.middleware import allowed

CONTENT_TYPE = "application/problem+json"
RETRY = {"Retry-After": "1"}  # seconds
_HEADERS = {
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY,
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
}

STATUS: dict[type[errors.PredictorError], HTTPStatus] = {
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.Unprocessable: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Of each kind of error; those derived from it have the same."""


class Problem(msgspec.Struct, frozen=True):
    """What went wrong (RFC 9457, `application/problem+json`)."""

    type: Annotated[
        str, Meta(description="Always `about:blank`: the status says what kind of problem it is.")
    ]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What is wrong and, where known, what to do next.")]
    errors: (
        Annotated[
            tuple[FieldError, ...],
            Meta(description="With 422: every fault, each with its field."),
        ]
        | UnsetType
    ) = UNSET


@dataclass(frozen=True)
class Dialect:
    """How a protocol writes an error: the struct of the body, and the response of a status, a detail and header fields."""

    body: type[msgspec.Struct]
    write: Callable[[HTTPStatus, str, Mapping[str, str]], Response]


log = structlog.get_logger()


def add_handlers(app: FastAPI, dialects: Mapping[str, Dialect]) -> None:
    """Write every error as a problem document, or in the dialect of its path.

    `dialects` are by path: each is for that path and for all below it.
    """
    app.state.dialects = dialects
    for kind in STATUS:
        app.add_exception_handler(kind, _error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _error)


def problem(
    status: HTTPStatus,
    detail: str,
    headers: dict[str, str] | None = None,
    faults: tuple[FieldError, ...] | UnsetType = UNSET,
) -> Response:
    """One problem document, with the faults of fields if there are any."""
    return Response(_document(status, detail, faults), status, headers, CONTENT_TYPE)


def answer_and_close(status: HTTPStatus, detail: str, request_id: str) -> bytes:
    """A whole HTTP answer with one problem document, for who has no request to answer."""
    body = _document(status, detail)
    lines = [f"HTTP/1.1 {status} {status.phrase}", f"x-request-id: {request_id}"]
    lines += [f"content-type: {CONTENT_TYPE}"]
    lines += [f"{name}: {value}" for name, value in _HEADERS.get(status, {}).items()]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def _document(
    status: HTTPStatus, detail: str, faults: tuple[FieldError, ...] | UnsetType = UNSET
) -> bytes:
    return msgspec.json.encode(Problem("about:blank", status.phrase, status, detail, faults))


def of(error: Exception, endpoint: str, dialect: Dialect | None = None) -> Response:
    """The response for what went wrong with a request to a route, by its path."""
    status, detail = said(error, endpoint)
    if dialect is not None:
        return dialect.write(status, detail, _HEADERS.get(status, {}))
    if isinstance(error, errors.InvalidRecord):
        faults, hint = error.errors, f"; {error.hint}" if error.hint else ""
        return problem(status, f"{len(faults)} fault(s) in the body{hint}", faults=faults)
    return problem(status, detail, _HEADERS.get(status))


def status_of(error: Exception) -> HTTPStatus | None:
    """The HTTP status of an error; None for what is a fault of the service."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)


def said(error: Exception, endpoint: str) -> tuple[HTTPStatus, str]:
    """The status of what went wrong at an endpoint, and what is said of it; of a fault of ours, nothing."""
    status = status_of(error)
    if status is None:
        log.error("internal_error", endpoint=endpoint, error=type(error).__name__)
        return HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the service; its log has the details"
    return status, str(error)


async def _error(request: Request, error: Exception) -> Response:
    # Not the path that was asked for: whatever a client sent stays out of the log.
    endpoint = getattr(request.scope.get("route"), "path", "other")
    return of(error, endpoint, dialect_of(request.app, request.scope["path"]))


def dialect_of(app: FastAPI, path: str) -> Dialect | None:
    """The dialect of a path; None for problem documents."""
    dialects: Mapping[str, Dialect] = app.state.dialects
    for own, dialect in dialects.items():
        if path == own or path.startswith(f"{own}/"):
            return dialect
    return None


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  what it was registered for
    status = HTTPStatus(error.status_code)
    detail = str(error.detail)
    # Not `request.url`, which takes the Host field for a part of it.
    path = shortened(request.scope["path"])
    if status == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {path}; /docs lists what there is"
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allowed(headers.get("Allow", ""))
        detail = f"{path} does not take {request.method}; it takes {headers['Allow']}"
    dialect = dialect_of(request.app, request.scope["path"])
    return dialect.write(status, detail, headers) if dialect else problem(status, detail, headers)


async def _client_left(request: Request, _: Exception) -> Response:
    # Nobody reads it; the code, which the protocol may know better, is for the metrics.
    state = request.scope.get("state", {})
    return Response(status_code=state.get("abandoned", HTTPStatus.BAD_REQUEST))
