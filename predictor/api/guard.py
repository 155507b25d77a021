"""The guard: before any route is asked, the key that it needs."""

from collections.abc import Awaitable, Callable

from fastapi import Request
from structlog.contextvars import bind_contextvars

from predictor.access import NOBODYS, Access


def guard(access: Access) -> Callable[[Request], Awaitable[None]]:
    """A dependency of every route, for the whole application. It raises Unauthorized."""

    async def check(request: Request) -> None:
        scope = request.scope
        client = request.client.host if request.client else ""
        route = scope["route"].path
        # What no row of the table can be about, nobody may ask.
        named = route if _is_whole(route, scope["path"]) else NOBODYS
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
