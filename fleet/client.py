"""A client of NATS, and the name of the bucket in which replicas keep their status."""

import ssl
from collections.abc import Callable, Mapping
from typing import Any

from nats.aio import client

BUCKET = "hotswap-fleet"
"""The bucket of statuses, in JetStream's key-value store."""


class Client(client.Client):
    """nats-py's client: one try to connect, and credentials over TLS only if the URL says so."""

    async def open(
        self,
        server: str,
        sign_in: Mapping[str, Any],
        tls: Callable[[], ssl.SSLContext],
        *,
        seconds: float,
        **options: Any,
    ) -> None:
        """Connect to one server; a connection that ends stays so. `tls` is called for `tls://` only.

        Raises nats.errors.Error or OSError.
        """
        await self.connect(
            server, allow_reconnect=False, connect_timeout=seconds,
            # By default nats-py tries one server for two minutes.
            max_reconnect_attempts=1, reconnect_time_wait=0.1,
            tls=tls() if server.startswith("tls:") else None, **sign_in, **options,
        )  # fmt: skip

    def _connect_command(self) -> bytes:
        # The client of nats-py would send credentials in plain text to a server that does not ask for TLS.
        if self.options.get("tls") and not self._server_info.get("tls_required"):
            raise ConnectionError("the server does not offer TLS, and its URL begins with tls:")
        return bytes(super()._connect_command())
