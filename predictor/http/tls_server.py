"""TlsServer: accepts TLS connections, and limits their handshakes in number and time.

asyncio creates the protocol of a TLS connection only after the handshake. A client that never finishes
it would count towards no limit, and take 50 kB for a minute.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Collection, Sequence
from http import HTTPStatus
from typing import Any

from predictor.http.limits import Limits

_PAUSE_SECONDS = 0.1  # after a failed accept, as without free file descriptors


class TlsServer:
    """A server of listening sockets, with those methods of asyncio's that uvicorn calls.

    `connect` makes a protocol. Handshakes and `connections` together are at most
    `limits.connections`; one more is closed, and `refused(status)` is called.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        context: ssl.SSLContext,
        connect: Callable[[], asyncio.Protocol],
        connections: Collection[Any],
        *,
        limits: Limits,
        refused: Callable[[int], None],
    ) -> None:
        self.sockets = tuple(listeners)
        self._context = context
        self._connect = connect
        self._connections = connections
        self._limits = limits
        self._refused = refused
        self._handshakes: set[asyncio.Task[None]] = set()
        # Copies: uvicorn closes the others.
        self._accepting = [asyncio.create_task(self._accept(each.dup())) for each in listeners]

    async def _accept(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    client, _ = await loop.sock_accept(listener)
                except OSError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                if len(self._handshakes) + len(self._connections) >= self._limits.connections:
                    client.close()
                    self._refused(HTTPStatus.SERVICE_UNAVAILABLE)
                    continue
                task = asyncio.create_task(self._shake_hands(client))
                self._handshakes.add(task)
                task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # not TLS, or the client left or was late
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connect, client, ssl=self._context,
                ssl_handshake_timeout=self._limits.header_seconds,
            )  # fmt: skip

    def close(self) -> None:
        """Accept no more, and end the handshakes."""
        for task in (*self._accepting, *self._handshakes):
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        await asyncio.wait(self._accepting)
