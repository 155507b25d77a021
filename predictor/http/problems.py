"""Errors as `application/problem+json` (RFC 9457), and the one table from error to HTTP status.

A protocol that writes its errors otherwise has a dialect: it is given what the problem document would
have said, for every path below its own.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from predictor import errors
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

Dialect = Callable[[HTTPStatus, str, Mapping[str, str]], Response]
"""How a protocol writes an error: from its status, what it says, and the answer's header fields."""

log = structlog.get_logger()


def add_handlers(app: FastAPI, dialects: Mapping[str, Dialect]) -> None:
    """Answer every error of the service, of routing and of ours with one shape, but where a dialect has another.

    `dialects` are by path: each is for that path and for all below it.
    """
    app.state.dialects = dialects
    for kind in STATUS:
        app.add_exception_handler(kind, _error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _error)


def problem(
    status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """One problem document. `more` are further members, such as `errors`."""
    return Response(_document(status, detail, **more), status, headers, CONTENT_TYPE)


def answer_and_close(status: HTTPStatus, detail: str, request_id: str) -> bytes:
    """A whole HTTP answer with one problem document, for who has no request to answer."""
    body = _document(status, detail)
    lines = [f"HTTP/1.1 {status} {status.phrase}", f"x-request-id: {request_id}"]
    lines += [f"content-type: {CONTENT_TYPE}"]
    lines += [f"{name}: {value}" for name, value in _HEADERS.get(status, {}).items()]
    lines += [f"content-length: {len(body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def _document(status: HTTPStatus, detail: str, **more: Any) -> bytes:
    return msgspec.json.encode(
        {
            "type": "about:blank",
            "title": status.phrase,
            "status": status,
            "detail": detail,
            **more,
        }
    )


def of(error: Exception, endpoint: str) -> Response:
    """The problem document for what went wrong with a request to a route, by its path."""
    status, detail = said(error, endpoint)
    if isinstance(error, errors.InvalidRecord):
        faults = [{"field": e.field, "message": e.message} for e in error.errors]
        hint = f"; {error.hint}" if error.hint else ""
        return problem(status, f"{len(faults)} fault(s) in the body{hint}", errors=faults)
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
    dialect = _dialect(request)
    if dialect is None:
        return of(error, endpoint)
    status, detail = said(error, endpoint)
    return dialect(status, detail, _HEADERS.get(status, {}))


def _dialect(request: Request) -> Dialect | None:
    dialects: Mapping[str, Dialect] = request.app.state.dialects
    path = request.scope["path"]
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
    dialect = _dialect(request)
    return dialect(status, detail, headers) if dialect else problem(status, detail, headers)


async def _client_left(request: Request, _: Exception) -> Response:
    # Nobody reads it; the code, which the protocol may know better, is for the metrics.
    state = request.scope.get("state", {})
    return Response(status_code=state.get("abandoned", HTTPStatus.BAD_REQUEST))
