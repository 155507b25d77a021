"""uvicorn with our connections and TLS, and a stop that always ends in time."""

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
from predictor.http.connection import Connection
from predictor.http.fast_lane import FastLane
from predictor.http.limits import Limits
from predictor.http.tls_server import TlsServer
from predictor.log_events import EXIT_FORCED
from predictor.settings import Settings
from predictor.signals import ENDING

_LAST_SECONDS = 2  # for threads to end, once every request has its answer


class Server(uvicorn.Server):
    """Stops in time: requests have `timeout_graceful_shutdown`, threads a little more.

    `begin_stop` is called when the stop begins, to end streams; `refused(status)` for each TLS
    connection beyond the limit.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        begin_stop: Callable[[], None],
        limits: Limits,
        refused: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self._begin_stop = begin_stop
        self._limits = limits
        self._refused = refused
        self._stop_limited = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve. From now on a stop ends in time, even if the event loop hangs."""
        if self.config.ssl is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            protocol: Any = self.config.http_protocol_class
            state = {"server_state": self.server_state, "app_state": self.lifespan.state}
            connect = partial(protocol, config=self.config, **state)
            connections = self.server_state.connections
            tls = TlsServer(
                sockets or (), self.config.ssl, connect, connections,
                limits=self._limits, refused=self._refused,
            )  # fmt: skip
            self.servers = [tls]  # type: ignore[list-item]
        if threading.current_thread() is threading.main_thread():
            hear((*HANDLED_SIGNALS, *ENDING), self._limit_stop)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the stop, and limit its time."""
        self._limit_stop()
        super().handle_exit(sig, frame)

    def _limit_stop(self) -> None:
        if not self._stop_limited:
            self._stop_limited = True
            grace = self.config.timeout_graceful_shutdown or 0
            _end_after(grace + 2 * _LAST_SECONDS, 1, "requests or the service's parts did not end")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the requests in flight, then wait a little for threads."""
        self._begin_stop()
        await super().shutdown(sockets)
        _end_after(_LAST_SECONDS, 0, "every request was answered, but a load does not end")


def server(
    app: Any,
    settings: Settings,
    lane: FastLane | None,
    begin_stop: Callable[[], None],
    refused: Callable[[int], None],
) -> Server:
    """The server of one application. It calls `begin_stop` when a stop begins."""
    config = uvicorn.Config(
        app,
        http=protocol(settings, lane, refused),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # any client can send these header fields
        headers=[NOSNIFF],
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )

    return Server(config, begin_stop, Limits.of(settings), refused)


def protocol(settings: Settings, lane: FastLane | None, refused: Callable[[int], None]) -> Any:
    """The factory of connections, which take the fast lane if there is one."""
    return partial(Connection, lane, Limits.of(settings), refused)


def hear(signals: Collection[int], act: Callable[[], None]) -> None:
    """Call `act` in a thread once the process gets one of these signals. The event loop must run.

    Python calls signal handlers in the main thread, which may be inside a call that does not return.
    The event loop gets the numbers of all signals, too.
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
