"""`/openapi.json`: FastAPI writes the routes, the serving version writes what they take and answer."""

import asyncio
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from predictor import clock
from predictor.access import Access, needs
from predictor.http.conditional import NO_CACHE, Validator, answer
from predictor.http.problems import CONTENT_TYPE
from predictor.model.servable import Servable
from predictor.openapi import operations as refusals
from predictor.openapi.operations import header, problems_with, ref
from predictor.openapi.schemas import FIXED, an_object
from predictor.operations.examples import Examples
from predictor.operations.model import SERVED
from predictor.parts import Service
from predictor.protocols.explain.openapi import EXPLANATION
from predictor.protocols.mlflow_scoring import openapi as scoring
from predictor.protocols.open_inference import openapi as open_inference
from predictor.protocols.predict.openapi import predictions, record

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
    for response in operation["responses"].values():
        response["headers"] = {**response.get("headers", {}), _REQUEST_ID: header(_REQUEST_ID)}


_SCHEMES = {
    "api_keys_file": ("api_key", "For predictions."),
    "operations_keys_file": ("operations_key", "For what operators watch."),
}


@dataclass(frozen=True)
class Document:
    """A document as it is sent. It is known by its bytes, and by when its version took over."""

    content: bytes
    validator: Validator


class Documents:
    """What `/openapi.json` answers.

    A record that was recorded with a version may be a patient's. It is for those who may predict; where
    there are keys, others are shown a blank one.
    """

    def __init__(self, app: FastAPI, service: Service) -> None:
        self._app = app
        self._reconciler = service.reconciler
        self._access = service.access
        # That of 10,000 features takes seconds: a thread writes it, and all who ask wait for the same.
        # By the servable, or the application while none serves; weak, so that what was swapped out is
        # freed.
        self._writing: WeakKeyDictionary[object, dict[bool, asyncio.Future[Document]]] = (
            WeakKeyDictionary()
        )
        self._one_at_a_time = Lock()

    async def latest(self, *, recorded: bool = True) -> Document:
        """The document of the servable that serves now, with a recorded example or a blank one."""
        serving = self._reconciler.serving
        writing = self._writing.setdefault(serving or self._app, {})
        if recorded not in writing or _failed(writing[recorded]):
            work = asyncio.to_thread(self._write, serving, recorded=recorded)
            writing[recorded] = asyncio.ensure_future(work)
        # One client that leaves does not take the document from the others.
        return await asyncio.shield(writing[recorded])

    def _write(self, servable: Servable | None, *, recorded: bool) -> Document:
        with self._one_at_a_time:  # FastAPI's part of it is not made for threads
            written = document(self._app, servable, recorded=recorded and servable is not None)
        _ask_for_keys(written, self._access)
        content = msgspec.json.encode(written)
        took_over = clock.wall(servable.loaded_at) if servable else None
        return Document(content, Validator.of(content, took_over))


def _failed(written: "asyncio.Future[Document]") -> bool:
    return written.done() and (written.cancelled() or written.exception() is not None)


def _ask_for_keys(written: dict[str, Any], access: Access) -> None:
    """Say which routes ask for a key, and what is answered without one."""
    for path, operations in written["paths"].items():
        kind = needs(path)
        if kind is None or not access.guards(path):
            continue
        name, purpose = _SCHEMES[kind]
        written["components"].setdefault("securitySchemes", {})[name] = {
            "type": "http",
            "scheme": "bearer",
            "description": f"{purpose} `X-API-Key: KEY` does as well.",
        }
        for operation in operations.values():
            operation["security"] = [{name: []}]
            refused = scoring.REFUSED if path == "/invocations" else problems_with(401)[401]
            operation["responses"]["401"] = refused


def routes(service: Service, documents: Documents) -> APIRouter:
    """The routes that say what the API is."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def document(request: Request) -> Response:
        recorded = service.access.allows("/predict", request.scope["headers"])
        latest = await documents.latest(recorded=recorded)
        return answer(request, latest.validator, latest.content, "application/json", NO_CACHE)

    return router
