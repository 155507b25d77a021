"""Errors of the Open Inference Protocol, and how they are written."""

from collections.abc import Container, Mapping
from http import HTTPStatus

import msgspec
from fastapi import Response

from predictor.errors import BadRequest, NotFound
from predictor.http.problems import ErrorFormat


class InvalidInference(BadRequest):
    """A request, or one of its tensors, that the serving model does not take. The message names it."""


class UnknownModel(NotFound):
    """A model that is not served here, or a version of it that does not serve now."""


class V2Error(msgspec.Struct, frozen=True):
    """What went wrong."""

    error: str


def _write(status: HTTPStatus, detail: str, headers: Mapping[str, str]) -> Response:
    """Write an error; the protocol has no 422."""
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST
    body = msgspec.json.encode(V2Error(detail))
    return Response(body, status, dict(headers), "application/json")


ERROR_FORMAT = ErrorFormat(V2Error, _write)
ERROR_FORMATS: Mapping[str, ErrorFormat] = {"/v2": ERROR_FORMAT}

_MAX_NAME_LENGTH = 100  # characters: a client's own text is not repeated at length


def quoted(name: str) -> str:
    """A name that a client sent, for a message."""
    # Half of a surrogate pair cannot be written as UTF-8, so it is shown as its escape.
    plain = name.encode("utf-8", "backslashreplace").decode()
    return f"`{plain if len(plain) <= _MAX_NAME_LENGTH else plain[:_MAX_NAME_LENGTH] + '…'}`"


_UNSUPPORTED = ("classification", "shared_memory_region")


def check_supported(parameters: Container[str], place: str) -> None:
    """Raise InvalidInference for a parameter of an extension that is not supported."""
    for name in _UNSUPPORTED:
        if name in parameters:
            where = f"{place}.parameters.{name}".removeprefix(".")
            raise InvalidInference(f"{where}: not supported; leave it out")
