"""The clients' requests, as bytes, and their HTTP connection."""

import asyncio
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from stress.truth import Truth

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BATCHES = 16
# Requests to each endpoint, per thousand.
_SHARES = {
    "/predict": 840,
    "/predict/batch": 110,
    "/ready": 10,
    "/model": 10,
    "/metrics": 10,
    "/openapi.json": 10,
    "/health": 10,
}


@dataclass(frozen=True)
class ClientRequest:
    """One request and the check of its answer; `share` is its relative frequency."""

    endpoint: str
    content: bytes
    check: Callable[[bytes, Sequence[int]], str | None]
    share: float
    records: tuple[int, ...] = ()


def client_requests(truth: Truth, url: str, choices: random.Random) -> list[ClientRequest]:
    """Requests of single records and random batches, and requests to the operations endpoints."""
    host = urlsplit(url).netloc
    numbers = range(len(truth.records))
    single = [
        ClientRequest("/predict", _post(host, "/predict", truth.records[n]), truth.prediction,
            _SHARES["/predict"] / len(numbers), (n,))
        for n in numbers
    ]  # fmt: skip
    several = [
        tuple(choices.choices(numbers, k=choices.randint(1, 2 * len(numbers))))
        for _ in range(_BATCHES)
    ]
    path = "/predict/batch"
    batches = [
        ClientRequest(path, _post(host, path, {"instances": [truth.records[n] for n in picked]}),
            truth.batch, _SHARES[path] / _BATCHES, picked)
        for picked in several
    ]  # fmt: skip
    checks = {
        "/ready": truth.ready,
        "/model": truth.model,
        "/metrics": truth.metrics,
        "/openapi.json": truth.openapi,
        "/health": truth.health,
    }
    return (
        single
        + batches
        + [ClientRequest(p, _get(host, p), c, _SHARES[p]) for p, c in checks.items()]
    )


def _post(host: str, path: str, body: object) -> bytes:
    encoded = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(encoded)}\r\n\r\n".encode() + encoded


def _get(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@dataclass
class Connection:
    """A persistent HTTP/1.1 connection; it is opened on demand, and again after an error."""

    url: str
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(
        default=None, init=False
    )

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and body of the answer. Raises OSError or EOFError."""
        if self._streams is None:
            address = urlsplit(self.url)
            self._streams = await asyncio.open_connection(address.hostname, address.port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is None:
            raise OSError(f"no length in {head!r}")
        return int(head[9:12]), await reader.readexactly(int(length[1]))

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
