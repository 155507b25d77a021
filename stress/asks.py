"""The requests that clients send, as bytes, and the connection that they are sent on."""

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
# How often each endpoint is asked, for a thousand requests.
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
class Ask:
    """One request, and what checks its answer; `share` is how often it is sent."""

    endpoint: str
    request: bytes
    check: Callable[[bytes, Sequence[int]], str | None]
    share: float
    records: tuple[int, ...] = ()


def asks(truth: Truth, url: str, choices: random.Random) -> list[Ask]:
    """Each record alone, batches of several in any order, and the endpoints for ops."""
    host = urlsplit(url).netloc
    numbers = range(len(truth.records))
    single = [
        Ask("/predict", _post(host, "/predict", truth.records[n]), truth.prediction,
            _SHARES["/predict"] / len(numbers), (n,))
        for n in numbers
    ]  # fmt: skip
    several = [
        tuple(choices.choices(numbers, k=choices.randint(1, 2 * len(numbers))))
        for _ in range(_BATCHES)
    ]
    path = "/predict/batch"
    batches = [
        Ask(path, _post(host, path, {"instances": [truth.records[n] for n in picked]}),
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
    return single + batches + [Ask(p, _get(host, p), c, _SHARES[p]) for p, c in checks.items()]


def _post(host: str, path: str, body: object) -> bytes:
    encoded = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(encoded)}\r\n\r\n".encode() + encoded


def _get(host: str, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@dataclass
class Connection:
    """A persistent HTTP/1.1 connection; it is made when it is needed, and again when it was lost."""

    url: str
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(
        default=None, init=False
    )

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """The status and body of the answer. Raises OSError or EOFError."""
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
        """Close what is open; the next exchange connects anew."""
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
