"""Server: gRPC in the event loop that serves HTTP, from the service's start to its end."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Self

# gRPC's library logs to stderr lines that are not JSON and may contain data of clients.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc

from predictor.access import Access, Headers
from predictor.http.listeners import numeric
from predictor.inference.batcher import Batcher
from predictor.log_events import CANNOT_LISTEN
from predictor.metrics.recorder import Metrics
from predictor.protocols.open_inference.grpc.calls import Calls
from predictor.protocols.open_inference.grpc.methods import INFER, methods
from predictor.reconcile.reconciler import Reconciler
from predictor.settings import Settings

_DEFAULT_BYTES = 4 << 20  # gRPC's default limit of a message


class GrpcServer:
    """Serves calls while it is entered. `begin_stop` ends it earlier, as a signal does for HTTP."""

    def __init__(
        self,
        settings: Settings,
        *,
        batcher: Batcher,
        reconciler: Reconciler,
        access: Access,
        metrics: Metrics,
        below: Callable[[Headers], AbstractContextManager[None]],
    ) -> None:
        self.port = settings.grpc_port or 0
        self._settings = settings
        submit = partial(batcher.submit, INFER)
        self._calls = Calls(
            methods(batcher, reconciler),
            submit,
            settings=settings,
            access=access,
            metrics=metrics,
            below=below,
        )
        self.observe = self._calls.observe
        self._server: grpc.aio.Server | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Listen. Raises RuntimeError where the port cannot be bound."""
        server = grpc.aio.server(handlers=[self._calls], options=_options(self._settings))
        self.port = _listen(server, self._settings)
        await server.start()
        self._server = server
        return self

    def begin_stop(self) -> None:
        """Begin a graceful stop, once; nothing where it does not listen."""
        if self._server is not None and self._stopping is None:
            stop = partial(self._server.stop, self._settings.shutdown_seconds)
            self._stopping = asyncio.create_task(self._calls.stop(stop))

    async def __aexit__(self, *_: object) -> None:
        self.begin_stop()
        if self._stopping is not None:
            await self._stopping


def _listen(server: grpc.aio.Server, settings: Settings) -> int:
    port = settings.grpc_port or 0
    try:
        address = numeric(settings.host, port)
        if settings.tls_certificate is None:
            return int(server.add_insecure_port(address))
        chain = settings.tls_certificate.read_bytes()
        key = settings.tls_key.read_bytes() if settings.tls_key else chain
        pair = grpc.ssl_server_credentials([(key, chain)])
        return int(server.add_secure_port(address, pair))
    except RuntimeError as error:
        CANNOT_LISTEN.log(host=settings.host, port=port, reason=str(error))
        raise


def _options(settings: Settings) -> list[tuple[str, int]]:
    """The limits on clients that gRPC has, by their names in grpc_types.h."""
    idle = max(1, settings.keep_alive_seconds) * 1000
    return [
        # Only workers share the port: a second service would take some of the calls.
        ("grpc.so_reuseport", int(settings.workers > 1)),
        # More than the service accepts, so that it can say itself that a body is too large, as over HTTP.
        ("grpc.max_receive_message_length", max(2 * settings.max_body_bytes, _DEFAULT_BYTES)),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", settings.max_header_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_header_bytes),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_concurrent_streams", settings.max_queued_rows),
        ("grpc.server_handshake_timeout_ms", int(settings.header_seconds * 1000)),
        ("grpc.max_connection_idle_ms", idle),
        # A client that does not answer a ping is gone.
        ("grpc.keepalive_time_ms", idle),
        # No compression, as over HTTP: the size of a decompressed message has no limit.
        ("grpc.compression_enabled_algorithms_bitset", 1),
    ]
