"""The OpenAPI document: FastAPI writes the routes, the serving version writes what they take and answer."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from predictor.http.problems import CONTENT_TYPE
from predictor.openapi import open_inference, refusals, scoring
from predictor.openapi.examples import Examples
from predictor.openapi.explanation import EXPLANATION
from predictor.openapi.features import record
from predictor.openapi.operations import header, ref
from predictor.openapi.predictions import predictions
from predictor.openapi.schemas import FIXED, an_object
from predictor.openapi.served import SERVED
from predictor.servable import Servable

_SUMMARY = "Predictions from the model version that MLflow's registry names, and from no other."
_DESCRIPTION = """{serving}

Every answer says which version computed it. Features, classes and examples here are those of the
version that serves now; the document changes with it, and so does its `ETag`. Errors are problem
documents (RFC 9457) unless a protocol has its own. Every answer has an `X-Request-ID`."""
_TAGS = {
    "predictions": "Records in, predictions out.",
    "open inference": "The Open Inference Protocol V2: tensors in, tensors out.",
    "mlflow scoring": "What `mlflow models serve` takes and answers, and SageMaker's contract.",
    "operations": "What serves, what should, and how the service is.",
}
_REQUEST_ID = "X-Request-ID"
_TEXT = {"schema": {"type": "string"}}
_PARAMETERS = {
    _REQUEST_ID: "What to call the request: 1 to 128 of `A-Z a-z 0-9 . _ ~ : / + = @ -`. Anything else "
    "is replaced. Without it, the trace id of a W3C `traceparent` is taken.",
    "If-None-Match": "The `ETag` of the answer that the client has: 304 while it is the same.",
}
_HEADERS = {
    _REQUEST_ID: "What the request is called in every line that is logged about it.",
    "ETag": "Changes when what is said changes.",
    "Retry-After": "Seconds until it is worth another try.",
    "WWW-Authenticate": "`Bearer`: how a key is sent.",
}
_METHODS = {"get", "put", "post", "delete", "patch"}


def document(app: FastAPI, servable: Servable | None, *, recorded: bool = True) -> dict[str, Any]:
    """The whole document, for the version that serves now.

    Unless `recorded`, its example is no record that was recorded with the version, but a blank one.
    """
    base = get_openapi(
        title=app.title, version=app.version, summary=_SUMMARY, routes=app.routes,
        description=_DESCRIPTION.format(serving=_serving(servable)),
        servers=[{"url": ".", "description": "The service that wrote this."}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    base = deepcopy(base)  # parts of it are the routes' own
    if servable:
        version = servable.model_version
        base["info"] |= {"x-model-name": version.name, "x-model-version": version.version}
    examples = Examples(servable, recorded=recorded)
    base["components"] = {
        **base.get("components", {}),
        "schemas": base.get("components", {}).get("schemas", {}) | _schemas(servable, examples),
        "parameters": {
            name: {"name": name, "in": "header", "description": text, **_TEXT}
            for name, text in _PARAMETERS.items()
        },
        "headers": {
            name: {"required": True, "description": text, **_TEXT}
            for name, text in _HEADERS.items()
        },
    }
    for operation in _operations(base):
        _show(operation, examples)
        _name_requests(operation)
    used = {tag for operation in _operations(base) for tag in operation.get("tags", ())}
    base["tags"] = [{"name": t, "description": d} for t, d in _TAGS.items() if t in used]
    return base


def _serving(servable: Servable | None) -> str:
    if servable is None:
        return "No version serves now."
    version = servable.model_version
    return f"Version {version.version} of `{version.name}` serves now."


def _schemas(servable: Servable | None, examples: Examples) -> dict[str, Any]:
    one = record(servable)
    if examples.record is not None:
        one["example"] = examples.record
    instances = {"type": "array", "minItems": 1, "items": ref("Record")}
    several = an_object({"instances": instances}, "Several records.", additionalProperties=False)
    return {
        "Record": one,
        "Records": several,
        **predictions(servable, examples.answer),
        **open_inference.schemas(servable, examples.record),
        **scoring.schemas(servable),
        **EXPLANATION,
        **FIXED,
        **SERVED,
    }


def _operations(base: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in base["paths"].values():
        for method, operation in path.items():
            if method in _METHODS:
                yield operation


def _show(operation: dict[str, Any], examples: Examples) -> None:
    """Give bodies the examples of the serving version, and 422 what it says of a faulty record."""
    taken = operation.get("requestBody", {}).get("content", {})
    answers = operation["responses"]
    for content in (taken, answers.get("200", {}).get("content", {})):
        for media in content.values():
            if found := examples.of(_named(media)):
                media["examples"] = found
    for media in taken.values():
        refused = examples.refused(_named(media))
        if refused and "422" in answers and CONTENT_TYPE in answers["422"]["content"]:
            shown = refusals.examples(422, [refused])
            answers["422"]["content"][CONTENT_TYPE]["examples"] = shown


def _named(media: Mapping[str, Any]) -> str:
    """The name of the schema that a body has."""
    return str(media.get("schema", {}).get("$ref", "")).rpartition("/")[2]


def _name_requests(operation: dict[str, Any]) -> None:
    """Say of an operation that it takes and gives `X-Request-ID`."""
    taken = {"$ref": f"#/components/parameters/{_REQUEST_ID}"}
    operation["parameters"] = [*operation.get("parameters", ()), taken]
    for answer in operation["responses"].values():
        answer["headers"] = {**answer.get("headers", {}), _REQUEST_ID: header(_REQUEST_ID)}
