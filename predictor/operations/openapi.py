"""`GET /openapi.json`: the document of the serving version, generated once for each version."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response

from predictor.access import Access, needs
from predictor.http.conditional import NO_CACHE, conditional_response, strong_etag
from predictor.http.problems import find_error_format
from predictor.model.servable import Servable
from predictor.openapi.document import Describe, document
from predictor.openapi.examples import Examples
from predictor.openapi.responses import describe_errors
from predictor.openapi.schemas import Part, components
from predictor.operations.health import Health, Readiness
from predictor.operations.model import Model
from predictor.operations.overview import Overview
from predictor.operations.webhook import Delivered
from predictor.reconcile.reconciler import Reconciler
from predictor.registry.webhooks import WebhookBody


def describe(_: Servable | None, __: Examples) -> Part:
    """The bodies of the operators' routes."""
    return Part(components(Health, Readiness, Model, Overview, WebhookBody, Delivered))


_SCHEMES = {
    "api_keys_file": ("api_key", "For predictions."),
    "operations_keys_file": ("operations_key", "For operators."),
}


@dataclass(frozen=True)
class Document:
    """An encoded document and its ETag."""

    content: bytes
    etag: str


class Documents:
    """Generates the document of each serving version, and keeps it for the lifetime of its servable.

    A record that is stored with a version may be a patient's. If API keys are required, only a client with a
    key gets it as an example; others get a blank record.
    """

    def __init__(
        self, app: FastAPI, reconciler: Reconciler, access: Access, parts: Sequence[Describe]
    ) -> None:
        self._app = app
        self._parts = parts
        self._reconciler = reconciler
        self._access = access
        # With 10,000 features it takes seconds, so a thread generates it, once for all waiting requests.
        # The key is the servable, or the application if none serves. It is a weak reference, so that a
        # servable is freed after a swap.
        self._writing: WeakKeyDictionary[object, dict[bool, asyncio.Future[Document]]] = (
            WeakKeyDictionary()
        )
        self._one_at_a_time = Lock()

    async def latest(self, *, recorded: bool = True) -> Document:
        """The document of the serving servable, with a recorded example or a blank one."""
        serving = self._reconciler.serving
        writing = self._writing.setdefault(serving or self._app, {})
        if recorded not in writing or _failed(writing[recorded]):
            work = asyncio.to_thread(self._write, serving, recorded=recorded)
            writing[recorded] = asyncio.ensure_future(work)
        # A client that disconnects must not cancel the work for the others.
        return await asyncio.shield(writing[recorded])

    def _write(self, servable: Servable | None, *, recorded: bool) -> Document:
        with self._one_at_a_time:  # FastAPI's part is not thread-safe
            written = document(self._app, servable, self._parts, recorded=recorded)
        _add_keys(written, self._app, self._access)
        content = msgspec.json.encode(written)
        return Document(content, strong_etag(content))


def _failed(written: "asyncio.Future[Document]") -> bool:
    return written.done() and (written.cancelled() or written.exception() is not None)


def _add_keys(written: dict[str, Any], app: FastAPI, access: Access) -> None:
    """Add the key that each route requires, and its response without one."""
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
            refused = describe_errors(401, error_format=find_error_format(app, path))
            operation["responses"]["401"] = refused[401]


def routes(documents: Documents, access: Access) -> APIRouter:
    """The route of the document."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    async def document(request: Request) -> Response:
        recorded = access.allows("/predict", request.scope["headers"])
        latest = await documents.latest(recorded=recorded)
        return conditional_response(
            request, latest.etag, latest.content, "application/json", NO_CACHE
        )

    return router
