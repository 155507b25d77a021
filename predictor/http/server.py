"""Server: uvicorn with this service's bounds and TLS, and an end that nothing can put off."""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Collection
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from predictor.http.conditional import NOSNIFF
from predictor.http.handshakes import Handshakes, TlsServer
from predictor.http.limits import Limits
from predictor.log_events import CONNECTIONS_NOT_BOUNDED, EXIT_FORCED
from predictor.parts import Service
from predictor.signals import ENDING

_LAST_SECONDS = 2  # for threads to end, once every request has its answer
_RELIED_ON = {
    "app_state", "connections", "cycle", "expect_100_continue", "flow", "headers", "limit_concurrency", "loop",
    "parser", "pipeline", "scheme", "scope", "server_state", "timeout_keep_alive",
    "timeout_keep_alive_task", "transport",
}  # fmt: skip
_CALLED = {
    "_start_asgi_task", "_unset_keepalive_if_required", "connection_lost", "connection_made", "data_received",
    "eof_received", "on_body", "on_header", "on_headers_complete", "on_message_begin",
    "on_message_complete", "on_response_complete", "pause_writing", "resume_writing", "shutdown",
    "timeout_keep_alive_handler",
}  # fmt: skip


class Server(uvicorn.Server):
    """Ends in time: what is in flight has `timeout_graceful_shutdown`, threads a moment more.

    `leaving` is called when the end begins: answers that have no end of their own get one.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        leaving: Callable[[], None],
        limits: Limits | None = None,
        refused: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`limits` are those of TLS handshakes; `refused(status)` hears of connections beyond them."""
        super().__init__(config)
        self._leaving = leaving
        connections = self.server_state.connections
        self._handshakes = Handshakes(limits, refused, connections) if limits else None
        self._bounded = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve; from now on the end is bounded though the event loop stands still."""
        if self._handshakes is None or self.config.ssl is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            protocol: Any = self.config.http_protocol_class
            state = {"server_state": self.server_state, "app_state": self.lifespan.state}
            connect = partial(protocol, config=self.config, **state)
            self.servers = [
                TlsServer(each, self.config.ssl, connect, self._handshakes)  # type: ignore[misc]
                for each in sockets or ()
            ]
        if threading.current_thread() is threading.main_thread():
            hear((*HANDLED_SIGNALS, *ENDING), self._bound_the_end)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end, and bound it."""
        self._bound_the_end()
        super().handle_exit(sig, frame)

    def _bound_the_end(self) -> None:
        if not self._bounded:
            self._bounded = True
            grace = self.config.timeout_graceful_shutdown or 0
            _end_after(grace + 2 * _LAST_SECONDS, 1, "requests or the service's parts did not end")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight, and then wait for no thread for long."""
        self._leaving()
        await super().shutdown(sockets)
        _end_after(_LAST_SECONDS, 0, "every request was answered, but a load does not end")


def server(app: Any, service: Service) -> Server:
    """The server of one application and the parts that it was made of."""
    settings = service.settings
    config = uvicorn.Config(
        app,
        http=protocol(service),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # anybody can write what they say
        headers=[NOSNIFF],
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )

    def leave() -> None:
        service.journal.close()
        for begin in service.leaving:
            begin()

    return Server(config, leave, Limits.of(settings), service.metrics.refused)


def protocol(service: Service) -> Any:
    """The protocol with bounds; uvicorn's own, with a warning, where that is not as we know it."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        from predictor.http.bounded import BoundedProtocol
        from predictor.http.fast_lane import FastLaneProtocol
        from predictor.http.lane import Lane
    except ImportError as error:
        unknown = [str(error)]
    else:
        unknown = missing_names(HttpToolsProtocol)
    if unknown:
        CONNECTIONS_NOT_BOUNDED.log(uvicorn=uvicorn.__version__, unknown=unknown)
        return "auto"
    settings, metrics = service.settings, service.metrics
    limits = Limits.of(settings)
    # Traces begin and end in the application, which the fast lane never asks.
    if not settings.fast_lane or settings.traces_exporter != "none":
        return partial(BoundedProtocol, limits, metrics.refused)
    lane = Lane(service.batcher, metrics, service.access, settings)
    return partial(FastLaneProtocol, lane, limits, metrics.refused)


def missing_names(stock: type) -> list[str]:
    """What BoundedProtocol relies on, and this class of uvicorn's does not have."""
    made = set(stock.__init__.__code__.co_names)  # type: ignore[misc]
    return sorted((_RELIED_ON - made) | {name for name in _CALLED if not hasattr(stock, name)})


def hear(signals: Collection[int], act: Callable[[], None]) -> None:
    """Call `act` in a thread once the process gets one of these signals. To be called on a running loop.

    Python calls a signal's handler in the main thread, which may be inside a call that does not return.
    The numbers of all signals are passed on to the event loop, which waits for them, too.
    """
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    loop = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)

    def read() -> None:
        while numbers := os.read(reads, 64):
            if loop != -1:
                with contextlib.suppress(OSError):  # it is closed, or has enough to read
                    os.write(loop, numbers)
            if not set(signals).isdisjoint(numbers):
                act()

    threading.Thread(target=read, name="signals", daemon=True).start()


def _end_after(seconds: float, code: int, reason: str) -> None:
    def end() -> None:
        EXIT_FORCED.log(reason=reason)
        os._exit(code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
