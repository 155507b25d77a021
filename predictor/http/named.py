"""Named: every answer says which request it is to, and so does every line logged about one."""

from structlog.contextvars import bind_contextvars

from predictor.http import request_id
from predictor.http.instrument import App, Message, Receive, Scope, Send


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
