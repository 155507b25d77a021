"""Counts every HTTP request: pure ASGI, because a middleware that wraps responses halves throughput."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from time import perf_counter
from typing import Any

from predictor.http import problems
from predictor.http.endless import is_endless

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
