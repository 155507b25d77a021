"""Statuses: what each HTTP status is called in gRPC, so that `problems.STATUS` is the only table of errors.

The names are those of https://grpc.io/docs/guides/status-codes/. UNAVAILABLE is the one that tells a
client to try again, as 503 does.
"""

from http import HTTPStatus

from grpc import StatusCode

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
