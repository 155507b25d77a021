"""HEAD wherever GET answers (RFC 9110, section 9.3.2): one mechanism below all routes, and none in them."""

from predictor.http.instrument import App, Message, Receive, Scope, Send


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
