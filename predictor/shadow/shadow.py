"""Shadow: keeps the process of the shadow running, keeps the connection to it, and says how it compares."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from predictor.events import Event, Observe, ShadowChanged, Swapped
from predictor.log_events import SHADOW_ENDED, SHADOW_HUNG
from predictor.model.servable import Servable
from predictor.settings import Settings
from predictor.shadow.messages import Decoder, FromShadow, State
from predictor.shadow.place import address, socket_path
from predictor.shadow.sender import Keep, Sender
from predictor.shadow.tally import Tally

_LOOK_SECONDS = 1.0
_CONNECT_SECONDS = 0.2
_RESTART_SECONDS = (1.0, 60.0)  # after the process ended: the first, and the longest, pause
_SILENT_SECONDS = (
    15.0  # after PREDICTOR_INFERENCE_SECONDS, until a process that is silent is killed
)
_GRACE_SECONDS = 2.0
_OUT_OF_MEMORY = 12  # `process.OUT_OF_MEMORY`, whose module a worker does not need
_STARTS = State("waiting", "its process starts")
_UNKNOWN = State(
    "waiting", "its process has not said yet whether it compares; ask again in a moment"
)
_ENDED = State("failed", "its process ended, and is started again")


@dataclass(frozen=True)
class Parts:
    """What a shadow needs of its service: where events go, and which servable answers requests.

    `since` is the start of the service's schedule, which all workers share. `keep` adds answers to the record, if
    there is one.
    """

    observe: Observe
    serving: Callable[[], Servable | None]
    since: float
    keep: Keep | None = None


class Shadow:
    """Compares within `running`. `watch` is for the batcher."""

    def __init__(
        self, settings: Settings, tally: Tally, parts: Parts, *, starts_process: bool
    ) -> None:
        """Of several workers, one starts the process."""
        self._settings = settings
        self._tally = tally
        self._parts = parts
        self._starts_process = starts_process
        self._path = socket_path(settings, parts.since)
        self._state: State | None = None
        self._process: Process | None = None
        self._connection: _Connection | None = None
        self._hung = False
        self.watch = Sender(tally, settings.shadow_percent, changed=self._changed, keep=parts.keep)

    def observe(self, event: Event) -> None:
        """Note which version answers requests."""
        if isinstance(event, Swapped):
            self.watch.serves(self._parts.serving())

    def describe(self) -> dict[str, Any]:
        """The member `shadow` of `GET /model`."""
        state, versions = self._state or _STARTS, self.watch.versions
        if state.state == "comparing" and versions is None:
            state = _UNKNOWN  # after a swap, or after the process ended
        return {
            "uri": self._settings.shadow_uri,
            "model_version": state.version,
            "digest": f"sha256:{state.digest}" if state.digest else None,
            "run_id": state.run_id,
            "state": state.state,
            "reason": state.reason,
            "compared_with": {
                "model_version": versions.serving[0],
                "digest": f"sha256:{versions.serving[1]}",
            }
            if versions
            else None,
            **self._tally.describe(versions),
        }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the process running, and the connection to it."""
        self._changed(_STARTS)
        tasks = [asyncio.create_task(self._keep_connected()), asyncio.create_task(self._look())]
        if self._starts_process:
            tasks.append(asyncio.create_task(self._keep_running()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._end_process()
            if self._starts_process:
                with contextlib.suppress(OSError):  # the folder may never have been there
                    self._path.unlink()

    def _changed(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._parts.observe(
                ShadowChanged(state.state, state.reason, state.version, state.digest, state.run_id)
            )

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self._until_lost()
            except (FileNotFoundError, ConnectionError, BlockingIOError):
                await asyncio.sleep(_CONNECT_SECONDS)  # it does not listen yet
            except OSError as error:
                self._changed(State("failed", f"{self._path}: {error.strerror}"))
                await asyncio.sleep(_LOOK_SECONDS)

    async def _until_lost(self) -> None:
        """Connect, and return when the connection has ended. Raises OSError."""
        # By the path: uvloop closes the descriptor of a failed connection twice if it gets a socket of ours.
        with address(self._path) as where:
            transport, self._connection = await asyncio.get_running_loop().create_unix_connection(
                lambda: _Connection(self.watch), where
            )
        try:
            await self._connection.lost
        finally:
            transport.abort()
        if not self._starts_process:
            await asyncio.sleep(_LOOK_SECONDS)  # not at a stop of the service, which ends this task
            self._changed(_ENDED)

    async def _keep_running(self) -> None:
        first, longest = _RESTART_SECONDS
        pause, loop = first, asyncio.get_running_loop()
        while True:
            self._hung, started = False, loop.time()
            code, reason = await self._run()
            if loop.time() - started > longest:
                pause = first
            SHADOW_ENDED.log(code=code, reason=reason, retry_seconds=pause)
            self._tally.restarted()
            self._changed(State("failed", f"its process ended, and is started again: {reason}"))
            await asyncio.sleep(pause)
            pause = min(longest, 2 * pause)

    async def _run(self) -> tuple[int | None, str]:
        """Run the process until its end; return its exit code, and why it ended."""
        try:
            self._process = await self._start()
        except OSError as error:  # such as too many processes, or no memory for one more
            return None, f"it could not be started: {error.strerror}"
        code = await self._process.wait()
        return code, self._why_ended(code)

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "predictor.shadow.process", stdin=PIPE,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread takes memory
        )  # fmt: skip
        if process.stdin is not None:
            process.stdin.write(msgspec.json.encode({"socket": str(self._path)}) + b"\n")
        return process

    def _why_ended(self, code: int) -> str:
        if self._hung:
            return "it did not respond, and was killed"
        if code == _OUT_OF_MEMORY:
            return "its memory came near to PREDICTOR_SHADOW_MAX_BYTES"
        if code < 0:
            return f"it was killed by signal {signal.Signals(-code).name}"
        return f"its exit code is {code}, and its own log lines say why"

    async def _look(self) -> None:
        """Give up a process that does not respond, or computes without end: kill it, or connect again."""
        limit = self._settings.inference_seconds + _SILENT_SECONDS
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.watch.ping()
            seconds = self.watch.silent_seconds
            if seconds <= limit:
                continue
            if self._connection is not None:
                self._connection.give_up()
            if self._process is not None and not self._hung:
                self._hung = True
                SHADOW_HUNG.log(seconds=round(seconds))
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()

    async def _end_process(self) -> None:
        """Tell the process that the service ends; it keeps nothing, so that it is killed if it does not end at once."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class _Connection(asyncio.Protocol):
    """The connection of a worker to the process."""

    def __init__(self, watch: Sender) -> None:
        self._watch = watch
        self._decoder = Decoder(FromShadow)
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._watch.connected(transport)  # type: ignore[arg-type]

    def connection_lost(self, _: Exception | None) -> None:
        self.give_up()

    def give_up(self) -> None:
        """Take nothing more from it."""
        if not self.lost.done():
            self._watch.disconnected()
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            self._watch.received(message)
