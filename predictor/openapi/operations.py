"""Operations: what a route takes and answers, in the words of the document; for FastAPI's decorators."""

from typing import Any

from predictor.errors import PredictorError
from predictor.http.problems import CONTENT_TYPE
from predictor.openapi import refusals as refused

_HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "It is as the client has it, by `If-None-Match` or `If-Modified-Since`."}
}
ASKED_AGAIN: dict[str, Any] = {
    "parameters": [{"$ref": "#/components/parameters/If-None-Match"}],
}
"""For `openapi_extra` of a route that answers 304 to who has its answer."""


def takes(schema: str) -> dict[str, Any]:
    """What a route's body is, for FastAPI's `openapi_extra`."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(schema)}}}
    }


def answers_with(
    schema: str, *refusals: int | PredictorError, says: str = "OK"
) -> dict[int | str, dict[str, Any]]:
    """What a route answers with, for FastAPI's `responses`; `says` is what a 200 means.

    A refusal is a status, which stands for what it usually means, or an error as the route raises it.
    """
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": says, "content": {"application/json": {"schema": ref(schema)}}}
    }
    return answers | problems_with(*refusals)


def problems_with(*refusals: int | PredictorError) -> dict[int | str, dict[str, Any]]:
    """The problem documents that a route answers with, for FastAPI's `responses`."""
    return {
        code: {
            "description": refused.EXPLAINED[code],
            "content": {
                CONTENT_TYPE: {"schema": ref("Problem"), "examples": refused.examples(code, errors)}
            },
            **({"headers": {name: header(name)}} if (name := _HEADERS.get(code)) else {}),
        }
        for code, errors in refused.by_code(refusals).items()
    }


def ref(schema: str) -> dict[str, str]:
    """A reference to a schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def header(name: str) -> dict[str, str]:
    """A reference to a header of the document, by its name."""
    return {"$ref": f"#/components/headers/{name}"}
