"""Documents: the OpenAPI document of each servable, written when it is first asked for."""

import asyncio
from dataclasses import dataclass
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from fastapi import FastAPI

from predictor import clock
from predictor.access import Access, needs
from predictor.http.conditional import Validator
from predictor.openapi import scoring
from predictor.openapi.document import document
from predictor.openapi.operations import problems_with
from predictor.servable import Servable
from predictor.service import Service

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
