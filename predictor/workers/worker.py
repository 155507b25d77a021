"""One worker process: when it accepts connections, and how it shares polls with the others."""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from predictor import logs, signals
from predictor.errors import SettingsError
from predictor.events import ApprovalsChanged, Event, RegistryAnswered, RegistryFailed, Swapped
from predictor.log_events import SUPERVISOR_ENDED
from predictor.metrics import worker_state
from predictor.metrics.counts import Counts
from predictor.model_version import ModelVersion
from predictor.reconcile.poller import PollSchedule
from predictor.service import Service, WorkerContext, compose, serve
from predictor.settings import Settings
from predictor.workers.shared_memory import Blocks, WorkerArguments

# Longer than the registry's timeout. Until then connections wait; afterwards they are accepted and get a 503.
_GATE_SECONDS = 8.0


class ReadinessGate:
    """Opens when a version serves, or when the first poll has ended without one.

    Other workers may serve already. A connection that this worker accepts too early would get a 503.
    """

    def __init__(self) -> None:
        self._serves = asyncio.Event()
        self._polled = asyncio.Event()

    def observe(self, event: Event) -> None:
        """Note the first poll and the first swap."""
        match event:
            case RegistryAnswered() | RegistryFailed():
                self._polled.set()
            case Swapped(serving=serving) if serving is not None:
                self._serves.set()

    async def wait(self, settled: Callable[[], Awaitable[None]]) -> None:
        """Wait until it opens, at most for 8 seconds. `settled` returns when no load is running."""

        async def no_version() -> None:
            await self._polled.wait()
            await settled()

        waits = [asyncio.create_task(wait) for wait in (self._serves.wait(), no_version())]
        await asyncio.wait(waits, timeout=_GATE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


_PAUSE_SECONDS = 0.1  # between two lines from one worker


class PollBroadcast:
    """Tells the other workers, through the supervisor, that the registry's response changed, so that they poll."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._known = b""
        self._unsent: bytes | None = None
        self._quiet_until = 0.0

    def observe(self, event: Event) -> None:
        """Send a changed response of the registry, or changed approvals, unless another worker has sent it."""
        if isinstance(event, RegistryAnswered) and event.changed:
            self._publish(_in_a_line(_identity(event.aspired)))
        elif isinstance(event, ApprovalsChanged):
            found = [
                (_identity(each[0]), each[1]) for each in (event.desired, event.serving) if each
            ]
            self._publish(_in_a_line(found))

    def _publish(self, line: bytes) -> None:
        if line == self._known:
            return
        self._known = line
        waits, self._unsent = self._unsent is not None, line
        if not waits:
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._quiet_until, loop.time()), self._send, loop)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        line, self._unsent = self._unsent, None
        self._quiet_until = loop.time() + _PAUSE_SECONDS
        with contextlib.suppress(OSError):  # the supervisor has ended; `listen` notices
            self._line.send(line or b"")

    def listen(self, poll_now: Callable[[], None], ended: Callable[[], None]) -> None:
        """Call `poll_now` on this event loop for each line; call `ended` in a thread when the supervisor has ended."""
        loop = asyncio.get_running_loop()

        def received(line: bytes) -> None:
            self._known = line
            poll_now()

        def read() -> None:
            # In a thread, so that a worker with a blocked event loop notices the end, too.
            with contextlib.suppress(OSError), self._line.makefile("rb") as lines:
                for line in lines:
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(received, line)
            ended()

        threading.Thread(target=read, name="poll-broadcast", daemon=True).start()


def _identity(version: ModelVersion | None) -> tuple[object, ...]:
    return (version.name, version.version, version.source, version.created_ms) if version else ()


def _in_a_line(news: object) -> bytes:
    return hashlib.sha256(repr(news).encode()).hexdigest().encode() + b"\n"


_END_SECONDS = 6  # after `shutdown_seconds`, for a worker without a supervisor


def main() -> int:
    """Serve with the arguments from the command line; return the exit code."""
    signals.prepare()
    arguments = WorkerArguments.read(sys.argv[1])
    try:
        settings = Settings.read()
        service = compose(settings, _context(arguments, settings.shutdown_seconds))
    except SettingsError as error:
        sys.stderr.write(f"mlflow-hotswap: {error}\n")
        return 2
    logs.set_up(settings.log_level, worker=arguments.worker)
    return serve(service, socket.socket(fileno=arguments.listener))


def _context(arguments: WorkerArguments, shutdown_seconds: float) -> WorkerContext:
    blocks, gate = Blocks(arguments.memory), ReadinessGate()
    broadcast = PollBroadcast(socket.socket(fileno=arguments.line))
    counts = blocks.worker(arguments.worker)

    @asynccontextmanager
    async def lifespan(service: Service) -> AsyncIterator[None]:
        broadcast.listen(service.poller.poll_now, lambda: _end(shutdown_seconds))
        await gate.wait(service.reconciler.settled)
        beating = asyncio.create_task(_beat(counts))
        worker_state.begin(counts)
        yield
        worker_state.end(counts)
        beating.cancel()

    return WorkerContext(
        counts,
        blocks.siblings(arguments.worker),
        blocks.supervisor(),
        PollSchedule(arguments.worker, arguments.workers, arguments.since),
        [broadcast.observe, gate.observe],
        lifespan,
    )


async def _beat(counts: Counts) -> None:
    while True:
        worker_state.beat(counts)
        await asyncio.sleep(worker_state.BEAT_SECONDS)


def _end(shutdown_seconds: float) -> None:
    """End the worker after the supervisor ended. Requests in flight are finished first."""
    SUPERVISOR_ENDED.log(next="this worker finishes its requests and ends")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(shutdown_seconds + _END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
