"""An RSGI application that does nothing: the cost of Granian itself."""

from typing import Any

_HEADERS = [("content-type", "application/json")]


async def app(_scope: Any, protocol: Any) -> None:
    """Answer `{}` to every request without reading its body."""
    protocol.response_bytes(200, _HEADERS, b"{}")
