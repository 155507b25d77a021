"""Simulated replicas: they poll over HTTP as a predictor does, in a process of their own.

Each polls at a fixed interval from a random moment on, and keeps its connection. When the version changes, it fetches
the files of the new one, as a replica with an empty cache; but only after its next poll, because one process plays all
replicas, and would be busy with 2,000 files while the others notice the change. Each subscribes to the model's messages
over NATS on a connection of its own; after one, it polls as a predictor does then. It reports no status.
"""

import asyncio
import contextlib
import math
import random
import re
import resource
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from time import monotonic
from urllib.parse import urlsplit

_VERSION = re.compile(rb'"version":\s*"(\d+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_SECONDS = 10.0  # a predictor's own limit for a response
_AGAIN_SECONDS = (
    1.0  # between the two polls that a message causes, as in predictor/reconcile/poller.py
)


@dataclass(frozen=True)
class Plan:
    """What the pollers request, and how often; and the port of NATS and the subject of messages.

    `files` are the paths of each version's files.
    """

    url: str
    nats_port: int
    subject: str
    poll: str
    files: Mapping[str, tuple[str, ...]]
    pollers: int
    poll_seconds: float


@dataclass(frozen=True)
class Polls:
    """Counts since the start: responses with 200, and all others. `files` are files that were fetched."""

    answered: int
    failed: int
    files: int


class Pollers:
    """Handle of the pollers' process."""

    def __init__(self, plan: Plan) -> None:
        spawn = get_context("spawn")
        self._pipe, child_pipe = spawn.Pipe()
        self._process = spawn.Process(target=_main, args=(child_pipe, plan), daemon=True)
        self._process.start()
        child_pipe.close()

    def noticed(self, version: str, since: float) -> list[float]:
        """When each poller first got this version after `since`, in seconds of the monotonic clock."""
        self._pipe.send((version, since))
        return list(self._pipe.recv())

    def polls(self) -> Polls:
        """The counts until now."""
        self._pipe.send(None)
        found: Polls = self._pipe.recv()
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()


@dataclass
class _Crowd:
    plan: Plan
    changes: list[list[tuple[float, str]]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self, pipe: Pipe) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), lambda: self._report(pipe))
        async with asyncio.TaskGroup() as group:
            for _ in range(self.plan.pollers):
                changes: list[tuple[float, str]] = []
                self.changes.append(changes)
                group.create_task(self._poll(changes))

    def _report(self, pipe: Pipe) -> None:
        request = pipe.recv()
        if request is None:
            counts = self.counts
            pipe.send(Polls(counts["answered"], counts["failed"], counts["files"]))
            return
        version, since = request
        found = []
        for changes in self.changes:
            after = [time for time, named in changes if named == version and time >= since]
            # A version that it had before and still has is noticed at once.
            had = changes and changes[-1][1] == version
            found += after[:1] or ([since] if had else [])
        pipe.send(found)

    async def _poll(self, changes: list[tuple[float, str]]) -> None:
        link = _Link(self.plan.url)
        pace = await self._pace()
        wanted: tuple[str, ...] = ()
        while True:
            body = await link.get(self.plan.poll, no_cache=await pace.next())
            self.counts["failed" if body is None else "answered"] += 1
            for path in wanted:
                self.counts["files"] += await link.get(path) is not None
            wanted = ()
            found = _VERSION.search(body or b"")
            if found is None:
                continue
            version = found[1].decode()
            if not changes or changes[-1][1] != version:
                changes.append((monotonic(), version))
                wanted = self.plan.files.get(version, ())

    async def _pace(self) -> "_Pace":
        pace = _Pace(self.plan.poll_seconds)
        await asyncio.get_running_loop().create_connection(
            lambda: _Subscription(self.plan.subject, pace.message.set),
            "127.0.0.1",
            self.plan.nats_port,
        )
        return pace


class _Pace:
    """When one replica polls: on schedule, at once after a message, and again a second after that."""

    def __init__(self, poll_seconds: float) -> None:
        self.message = asyncio.Event()
        self._poll_seconds = poll_seconds
        self._due = monotonic() + random.random() * poll_seconds  # noqa: S311  not a secret
        self._again = math.inf

    async def next(self) -> bool:
        """Wait for the moment of the next poll; return whether it tells caches that their copy may be too old."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(self._due, self._again) - monotonic())):
                await self.message.wait()
        now = monotonic()
        told = self.message.is_set()
        requested = told or now >= self._again
        if requested:
            self.message.clear()
            self._again = now + _AGAIN_SECONDS if told else math.inf
        if now >= self._due:
            self._due = max(self._due + self._poll_seconds, now)
        return requested


class _Subscription(asyncio.Protocol):
    """One connection to NATS with one subscription. Messages are empty."""

    def __init__(self, subject: str, on_message: Callable[[], None]) -> None:
        self._subject = subject
        self._on_message = on_message
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for the type checker
        self._transport = transport
        transport.write(f'CONNECT {{"verbose":false}}\r\nSUB {self._subject} 1\r\n'.encode())

    def data_received(self, data: bytes) -> None:
        """Report each message, and answer the server's pings."""
        *lines, self._received = (self._received + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"MSG "):
                self._on_message()
            elif line == b"PING" and self._transport is not None:
                self._transport.write(b"PONG\r\n")


class _Link(asyncio.Protocol):
    """One connection, opened again after a fault. One request at a time."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), int(address.port or 80)
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._reply: asyncio.Future[bytes | None] | None = None

    async def get(self, path: str, *, no_cache: bool = False) -> bytes | None:
        """The body of a 200 response; None for any other and for none."""
        loop = asyncio.get_running_loop()
        try:
            if self._transport is None:
                await loop.create_connection(lambda: self, self._host, self._port)
        except OSError:
            return None
        reply = self._reply = loop.create_future()
        timer = loop.call_later(_SECONDS, self._give_up)
        self._received.clear()
        if self._transport is not None:
            fields = "Cache-Control: no-cache\r\n" if no_cache else ""
            head = f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n{fields}\r\n"
            self._transport.write(head.encode())
        else:
            self._give_up()
        try:
            return await reply
        finally:
            timer.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """End the request when its body is complete."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is None:
            self._give_up()
        elif len(body) >= int(length[1]) and self._reply is not None and not self._reply.done():
            self._reply.set_result(bytes(body) if head.startswith(b"HTTP/1.1 200 ") else None)

    def connection_lost(self, _: Exception | None) -> None:
        """End the request without a response."""
        self._give_up()

    def _give_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(None)


def _main(pipe: Pipe, plan: Plan) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_Crowd(plan).run(pipe))
