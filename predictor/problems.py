"""Errors as `application/problem+json` (RFC 9457), and the one table from error to HTTP status."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from predictor import errors

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 1

STATUS: dict[type[errors.PredictorError], HTTPStatus] = {
    errors.MalformedBody: HTTPStatus.BAD_REQUEST,
    errors.BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.InvalidRecord: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NothingServing: HTTPStatus.SERVICE_UNAVAILABLE,
}

log = structlog.get_logger()


def add_handlers(app: FastAPI) -> None:
    """Answer every error of the service, of routing and of ours with one shape."""
    for kind in STATUS:
        app.add_exception_handler(kind, _predictor_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _fault_of_ours)


def problem(
    status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """One problem document. `more` are further members, such as `errors`."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    return Response(msgspec.json.encode(body), status, headers, CONTENT_TYPE)


async def _predictor_error(_: Request, error: Exception) -> Response:
    status = STATUS[type(error)]  # type: ignore[index]
    if isinstance(error, errors.InvalidRecord):
        faults = [{"field": e.field, "message": e.message} for e in error.errors]
        return problem(status, f"{len(faults)} fault(s) in the body", errors=faults)
    headers = (
        {"Retry-After": str(RETRY_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    )
    return problem(status, str(error), headers)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  what it was registered for
    status = HTTPStatus(error.status_code)
    detail = str(error.detail)
    if status == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.url.path}; /docs lists what there is"
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        detail = f"{request.url.path} does not take {request.method}; it takes {allowed}"
    return problem(status, detail, dict(error.headers or {}))


async def _client_left(_: Request, __: Exception) -> Response:
    # Nobody reads it; the code is for the metrics.
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _fault_of_ours(request: Request, error: Exception) -> Response:
    log.error("internal_error", path=request.url.path, error=type(error).__name__)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the service; its log has the details"
    )
