"""Errors of MLflow's scoring protocol, and how its server writes them."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import Response
from msgspec import UNSET, UnsetType

from predictor.errors import BadRequest, NotFound, Unprocessable
from predictor.http.problems import ErrorFormat


class InvalidInput(BadRequest):
    """A body that cannot be read, or values that the model cannot take: MLflow's `BAD_REQUEST`."""


class SchemaNotMet(Unprocessable):
    """A table that the signature does not allow: MLflow's `INVALID_PARAMETER_VALUE`."""


class NoMlflowVersion(NotFound):
    """The serving version's `MLmodel` does not name the MLflow that logged it."""

    def __init__(self) -> None:
        super().__init__("the serving version's MLmodel does not say which MLflow logged it")


class ScoringError(msgspec.Struct, frozen=True):
    """What went wrong, as MLflow writes it."""

    error_code: str
    message: str
    sqlstate: str | UnsetType = UNSET
    error_class: str | UnsetType = UNSET


_CODES: dict[HTTPStatus, tuple[str, ...]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: (
        "INVALID_PARAMETER_VALUE",
        "KAM01",
        "SCHEMA_ENFORCEMENT_FAILED",
    ),
    # MLflow's server gives none of these; the codes are those of its table from code to status.
    HTTPStatus.UNAUTHORIZED: ("UNAUTHENTICATED",),
    HTTPStatus.NOT_FOUND: ("ENDPOINT_NOT_FOUND",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("TEMPORARILY_UNAVAILABLE",),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("INTERNAL_ERROR",),
}
_BAD_REQUEST = ("BAD_REQUEST", "KAM00", "INVALID_PARAMETER_VALUE")
"""`error_code`, `sqlstate` and `error_class`."""


def _write(status: HTTPStatus, detail: str, headers: Mapping[str, str]) -> Response:
    """Write an error; MLflow has 400 where the other protocols have 422."""
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return Response(detail, status, dict(headers), "text/plain")
    code, *further = _CODES.get(status, _BAD_REQUEST)
    body = msgspec.json.encode(ScoringError(code, detail, *further))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    return Response(body, status, dict(headers), "application/json")


ERROR_FORMAT = ErrorFormat(ScoringError, _write)
ERROR_FORMATS: Mapping[str, ErrorFormat] = dict.fromkeys(
    ("/invocations", "/ping", "/version"), ERROR_FORMAT
)
