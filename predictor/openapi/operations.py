"""Operations: what a route takes and answers, in the words of the document; for FastAPI's decorators."""

from http import HTTPStatus
from typing import Any

from predictor.http.problems import CONTENT_TYPE

_EXPLAINED = {
    400: "The body is not JSON.",
    401: "No key that may ask this came with the request.",
    403: "The signature is not right, or the time of signing is not now.",
    409: "It does not fit what is: a delivery that came before, or an explanation where the serving "
    "version has no background, or answers that are not explained.",
    413: "The body is larger than the limit.",
    415: "The body's type or encoding is not read.",
    422: "JSON, but not what the serving version takes; every fault with its field.",
    503: "No version serves, or too much is asked; the detail says which. Try again after "
    "`Retry-After` seconds.",
}


def takes(schema: str) -> dict[str, Any]:
    """What a route's body is, for FastAPI's `openapi_extra`."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref(schema)}}}
    }


def answers_with(schema: str, *codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route answers with, for FastAPI's `responses`."""
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "OK", "content": {"application/json": {"schema": ref(schema)}}}
    }
    return answers | problems_with(*codes)


def problems_with(*codes: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents that a route answers with, for FastAPI's `responses`."""
    return {
        code: {
            "description": _EXPLAINED[code],
            "content": {
                CONTENT_TYPE: {"schema": ref("Problem"), "example": _problem_example(code)}
            },
        }
        for code in codes
    }


def ref(schema: str) -> dict[str, str]:
    """A reference to a schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def _problem_example(code: int) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(code).phrase,
        "status": code,
        "detail": _EXPLAINED[code],
    }
    if code == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"field": "mean_radius", "message": "missing"}]
    return example
