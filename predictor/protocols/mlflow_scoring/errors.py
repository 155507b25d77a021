"""What MLflow's scoring protocol refuses, and how its server writes errors."""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import Response

from predictor.errors import BadRequest, NotFound, Unprocessable


class InvalidInput(BadRequest):
    """A body that cannot be read, or values that the model cannot take: MLflow's `BAD_REQUEST`."""


class SchemaNotMet(Unprocessable):
    """A table that the signature does not allow: MLflow's `INVALID_PARAMETER_VALUE`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to enforce schema. Error: {reason}")


class NoMlflowVersion(NotFound):
    """Asked for the MLflow that logged a version whose `MLmodel` does not say."""

    def __init__(self) -> None:
        super().__init__("MLmodel does not say which MLflow logged the version that serves")


_BAD_REQUEST = {
    "error_code": "BAD_REQUEST",
    "sqlstate": "KAM00",
    "error_class": "INVALID_PARAMETER_VALUE",
}
_CODES: dict[HTTPStatus, dict[str, str]] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: {
        "error_code": "INVALID_PARAMETER_VALUE",
        "sqlstate": "KAM01",
        "error_class": "SCHEMA_ENFORCEMENT_FAILED",
    },
    # MLflow's server gives none of these; the codes are those of its table from code to status.
    HTTPStatus.UNAUTHORIZED: {"error_code": "UNAUTHENTICATED"},
    HTTPStatus.NOT_FOUND: {"error_code": "ENDPOINT_NOT_FOUND"},
    HTTPStatus.SERVICE_UNAVAILABLE: {"error_code": "TEMPORARILY_UNAVAILABLE"},
    HTTPStatus.INTERNAL_SERVER_ERROR: {"error_code": "INTERNAL_ERROR"},
}


def scoring_error(status: HTTPStatus, detail: str, headers: Mapping[str, str]) -> Response:
    """One error. MLflow has 400 for what is 422 elsewhere here."""
    if status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return Response(detail, status, dict(headers), "text/plain")
    body = {**_CODES.get(status, _BAD_REQUEST), "message": detail}
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    return Response(msgspec.json.encode(body), status, dict(headers), "application/json")
