"""Requests and responses of routes in the OpenAPI document, for FastAPI's decorators.

Each error response has examples from the code that creates the real ones.
"""

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import Response

from predictor import errors
from predictor.errors import PredictorError
from predictor.http import problems
from predictor.http.body import check_json
from predictor.http.problems import ErrorFormat, Problem
from predictor.model import validation
from predictor.openapi.schemas import Schema, header, ref
from predictor.reconcile.decision import RegistryStatus, why_nothing

Responses = dict[int | str, dict[str, Any]]

_DESCRIPTIONS = {
    400: "The body cannot be read, or does not follow the protocol.",
    401: "The request has no API key, or one that is not authorised for this route.",
    403: "The signature is wrong, or the time of signing is too far from now.",
    404: "There is no such resource.",
    409: "Not possible in the present state; the error says why.",
    413: "The body is larger than the limit.",
    415: "The body's type or encoding is not supported.",
    422: "Valid JSON, but not valid for the serving version; the error lists every fault with its field.",
    503: "No version serves, too many requests wait, or the model took too long; the error says which. Try again "
    "after `Retry-After` seconds.",
}
_HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}

NOTHING_SERVING = errors.NothingServing(why_nothing(RegistryStatus().answered(None), None, None))
NOT_MODIFIED: Responses = {
    304: {"description": "The client's copy, named in `If-None-Match`, is up to date."}
}
CONDITIONAL: dict[str, Any] = {"parameters": [{"$ref": "#/components/parameters/If-None-Match"}]}
"""For `openapi_extra` of a route with conditional GET."""


def _media_refused() -> PredictorError:
    try:
        check_json("text/csv", None)
    except errors.UnsupportedMedia as error:
        return error
    raise AssertionError("check_json accepted text/csv")


def _not_json() -> PredictorError:
    try:
        validation.read_record(b'{"age": 71,', validation.Fields(()))
    except errors.MalformedBody as error:
        return error
    raise AssertionError("read_record accepted half an object")


_USUAL: dict[int, tuple[PredictorError, ...]] = {
    400: (_not_json(),),
    401: (errors.Unauthorized(given=False),),
    413: (errors.BodyTooLarge(1_048_576),),
    415: (_media_refused(),),
    422: (errors.InvalidRecord([errors.FieldError("age", "missing")]),),
    503: (NOTHING_SERVING, errors.Overloaded(1024, "requests"), errors.InferenceTimeout(10)),
}
"""The errors of each status on most routes."""


def describe_request(body: type | str) -> dict[str, Any]:
    """The request body of a route, for FastAPI's `openapi_extra`."""
    content = {"application/json": {"schema": ref(body)}}
    return {"requestBody": {"required": True, "content": content}}


def describe_path(name: str, description: str) -> dict[str, Any]:
    """A parameter of a route's path, for FastAPI's `openapi_extra`."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string"},
    }


def describe_responses(
    body: type | str | Schema,
    *refusals: int | PredictorError,
    description: str = "OK",
    error_format: ErrorFormat | None = None,
) -> Responses:
    """The responses of a route, for FastAPI's `responses`. `description` is that of the 200.

    `body` is a struct, the name of a schema, or a schema of plain text. A refusal is an error that the
    route raises, or a status for its usual errors. Without `error_format`, errors are problem documents.
    """
    schema, media_type = (
        (body, "text/plain") if isinstance(body, dict) else (ref(body), "application/json")
    )
    content = {media_type: {"schema": schema}}
    return {
        200: {"description": description, "content": content},
        **describe_errors(*refusals, error_format=error_format),
    }


def describe_errors(
    *refusals: int | PredictorError, error_format: ErrorFormat | None = None
) -> Responses:
    """The error responses of a route, for FastAPI's `responses`."""
    found: Responses = {}
    for each in refusals:
        for error in _USUAL[each] if isinstance(each, int) else (each,):
            response = problems.error_response(error, "", error_format)
            code = response.status_code
            described = found.setdefault(code, {"description": _DESCRIPTIONS[code], "content": {}})
            media = described["content"].setdefault(
                response.media_type, {"schema": _schema(response, error_format), "examples": {}}
            )
            media["examples"] |= error_examples([error], error_format)
            if name := _HEADERS.get(code):
                described["headers"] = {name: header(name)}
    return found


def _schema(response: Response, error_format: ErrorFormat | None) -> Schema:
    if response.media_type == "text/plain":
        return {"type": "string"}
    return ref(error_format.body if error_format else Problem)


def error_examples(
    refusals: Iterable[PredictorError], error_format: ErrorFormat | None = None
) -> dict[str, Any]:
    """Named examples of error bodies, for a document's `examples`."""
    return {
        _snake_case(type(error).__name__): {
            "summary": (inspect.getdoc(type(error)) or "").partition("\n")[0],
            "value": _body(problems.error_response(error, "", error_format)),
        }
        for error in refusals
    }


def _body(response: Response) -> Any:
    content = bytes(response.body)
    return content.decode() if response.media_type == "text/plain" else msgspec.json.decode(content)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
