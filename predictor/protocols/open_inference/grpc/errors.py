"""Errors of calls: their HTTP status for metrics, and the one table from HTTP's statuses to gRPC's."""

import logging
from http import HTTPStatus

from grpc import StatusCode

from predictor.http import problems
from predictor.http.limits import Refused

STATUS: dict[HTTPStatus, StatusCode] = {
    HTTPStatus.OK: StatusCode.OK,
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: StatusCode.UNIMPLEMENTED,
    HTTPStatus.REQUEST_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.CONFLICT: StatusCode.FAILED_PRECONDITION,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNPROCESSABLE_ENTITY: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.INTERNAL_SERVER_ERROR: StatusCode.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
}

_MAX_DETAIL_LENGTH = 2000  # clients refuse a response with more than 8 KiB of it

_log = logging.getLogger("uvicorn.error")  # where uvicorn writes the tracebacks of requests


def status_and_detail(error: Exception, endpoint: str) -> tuple[HTTPStatus, str]:
    """The status of an error and its detail for the client. Internal errors are logged."""
    if isinstance(error, Refused):
        return error.status, str(error)
    status, detail = problems.status_and_detail(error, endpoint)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("Exception in a call", exc_info=error)
    return status, detail[:_MAX_DETAIL_LENGTH]
