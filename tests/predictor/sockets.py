"""A service behind a real socket, and an HTTP client that says exactly which bytes it writes at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from predictor.service import Service, create_server
from tests.hostile.wire import Response, split

SECONDS = 20  # so wide that only a hang reaches it


@dataclass
class Listening:
    """A running uvicorn with the service's own protocol, in this event loop."""

    server: uvicorn.Server
    port: int
    asked: list[str] = field(default_factory=list)
    """The paths that came through ASGI."""

    _stopping: asyncio.Task[None] | None = None

    async def connect(self) -> "Connection":
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port))

    def stop(self) -> asyncio.Task[None]:
        """Begin to stop, as for SIGTERM, unless it has begun."""
        self._stopping = self._stopping or asyncio.create_task(self.server.shutdown())
        return self._stopping

    async def end(self) -> None:
        """Stop; idle connections end without the tenth of a second that uvicorn waits for them."""
        if not self._stopping:
            for server in self.server.servers:
                server.close()
            state = self.server.server_state
            for connection in list(state.connections):
                connection.shutdown()
            for _ in range(20):
                if not (state.connections or state.tasks):
                    return
                await asyncio.sleep(0.001)
        await self.stop()


@dataclass
class Connection:
    """One connection of a client that reads only when it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    raw: bytes = b""

    async def send(self, *parts: bytes) -> None:
        """Each part in a packet of its own, which the server has time to read."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0.01)

    async def answers(self, count: int = 1) -> list[Response]:
        """The next answers; fewer if the server closes before."""
        while len(split(self.raw)[0]) < count:
            chunk = await asyncio.wait_for(self.reader.read(1 << 20), SECONDS)
            if not chunk:
                break
            self.raw += chunk
        responses, self.raw = split(self.raw)
        return responses

    async def closed(self) -> bool:
        """Whether the server closes, without another word."""
        return await asyncio.wait_for(self.reader.read(), SECONDS) == b""

    async def ask(self, *parts: bytes) -> Response:
        *begins, last = parts
        await self.send(*begins)
        self.writer.write(last)
        await self.writer.drain()
        (response,) = await self.answers()
        return response

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(app: Any, service: Service, **config: Any) -> AsyncIterator[Listening]:
    """Serve, on a port that the system picks. `config` are attributes of uvicorn's configuration."""
    asked: list[str] = []

    async def told(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await app(scope, receive, send)

    # Ours ends the process after a while, whatever still runs in it.
    made = uvicorn.Server(create_server(told, service).config)
    # The registry is asked when a test says so, and not by the watcher.
    made.config.lifespan = "off"
    made.config.port = 0
    for name, value in config.items():
        setattr(made.config, name, value)
    # Step by step, and not by `serve`, whose loop looks only ten times a second whether it should end.
    made.config.load()
    made.lifespan = made.config.lifespan_class(made.config)
    await made.startup()
    await made.on_tick(0)  # header fields of the server
    port = made.servers[0].sockets[0].getsockname()[1]
    listens = Listening(made, port, asked)
    try:
        yield listens
    finally:
        await asyncio.wait_for(listens.end(), SECONDS)


class OneWrite(httpx.AsyncBaseTransport):
    """Sends a request's head and body at once, as most clients but httpx do; one connection."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()]
        lines += [b"%b: %b" % field for field in request.headers.raw]
        body = await request.aread()
        if "transfer-encoding" in request.headers:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        connection = await self._listening.connect()
        try:
            response = await connection.ask(b"\r\n".join([*lines, b"", body]))
        finally:
            await connection.close()
        return httpx.Response(
            response.status, headers=list(response.headers.items()), content=response.body
        )
