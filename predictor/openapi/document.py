"""The OpenAPI document: FastAPI describes the routes; protocols add the bodies for the serving version."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from predictor.http.problems import CONTENT_TYPE, Problem
from predictor.model.servable import Servable
from predictor.openapi.examples import Examples
from predictor.openapi.responses import error_examples
from predictor.openapi.schemas import Part, components, header

Describe = Callable[[Servable | None, Examples], Part]
"""The part of a protocol in the document, for the serving version, or None if none serves."""

_SUMMARY = "Predictions from the model version that MLflow's registry names, and from no other."
_DESCRIPTION = """{serving}

Every prediction names the version that computed it. Features, classes and examples are those of the
serving version; the document and its `ETag` change with it. Errors are problem documents (RFC 9457)
unless a protocol has its own form. Every response has an `X-Request-ID`."""
_TAGS = {
    "predictions": "Records in, predictions out.",
    "open inference": "The Open Inference Protocol V2: tensors in, tensors out.",
    "mlflow scoring": "The protocol of `mlflow models serve`, and SageMaker's contract.",
    "outcomes": "What turned out to be true, for the predictions of the record.",
    "operations": "For operators: health, metrics, versions, events.",
}
_REQUEST_ID = "X-Request-ID"
_TEXT = {"schema": {"type": "string"}}
_PARAMETERS = {
    _REQUEST_ID: "The id of the request: 1 to 128 of `A-Z a-z 0-9 . _ ~ : / + = @ -`. Another value "
    "is replaced. Without it, the id is the trace id of a W3C `traceparent`.",
    "If-None-Match": "The `ETag` of the client's copy; the response is 304 while the copy is up to date.",
}
_HEADERS = {
    _REQUEST_ID: "The id of the request in every log line about it.",
    "ETag": "Changes with the content.",
    "Retry-After": "Seconds until the client should try again.",
    "WWW-Authenticate": "`Bearer`: the form of the key.",
}


def document(
    app: FastAPI, servable: Servable | None, parts: Sequence[Describe], *, recorded: bool = True
) -> dict[str, Any]:
    """The whole document for a servable, or None if none serves.

    Unless `recorded`, its example is a blank record instead of one that was stored with the version.
    """
    written = deepcopy(_skeleton(app, servable))  # some parts belong to the routes
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
        info = {
            "x-model-name": version.name,
            "x-model-version": version.version,
            "x-model-digest": servable.artifact.onnx_sha256,
            "x-page": msgspec.to_builtins(servable.page),
        }
    written = get_openapi(
        title=app.title, version=app.version, summary=_SUMMARY, routes=app.routes,
        description=_DESCRIPTION.format(serving=serving),
        servers=[{"url": ".", "description": "This service"}],
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
    """Add the serving version's examples of bodies, and its 422 for a faulty record."""
    request = operation.get("requestBody", {}).get("content", {})
    responses = operation["responses"]
    for content in (request, responses.get("200", {}).get("content", {})):
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
        del operation["responses"][
            "422"
        ]  # FastAPI adds it for every parameter; ours accept any text
