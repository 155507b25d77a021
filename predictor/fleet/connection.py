"""Fleet: a connection to NATS, over which replicas tell each other to poll and report their status.

A message is never an authority: it has no content, and only causes a poll of the registry. A server that is away costs
this and nothing else; a lost message costs the wait until the next poll.
"""

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nats.errors
import nats.js.errors

from fleet import sign_in
from fleet.client import BUCKET, Client
from predictor.errors import FleetError
from predictor.events import Event
from predictor.fleet.status import ReplicaStatus, read_status, subject_of, token
from predictor.keys import SmallFile
from predictor.log_events import FLEET_CONNECTED, FLEET_NOT_CONNECTED, FLEET_STATUS_NOT_WRITTEN
from predictor.tls import trusted_authorities

STATUS_SECONDS = 60
"""How long a status stays in the bucket unless it is written again."""
_REWRITE_SECONDS = STATUS_SECONDS / 3
_PAUSE_SECONDS = 0.2  # between two polls that messages cause, and between two writes of the status
_CONNECT_SECONDS = 3
_MAX_REPLICAS = 200  # that a page shows
_END_SECONDS = 1  # a server that hangs must not delay the end of the process
_RETRY_SECONDS = (1.0, 3.0)  # random between these: a thousand replicas must not return together


