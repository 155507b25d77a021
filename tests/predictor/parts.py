"""Hand-written parts for tests: a source without a network, a registry that misbehaves, observers."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from predictor.errors import CacheError, LoadError, RegistryUnreachable
from predictor.events import Event
from predictor.model.artifact import Fetched
from predictor.model.loader import load
from predictor.model.servable import Interrupt, Servable
from predictor.model_version import Listing, ModelVersion
from predictor.registry.client import TrackingServer
from tests.predictor.graphs import classifier


async def until(happened: Callable[[], object]) -> None:
    """Let the loop run until `happened()`; the test's own timeout is the limit."""
    while not happened():  # noqa: ASYNC110  the test polls, the code under test has no hook for it
        await asyncio.sleep(0.001)


def version(number: int, *, created: int = 0, updated: int = 0, **tags: str) -> ModelVersion:
    return ModelVersion(
        "m", str(number), f"mlflow-artifacts:/{number}", created, f"run{number}", updated, tags
    )


def write_artifact(
    folder: Path, model: bytes | None = None, signature: str | None = None, **beside: bytes
) -> Fetched:
    """The files of a version as MLflow lays them out; `beside` are further files."""
    folder.mkdir(parents=True, exist_ok=True)
    mlmodel: dict[str, Any] = {"flavors": {"onnx": {"data": "model.onnx"}}}
    if signature is not None:
        mlmodel["signature"] = {"inputs": signature}
    (folder / "MLmodel").write_text(yaml.safe_dump(mlmodel))
    (folder / "model.onnx").write_bytes(classifier() if model is None else model)
    for name, content in beside.items():
        (folder / name).write_bytes(content)
    paths = ["MLmodel", "model.onnx", *beside]
    return Fetched.of("model.onnx", {path: (folder / path).read_bytes() for path in paths}, {})


def servable_of(
    folder: Path, model: bytes | None = None, signature: str | None = None, number: int = 1
) -> Servable:
    return load(version(number), write_artifact(folder, model, signature), Interrupt())


class FakeSource:
    """A Source that says and brings what a test wants, when the test wants it."""

    no_version_reason = "nothing is in Production"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.says: ModelVersion | None = None
        self.down = False
        self.broken: dict[str, str] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.verified: tuple[ModelVersion, Fetched] | None = None
        self.fetched: list[str] = []
        self.written: list[str] = []
        self.slow_writes: list[asyncio.Event] = []
        self.disk_full = False
        self.lists = Listing((), {}, {}, more=False)
        self.listed: list[list[str]] = []
        self.listings: dict[str, str] = {}
        self.slow_reads: list[asyncio.Event] = []
        self.closed = False

    async def aspired(self) -> ModelVersion | None:
        await asyncio.sleep(0)
        if self.down:
            raise RegistryUnreachable("http://registry", "connection refused")
        return self.says

    def expect_change(self) -> None:
        """No cache is before it."""

    async def listing(self, named: Sequence[str]) -> Listing:
        self.listed.append(list(named))
        if self.down:
            raise RegistryUnreachable("http://registry", "connection refused")
        return self.lists

    async def fetch(self, version: ModelVersion) -> Fetched:
        self.fetched.append(version.version)
        if version.version in self.held:
            await self.held[version.version].wait()
        if version.version in self.broken:
            raise LoadError("fetch", self.broken[version.version])
        return self.files(version)

    def files(self, version: ModelVersion) -> Fetched:
        return write_artifact(self._folder / version.version, classifier((version.number, -1.0)))

    async def fingerprint(self, version: ModelVersion) -> str | None:
        return self.listings.get(version.version)

    async def last_verified(self) -> tuple[ModelVersion, Fetched] | None:
        found = self.verified
        if self.slow_reads:
            await self.slow_reads.pop(0).wait()
        return found

    async def close(self) -> None:
        self.closed = True

    async def remember(self, version: ModelVersion, fetched: Fetched) -> None:
        if self.disk_full:
            raise CacheError("written", OSError("no space left"))
        if self.slow_writes:
            await self.slow_writes.pop(0).wait()
        self.verified = (version, fetched)
        self.written.append(version.version)

    async def forget(self) -> None:
        if self.disk_full:
            raise CacheError("written", OSError("no space left"))
        if self.slow_writes:
            await self.slow_writes.pop(0).wait()
        self.verified = None
        self.written.append("none")


class RecordedEvents:
    """An observer that records events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Counted:
    """A BatchObserver that keeps the number of rows of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def ran(self, servable: Servable, answers: Sequence[Any], seconds: float) -> None:
        self.calls.append(len(answers))


_TLS = ssl.create_default_context()  # reading the certificates for each client would take longer


class Client(TrackingServer):
    """A TrackingServer that is closed on the way out."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def a_client(address: str, **asked: Any) -> Client:
    """What the service asks the registry with, without credentials."""
    return Client(httpx.AsyncClient(base_url=address, timeout=5, verify=_TLS), **asked)


Reply = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(reply: Reply | bytes) -> AsyncIterator[str]:
    """A TCP server that answers each connection with bytes of the test's own; gives its address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if isinstance(reply, bytes):
                writer.write(reply)
            else:
                await reply(head, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP/1.1 response with the right length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
