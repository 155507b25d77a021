"""Errors as `application/problem+json` (RFC 9457), and the one table from error to HTTP status.

A protocol with another error format registers an `ErrorFormat` for its paths.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import UNSET, Meta, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from predictor import errors
from predictor.errors import FieldError
from predictor.http.body import shortened
from predictor.log_events import INTERNAL_ERROR

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
"""The status of each kind of error, and of its subclasses."""


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
class ErrorFormat:
    """A protocol's errors: the struct of the body, and a function from status, detail and header fields."""

    body: type[msgspec.Struct]
    write: Callable[[HTTPStatus, str, Mapping[str, str]], Response]


def add_handlers(app: FastAPI, formats: Mapping[str, ErrorFormat]) -> None:
    """Answer every error with a problem document, or in the error format of its path.

    The keys of `formats` are paths; each format is for its path and all paths below it.
    """
    app.state.error_formats = formats
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


def closing_response(status: HTTPStatus, detail: str, request_id: str) -> bytes:
    """The bytes of a whole HTTP response with a problem document, before ASGI has a request."""
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


def error_response(
    error: Exception, endpoint: str, error_format: ErrorFormat | None = None
) -> Response:
    """The response to an error. `endpoint` is the path of the route."""
    status, detail = status_and_detail(error, endpoint)
    if error_format is not None:
        return error_format.write(status, detail, _HEADERS.get(status, {}))
    if isinstance(error, errors.InvalidRecord):
        faults, hint = error.errors, f"; {error.hint}" if error.hint else ""
        return problem(status, f"{len(faults)} fault(s) in the body{hint}", faults=faults)
    return problem(status, detail, _HEADERS.get(status))


def status_of(error: Exception) -> HTTPStatus | None:
    """The HTTP status of an error; None for an internal error."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), None)


def status_and_detail(error: Exception, endpoint: str) -> tuple[HTTPStatus, str]:
    """The status and the detail of an error. Internal errors are logged and their text stays secret."""
    status = status_of(error)
    if status is None:
        INTERNAL_ERROR.log(endpoint=endpoint, error=type(error).__name__)
        return HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the service; its log has the details"
    return status, str(error)


async def _error(request: Request, error: Exception) -> Response:
    # Not the path of the request: whatever a client sent stays out of the log.
    endpoint = getattr(request.scope.get("route"), "path", "other")
    return error_response(error, endpoint, find_error_format(request.app, request.scope["path"]))


def find_error_format(app: FastAPI, path: str) -> ErrorFormat | None:
    """The error format of a path; None for problem documents."""
    formats: Mapping[str, ErrorFormat] = app.state.error_formats
    for prefix, found in formats.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return found
    return None


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  what it was registered for
    status = HTTPStatus(error.status_code)
    detail = str(error.detail)
    # Not `request.url`, which has the client's Host field in it.
    path = shortened(request.scope["path"])
    if status == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {path}; /docs lists what there is"
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = allowed(headers.get("Allow", ""))
        detail = f"{path} does not take {request.method}; it takes {headers['Allow']}"
    found = find_error_format(request.app, request.scope["path"])
    return found.write(status, detail, headers) if found else problem(status, detail, headers)


def allowed(methods: str) -> str:
    """The `Allow` field of a route with these methods: HEAD is allowed wherever GET is."""
    found = set(methods.split(", "))
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))


async def _client_left(request: Request, _: Exception) -> Response:
    # Nobody reads this response. Its status is for the metrics; the connection may know a better one.
    state = request.scope.get("state", {})
    return Response(status_code=state.get("abandoned", HTTPStatus.BAD_REQUEST))
