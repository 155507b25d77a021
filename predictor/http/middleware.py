"""ASGI middleware around every request: its id, its count, CORS, and HEAD wherever GET answers.

Pure ASGI, because a middleware that wraps responses halves throughput.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from predictor.http import problems, request_id

_MARK = "endless"


def begin_endless(scope: MutableMapping[str, Any]) -> None:
    """Mark the answer to this ASGI request as one without an end."""
    scope.setdefault("state", {})[_MARK] = True


def is_endless(scope: Mapping[str, Any]) -> bool:
    """Whether the answer to this ASGI request is marked so."""
    return _MARK in scope.get("state", ())


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Instrument:
    """Wraps an ASGI app, and tells `answered(endpoint, code, seconds)` of each request.

    The endpoint is the path of the route that matched, or `other`: a client cannot make new labels.
    """

    def __init__(self, app: App, answered: Callable[[str, int, float], None]) -> None:
        self._app = app
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        code = 0
        counted = False

        def count() -> None:
            nonlocal counted
            if not counted:
                counted = True
                endpoint = getattr(scope.get("route"), "path", "other")
                self._answered(endpoint, code or 500, perf_counter() - started)

        async def observed(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                if is_endless(scope):  # hours of a stream say nothing of how fast we are
                    count()
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except asyncio.CancelledError:
            # uvicorn's grace at the end is over; left to it, this would be a 500 in plain text.
            if not code:
                stopping = problems.problem(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "the service stops; ask another replica",
                    problems.RETRY,
                )
                await stopping(scope, receive, observed)
        finally:
            count()


class Named:
    """Wraps an ASGI app: the request's id is in its answer's header, and in its task's context.

    Pure ASGI, because a middleware that wraps responses halves throughput. It stands around all
    others, so that no answer leaves without an id: not even the one to a fault of ours.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = request_id.of(scope)
        field = (request_id.HEADER, name.encode())

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [field, *message.get("headers", ())]}
            await send(message)

        # For good: the task is the request's own, and the server may log about it after this.
        bind_contextvars(request_id=name)
        await self._app(scope, receive, named)


class Head:
    """Wraps an ASGI app: a HEAD is answered with the status and the header fields of its GET, and ends.

    An answer without an end, such as a stream, is told that its client has left.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def heard() -> Message:
            return {"type": "http.disconnect"} if ended else await receive()

        async def fields_only(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                ended = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        # Another scope: the server looks at the method of its own, so as not to send a body.
        await self._app({**scope, "method": "GET"}, heard, fields_only)


def allowed(methods: str) -> str:
    """The `Allow` field of a route that takes these methods: HEAD, too, where there is GET."""
    found = set(methods.split(", "))
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))


_PREFLIGHT = SimpleNamespace(path="preflight")  # what metrics call it, as if it were a route
_ASKED_WITH = (
    "Authorization", "X-API-Key", "Content-Type", "X-Request-ID", "traceparent", "tracestate",
    "Last-Event-ID", "If-None-Match",
)  # fmt: skip
_READ = ("X-Request-ID", "Retry-After", "WWW-Authenticate", "ETag")


class Cors(CORSMiddleware):
    """Starlette's, with refusals in the one shape of errors, and preflights counted by themselves.

    A preflight needs no key, because a browser sends none with it. Cookies are not allowed: a key is
    sent by the page that was given one, and by no other.
    """

    def __init__(self, app: App, origins: tuple[str, ...]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=("GET", "HEAD", "POST"), allow_headers=_ASKED_WITH,
            expose_headers=_READ,
        )  # fmt: skip
        # https://wicg.github.io/private-network-access/: a browser asks whether a page of the Internet
        # may reach this network. The origins that are allowed may.
        self.allow_private_network = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            asked = Headers(scope=scope)
            if "origin" in asked and "access-control-request-method" in asked:
                scope["route"] = _PREFLIGHT
        await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser may send, or a problem document that says what it may not."""
        response = super().preflight_response(request_headers)
        allowed = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type"}
        }
        if response.status_code == HTTPStatus.OK:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=allowed)
        detail = (
            f"{bytes(response.body).decode()}; PREDICTOR_CORS_ORIGINS names whose pages may ask"
        )
        return problems.problem(HTTPStatus.BAD_REQUEST, detail, allowed)
