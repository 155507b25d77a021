"""What a route takes and answers, in the words of the OpenAPI document; for FastAPI's decorators.

Each error that a route answers with has an example, as the service really writes it.
"""

import inspect
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from predictor import errors
from predictor.errors import PredictorError
from predictor.http import problems
from predictor.http.body import check_json
from predictor.http.problems import CONTENT_TYPE
from predictor.model import validation as faults
from predictor.reconcile.decision import Knowledge, why_nothing

EXPLAINED = {
    400: "The body is not JSON.",
    401: "No key that may ask this came with the request.",
    403: "The signature is not right, or the time of signing is not now.",
    404: "There is no such thing here.",
    409: "It cannot be done as things are; the detail says why.",
    413: "The body is larger than the limit.",
    415: "The body's type or encoding is not read.",
    422: "JSON, but not what the serving version takes; every fault with its field.",
    503: "No version serves, too much is asked, or the model took too long; the detail says which. Try again after "
    "`Retry-After` seconds.",
}

NOTHING_SERVING = errors.NothingServing(why_nothing(Knowledge().answered(None), None, None))


def _media_refused() -> PredictorError:
    try:
        check_json("text/csv", None)
    except errors.UnsupportedMedia as error:
        return error
    raise AssertionError("text/csv is no JSON")


def _not_json() -> PredictorError:
    try:
        faults.read_record(b'{"age": 71,', faults.Fields(()))
    except errors.MalformedBody as error:
        return error
    raise AssertionError("half an object is no JSON")


_USUAL: dict[int, tuple[PredictorError, ...]] = {
    400: (_not_json(),),
    401: (errors.Unauthorized(given=False),),
    413: (errors.BodyTooLarge(1_048_576),),
    415: (_media_refused(),),
    422: (errors.InvalidRecord([errors.FieldError("age", "missing")]),),
    503: (NOTHING_SERVING, errors.Overloaded(1024, "records"), errors.InferenceTimeout(10)),
}
"""What a code means for most routes that answer with it."""


def by_code(refusals: Iterable[int | PredictorError]) -> dict[int, list[PredictorError]]:
    """Each error under its status; a status alone stands for what it usually means."""
    found: dict[int, list[PredictorError]] = {}
    for each in refusals:
        if isinstance(each, int):
            found.setdefault(each, []).extend(_USUAL.get(each, ()))
        else:
            status = problems.status_of(each)
            assert status is not None, each  # noqa: S101  no route promises a fault of the service
            found.setdefault(status, []).append(each)
    return found


def examples(code: int, refused: Iterable[PredictorError]) -> dict[str, Any]:
    """Named examples of one status of an operation, for a document's `examples`."""
    named = {
        _snake(type(error).__name__): {"summary": _summary(error), "value": problem_of(error)}
        for error in refused
    }
    return named or {"problem": {"summary": EXPLAINED[code], "value": _bare(code)}}


def problem_of(error: PredictorError) -> dict[str, Any]:
    """The body that a client gets for an error."""
    body: dict[str, Any] = msgspec.json.decode(problems.of(error, "").body)
    return body


def _bare(code: int) -> dict[str, Any]:
    said = {"title": HTTPStatus(code).phrase, "status": code, "detail": EXPLAINED[code]}
    return {"type": "about:blank", **said}


def _summary(error: PredictorError) -> str:
    return (inspect.getdoc(type(error)) or "").partition("\n")[0]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


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
            "description": EXPLAINED[code],
            "content": {
                CONTENT_TYPE: {"schema": ref("Problem"), "examples": examples(code, errors)}
            },
            **({"headers": {name: header(name)}} if (name := _HEADERS.get(code)) else {}),
        }
        for code, errors in by_code(refusals).items()
    }


def ref(schema: str) -> dict[str, str]:
    """A reference to a schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def header(name: str) -> dict[str, str]:
    """A reference to a header of the document, by its name."""
    return {"$ref": f"#/components/headers/{name}"}
