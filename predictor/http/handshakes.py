"""TLS connections, counted and bounded in time from the moment that they are accepted.

An event loop shows a connection to its protocol only once the handshake is over. A client that never
finishes it would be counted by nobody, and would take 50 kB for a minute. So TLS connections are accepted
here, with public parts of asyncio, and all others by uvicorn.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from predictor.http.limits import Limits

_PAUSE_SECONDS = (
    0.1  # after a connection that could not be accepted, such as for want of descriptors
)


@dataclass(frozen=True)
class Handshakes:
    """What bounds the handshakes of one process: with its connections, there are `limits.connections`.

    `refused(status)` is called for each connection beyond them, which is closed without a handshake.
    """

    limits: Limits
    refused: Callable[[int], None]
    connections: Collection[Any]
    """Those whose handshake is over."""
    in_progress: set["asyncio.Task[None]"] = field(default_factory=set)


class TlsServer:
    """Accepts the connections of one listening socket; each gets a protocol that `connect` makes.

    uvicorn closes it as it closes a server of asyncio.
    """

    def __init__(
        self,
        listener: socket.socket,
        context: ssl.SSLContext,
        connect: Callable[[], asyncio.Protocol],
        handshakes: Handshakes,
    ) -> None:
        self.sockets = (listener,)
        self._listener = listener.dup()  # the other one is uvicorn's to close
        self._listener.setblocking(False)
        self._context = context
        self._connect = connect
        self._handshakes = handshakes
        self._task = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop, handshakes = asyncio.get_running_loop(), self._handshakes
        with self._listener:
            while True:
                try:
                    client, _ = await loop.sock_accept(self._listener)
                except OSError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                taken = len(handshakes.in_progress) + len(handshakes.connections)
                if taken >= handshakes.limits.connections:
                    client.close()
                    handshakes.refused(HTTPStatus.SERVICE_UNAVAILABLE)
                    continue
                task = asyncio.create_task(self._shake_hands(client))
                handshakes.in_progress.add(task)
                task.add_done_callback(handshakes.in_progress.discard)

    async def _shake_hands(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # this is no TLS, or the client has left, or is late
            await asyncio.get_running_loop().connect_accepted_socket(
                self._connect, client, ssl=self._context,
                ssl_handshake_timeout=self._handshakes.limits.header_seconds,
            )  # fmt: skip

    def close(self) -> None:
        """Accept no more, and end the handshakes that are in progress."""
        for task in (self._task, *self._handshakes.in_progress):
            task.cancel()

    async def wait_closed(self) -> None:
        """Return once nothing is accepted any more."""
        await asyncio.wait([self._task])