class Fleet:
    """This replica among the others of its model."""

    def __init__(
        self,
        servers: str,
        credentials: Path | None,
        status: ReplicaStatus,
        poll_now: Callable[[], None],
        report: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`servers` are URLs, separated by commas: `nats://` or `tls://`.

        `report` is called with whether there is a connection: at the start, and after each change.
        """
        self._servers = servers.split(",")
        self._credentials = SmallFile(credentials, sign_in.MAX_BYTES) if credentials else None
        self._status = status
        self._poll_now = poll_now
        self._report = report
        self._subject = subject_of(status.model_uri)
        self._key = f"{token(status.model_uri)}.{token(status.replica)}"
        self._changed = asyncio.Event()
        self._client: Client | None = None
        self._faults: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = 0.0
        self._sending: set[asyncio.Task[None]] = set()

    def observe(self, event: Event) -> None:
        """Keep the status up to date; write it soon after a change."""
        if self._status.observe(event):
            self._changed.set()

    def poll_everywhere(self) -> None:
        """Poll now, and tell the other replicas of the model to poll. Without a connection, they poll on schedule."""
        self._poll_now()
        if self._client is not None:
            task = asyncio.create_task(self._tell(self._client))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def replicas(self) -> tuple[Sequence[Mapping[str, str | None]], bool]:
        """The statuses of this model's replicas, by name, and whether there are more. Raises FleetError."""
        if self._client is None:
            raise FleetError("there is no connection")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                found = await _statuses(self._client, f"{token(self._status.model_uri)}.*")
        except TimeoutError:
            raise FleetError(f"no whole answer in {_CONNECT_SECONDS} s") from None
        except (nats.errors.Error, OSError) as error:
            raise FleetError(_text(error)) from error
        return sorted(found[:_MAX_REPLICAS], key=_name), len(found) > _MAX_REPLICAS

    async def _tell(self, client: Client) -> None:
        with contextlib.suppress(
            nats.errors.Error, OSError
        ):  # a lost connection is reported already
            await client.publish(self._subject)
            await client.flush(_CONNECT_SECONDS)

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Connect, and connect again whenever the connection ends, within the `with` block."""
        self._report(False)
        connecting = asyncio.create_task(self._stay_connected())
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            connecting.cancel()
            await asyncio.wait([connecting], timeout=_END_SECONDS)

    async def _stay_connected(self) -> None:
        start = random.randrange(len(self._servers))  # noqa: S311
        for server in itertools.cycle(self._servers[start:] + self._servers[:start]):
            try:
                await self._session(server)
            except Exception as error:  # noqa: BLE001  whatever it is, it must not end the retries
                self._not_connected(server, error)
            await asyncio.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311

    async def _session(self, server: str) -> None:
        """Connect to one server, and return when the connection has ended. Raises nats.errors.Error or OSError."""
        ended = asyncio.Event()
        errors: list[Exception] = []

        async def on_closed() -> None:
            ended.set()

        async def on_error(error: Exception) -> None:
            errors.append(error)

        client = Client()
        writing: asyncio.Task[None] | None = None
        try:
            await client.open(
                server, await self._sign_in(), _tls, seconds=_CONNECT_SECONDS,
                name=self._status.replica, no_echo=True, closed_cb=on_closed, error_cb=on_error,
            )  # fmt: skip
            await client.subscribe(self._subject, cb=self._on_message)
            await client.flush(_CONNECT_SECONDS)
            self._client = client
            self._report(True)
            self._faults.discard(FLEET_NOT_CONNECTED.name)
            FLEET_CONNECTED.log(server=server)
            writing = asyncio.create_task(self._write_status(client))
            await ended.wait()
            raise ConnectionError(str(errors[-1]) if errors else "the connection ended")
        except nats.errors.NoServersError:
            raise errors[-1] if errors else ConnectionError("no connection") from None
        finally:
            self._client = None
            self._report(False)
            if writing is not None:
                writing.cancel()
            await client.close()

    async def _sign_in(self) -> dict[str, Any]:
        """The sign-in by the file's content now. Raises OSError, ValueError."""
        return sign_in.options(await self._credentials.latest()) if self._credentials else {}

    async def _on_message(self, _: Any) -> None:
        """Poll soon. Many messages are one poll, so that nobody can cause more than a few polls a second."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(self._quiet_until, loop.time()), self._poll)

    def _poll(self) -> None:
        self._timer = None
        self._quiet_until = asyncio.get_running_loop().time() + _PAUSE_SECONDS
        self._poll_now()

    async def _write_status(self, client: Client) -> None:
        """Write the status after each change, and again before it expires."""
        bucket = None
        while True:
            self._changed.clear()
            try:
                bucket = bucket or await _bucket(client)
                await bucket.put(self._key, self._status.encode())
                self._faults.discard(FLEET_STATUS_NOT_WRITTEN.name)
            except (nats.errors.Error, OSError) as error:
                bucket = None
                # If the connection is about to end, that is the news, and `_stay_connected` logs it.
                await asyncio.sleep(_PAUSE_SECONDS)
                if client.is_closed:
                    return
                again = self._is_repeated(FLEET_STATUS_NOT_WRITTEN.name)
                FLEET_STATUS_NOT_WRITTEN.log(again=again, reason=_text(error))
            await asyncio.sleep(_PAUSE_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _REWRITE_SECONDS)

    def _not_connected(self, server: str, error: Exception) -> None:
        again = self._is_repeated(FLEET_NOT_CONNECTED.name)
        FLEET_NOT_CONNECTED.log(again=again, server=server, reason=_text(error))

    def _is_repeated(self, fault: str) -> bool:
        repeated = fault in self._faults
        self._faults.add(fault)
        return repeated


async def _bucket(client: Client) -> Any:
    """The bucket of statuses; it is created if there is none. Raises nats.errors.Error."""
    jetstream = client.jetstream(timeout=_CONNECT_SECONDS)
    try:
        return await jetstream.key_value(BUCKET)
    except nats.js.errors.NotFoundError:
        return await jetstream.create_key_value(bucket=BUCKET, ttl=STATUS_SECONDS, storage="memory")


async def _statuses(client: Client, keys: str) -> list[Mapping[str, str | None]]:
    """Some statuses more than `_MAX_REPLICAS` at most. Raises nats.errors.Error."""
    bucket = await _bucket(client)
    watcher = await bucket.watch(keys, ignore_deletes=True)
    found: list[Mapping[str, str | None]] = []
    try:
        async for entry in watcher:
            if entry is None or len(found) > _MAX_REPLICAS:  # None: that was the last
                break
            if status := read_status(entry.value or b""):
                found.append(status)
    finally:
        await watcher.stop()
    return found


def _name(status: Mapping[str, str | None]) -> str:
    return status["replica"] or ""


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(**trusted_authorities())
    return context


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
