"""ASGI middleware around every request: metrics, request id, HEAD and CORS.

Pure ASGI: Starlette's `BaseHTTPMiddleware`, which wraps responses, halves throughput.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from fastapi import Request
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from predictor.access import NO_ROUTE, Access
from predictor.http import problems, request_id

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_STREAM = "stream"


def mark_stream(scope: Scope) -> None:
    """Mark the response to this ASGI request as a stream that lasts until the client leaves."""
    scope.setdefault("state", {})[_STREAM] = True


def is_stream(scope: Mapping[str, Any]) -> bool:
    """Whether `mark_stream` was called for this ASGI request."""
    return _STREAM in scope.get("state", ())


class MetricsMiddleware:
    """Call `answered(endpoint, status, seconds)` once for each request.

    The endpoint is the path of the matched route, or `other`, so clients cannot create new labels.
    A stream is counted when it starts: its length says nothing about the service's speed.
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
        status = 0
        counted = False

        def count() -> None:
            nonlocal counted
            if not counted:
                counted = True
                endpoint = getattr(scope.get("route"), "path", "other")
                self._answered(endpoint, status or 500, perf_counter() - started)

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if is_stream(scope):
                    count()
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except asyncio.CancelledError:
            # uvicorn cancels requests after its grace period, and would answer 500 in plain text.
            if not status:
                detail = "the service stops; ask another replica"
                stopping = problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, problems.RETRY)
                await stopping(scope, receive, observed)
        finally:
            count()


class RequestIdMiddleware:
    """Add the request id to the response's header and to the log context of the request's task.

    It wraps all other middleware: every response has an id, internal errors included.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = request_id.of_scope(scope)
        field = (request_id.HEADER, name.encode())

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [field, *message.get("headers", ())]}
            await send(message)

        # Not unbound afterwards: the task is the request's own, and uvicorn may log in it later.
        bind_contextvars(request_id=name)
        await self._app(scope, receive, with_id)


class HeadMiddleware:
    """Answer HEAD with the status and the header fields of GET.

    The application then sees a client that left, so that streams end.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        ended = False

        async def receive_until_sent() -> Message:
            return {"type": "http.disconnect"} if ended else await receive()

        async def send_head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                ended = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        # A copy of the scope: uvicorn reads HEAD in its own and sends no body.
        await self._app({**scope, "method": "GET"}, receive_until_sent, send_head)


_PREFLIGHT = SimpleNamespace(path="preflight")  # the endpoint of preflights in metrics
_REQUEST_FIELDS = (
    "Authorization", "X-API-Key", "Content-Type", "X-Request-ID", "traceparent", "tracestate",
    "Last-Event-ID", "If-None-Match",
)  # fmt: skip
_RESPONSE_FIELDS = ("X-Request-ID", "Retry-After", "WWW-Authenticate", "ETag")


class CorsMiddleware(CORSMiddleware):
    """Starlette's CORS, with refusals as problem documents and an endpoint of their own for preflights.

    A preflight needs no key: browsers send none with it. Cookies are not allowed.
    """

    def __init__(self, app: App, origins: tuple[str, ...]) -> None:
        super().__init__(
            app, allow_origins=origins, allow_methods=("GET", "HEAD", "POST"), allow_headers=_REQUEST_FIELDS,
            expose_headers=_RESPONSE_FIELDS,
        )  # fmt: skip
        # https://wicg.github.io/private-network-access/: browsers ask whether a public page may
        # send requests to this network. Allowed origins may.
        self.allow_private_network = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                scope["route"] = _PREFLIGHT
        await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """What the browser may send: 204; or a problem document that says what it may not."""
        response = super().preflight_response(request_headers)
        headers = {
            name: value
            for name, value in response.headers.items()
            if name not in {"content-length", "content-type"}
        }
        if response.status_code == HTTPStatus.OK:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
        detail = (
            f"{bytes(response.body).decode()}; PREDICTOR_CORS_ORIGINS lists the allowed origins"
        )
        return problems.problem(HTTPStatus.BAD_REQUEST, detail, headers)


class CorsHeaders:
    """The header fields that CorsMiddleware adds to a response; none without allowed origins."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._middleware = CorsMiddleware(_no_app, origins) if origins else None

    def of(self, fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """For a request with these header fields, whose names are in lower case."""
        if self._middleware is None:
            return []
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        adding = self._middleware.send(
            {"type": "http.response.start"}, keep, Headers(raw=[*fields])
        )
        with contextlib.suppress(StopIteration):
            adding.send(None)  # it waits for nothing
        headers: list[tuple[bytes, bytes]] = sent[0]["headers"]
        return headers


async def _no_app(_: Scope, __: Receive, ___: Send) -> None:
    raise AssertionError("this middleware handles no requests")


def guard(access: Access) -> Callable[[Request], Awaitable[None]]:
    """A FastAPI dependency for every route. It raises Unauthorized."""

    async def check(request: Request) -> None:
        scope = request.scope
        client = request.client.host if request.client else ""
        route = scope["route"].path
        # A path that no row of the table describes needs a key that nobody has.
        named = route if _is_whole(route, scope["path"]) else NO_ROUTE
        owner = access.check(named, scope["headers"], client)
        if owner is not None:
            bind_contextvars(asked_by=owner)  # in every line of the log about this request

    return check


def _is_whole(route: str, path: str) -> bool:
    """Whether a route's path is all of a request's: not so for a line end behind it, or a prefix before it.

    FastAPI does not tell a route of the prefix that its router was included with.
    """
    fixed, parameter, _ = route.partition("{")
    return path.startswith(fixed) if parameter else path == fixed
