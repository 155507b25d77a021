"""The OpenAPI document: FastAPI writes the routes; protocols add what the serving version makes of their bodies."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from predictor.http.problems import CONTENT_TYPE, Problem
from predictor.model.servable import Servable
from predictor.openapi.examples import Examples
from predictor.openapi.responses import error_examples
from predictor.openapi.schemas import Part, components, header

Describe = Callable[[Servable | None, Examples], Part]
"""What a protocol adds to the document, for the serving version or none."""

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
    _REQUEST_ID: "The id of the request: 1 to 128 of `A-Z a-z 0-9 . _ ~ : / + = @ -`. Anything else "
    "is replaced. Without it, the trace id of a W3C `traceparent` is taken.",
    "If-None-Match": "The `ETag` of the response that the client has: 304 while it is up to date.",
}
_HEADERS = {
    _REQUEST_ID: "The id of the request in every log line about it.",
    "ETag": "Changes with the content.",
    "Retry-After": "Seconds until another try makes sense.",
    "WWW-Authenticate": "`Bearer`: how a key is sent.",
}


def document(
    app: FastAPI, servable: Servable | None, parts: Sequence[Describe], *, recorded: bool = True
) -> dict[str, Any]:
    """The whole document, for the version that serves now.

    Unless `recorded`, its example is not a record that was stored with the version, but a blank one.
    """
    written = deepcopy(_skeleton(app, servable))  # parts of it are the routes' own
    examples = Examples(servable, recorded=recorded)
    added = [describe(servable, examples) for describe in parts]
    written["components"] = {
        "schemas": components(Problem) | _merged(part.schemas for part in added),
        "parameters": {
            name: {"name": name, "in": "header", "description": text, **_TEXT}
            for name, text in _PARAMETERS.items()
        },
        "headers": {
            name: {"required": True, "description": text, **_TEXT}
            for name, text in _HEADERS.items()
        },
    }
    bodies, refusals = (
        _merged(part.examples for part in added),
        _merged(part.refusals for part in added),
    )
    for operation in _operations(written):
        _add_examples(operation, bodies, refusals)
        _add_request_id(operation)
    used = {tag for operation in _operations(written) for tag in operation.get("tags", ())}
    written["tags"] = [{"name": t, "description": d} for t, d in _TAGS.items() if t in used]
    return written


def _skeleton(app: FastAPI, servable: Servable | None) -> dict[str, Any]:
    serving = "No version serves now."
    info = {}
    if servable is not None:
        version = servable.model_version
        serving = f"Version {version.version} of `{version.name}` serves now."
        info = {"x-model-name": version.name, "x-model-version": version.version}
    written = get_openapi(
        title=app.title, version=app.version, summary=_SUMMARY, routes=app.routes,
        description=_DESCRIPTION.format(serving=serving),
        servers=[{"url": ".", "description": "The service that wrote this."}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    return {**written, "info": written["info"] | info}


def _merged(mappings: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: each for mapping in mappings for name, each in mapping.items()}


def _operations(written: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for path in written["paths"].values():
        yield from path.values()


def _add_examples(
    operation: dict[str, Any], bodies: Mapping[str, Any], refusals: Mapping[str, Any]
) -> None:
    """Add the serving version's examples of bodies, and the 422 that it writes for a faulty record."""
    request = operation.get("requestBody", {}).get("content", {})
    responses = operation["responses"]
    for content in (request, responses["200"].get("content", {})):
        for media in content.values():
            if found := bodies.get(_schema_name(media)):
                media["examples"] = found
    for media in request.values():
        if refusal := refusals.get(_schema_name(media)):
            responses["422"]["content"][CONTENT_TYPE]["examples"] = error_examples([refusal])


def _schema_name(media: Mapping[str, Any]) -> str:
    return str(media.get("schema", {}).get("$ref", "")).rpartition("/")[2]


def _add_request_id(operation: dict[str, Any]) -> None:
    parameter = {"$ref": f"#/components/parameters/{_REQUEST_ID}"}
    operation["parameters"] = [*operation.get("parameters", ()), parameter]
    for response in operation["responses"].values():
        response["headers"] = {**response.get("headers", {}), _REQUEST_ID: header(_REQUEST_ID)}
    if "HTTPValidationError" in str(operation["responses"].get("422", "")):
        del operation["responses"]["422"]  # FastAPI adds it for any parameter; ours are all texts
