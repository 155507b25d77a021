"""Arrival: when a worker that was just started begins to take connections."""

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
from predictor.events import Event, RegistryAnswered, RegistryFailed, Swapped
from predictor.log_events import SUPERVISOR_ENDED
from predictor.metrics import worker_state as presence
from predictor.metrics.counts import Counts
from predictor.model_version import ModelVersion
from predictor.reconcile.poller import PollSchedule
from predictor.service import Service, WorkerContext, compose, serve
from predictor.settings import Settings
from predictor.workers.shared_memory import Blocks, Post

# Longer than an answer of the registry is waited for. Until then connections wait to be accepted;
# after it they are told that nothing serves.
_PATIENCE_SECONDS = 8.0


class Arrival:
    """Over once the worker serves, or its first look at the registry has led to nothing.

    Others may serve already; to a connection taken too early this one would say that nothing does.
    """

    def __init__(self) -> None:
        self._serves = asyncio.Event()
        self._looked = asyncio.Event()

    def observe(self, event: Event) -> None:
        """Hear of the first look, and of the first swap."""
        match event:
            case RegistryAnswered() | RegistryFailed():
                self._looked.set()
            case Swapped(serving=serving) if serving is not None:
                self._serves.set()

    async def over(self, settled: Callable[[], Awaitable[None]]) -> None:
        """Wait for it; `settled` returns when what a look led to has ended. Bounded."""

        async def led_to_nothing() -> None:
            await self._looked.wait()
            await settled()

        waits = [asyncio.create_task(wait) for wait in (self._serves.wait(), led_to_nothing())]
        await asyncio.wait(waits, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


_PAUSE_SECONDS = 0.1  # between two lines that one worker tells


class News:
    """A worker's end of the line to its supervisor."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._known = b""
        self._untold: bytes | None = None
        self._quiet_until = 0.0

    def observe(self, event: Event) -> None:
        """Tell the others of an answer that is new to them."""
        if not isinstance(event, RegistryAnswered) or not event.changed:
            return
        heard = _in_a_line(event.aspired)
        if heard == self._known:
            return
        self._known = heard
        waits, self._untold = self._untold is not None, heard
        if not waits:
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._quiet_until, loop.time()), self._tell, loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        line, self._untold = self._untold, None
        self._quiet_until = loop.time() + _PAUSE_SECONDS
        with contextlib.suppress(OSError):  # the supervisor has ended; `listen` knows
            self._line.send(line or b"")

    def listen(self, look: Callable[[], None], ended: Callable[[], None]) -> None:
        """Call `look` on this event loop when there is news, `ended` in a thread once nobody is there."""
        loop = asyncio.get_running_loop()

        def heard(line: bytes) -> None:
            self._known = line
            look()

        def read() -> None:
            # A thread, so that a worker whose loop hangs hears the end as well.
            with contextlib.suppress(OSError), self._line.makefile("rb") as lines:
                for line in lines:
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(heard, line)
            ended()

        threading.Thread(target=read, name="news", daemon=True).start()


def _in_a_line(version: ModelVersion | None) -> bytes:
    identity = (
        (version.name, version.version, version.source, version.created_ms) if version else ()
    )
    return hashlib.sha256(repr(identity).encode()).hexdigest().encode() + b"\n"


_END_SECONDS = 6  # beyond `shutdown_seconds`, for a worker without a supervisor


def main() -> int:
    """Serve at the post that the one argument describes; return the exit code."""
    signals.prepare()
    post = Post.read(sys.argv[1])
    try:
        settings = Settings.read()
        blocks, news = Blocks(post.memory), News(socket.socket(fileno=post.line))
        arrival = Arrival()
        counts = blocks.worker(post.worker)

        @asynccontextmanager
        async def lifespan(service: Service) -> AsyncIterator[None]:
            news.listen(service.poller.poll_now, lambda: _end(settings.shutdown_seconds))
            await arrival.over(service.reconciler.settled)
            beating = asyncio.create_task(_beat(counts))
            presence.begin(counts)
            yield
            presence.end(counts)
            beating.cancel()

        worker = WorkerContext(
            counts,
            blocks.siblings(post.worker),
            blocks.supervisor(),
            PollSchedule(post.worker, post.workers, post.since),
            [news.observe, arrival.observe],
            lifespan,
        )
        service = compose(settings, worker)
    except SettingsError as error:
        sys.stderr.write(f"mlflow-hotswap: {error}\n")
        return 2
    logs.set_up(settings.log_level, worker=post.worker)
    return serve(service, socket.socket(fileno=post.listener))


async def _beat(counts: Counts) -> None:
    while True:
        presence.beat(counts)
        await asyncio.sleep(presence.BEAT_SECONDS)


def _end(shutdown_seconds: float) -> None:
    """The supervisor has gone: finish what is in flight, and go too."""
    SUPERVISOR_ENDED.log(next="this worker finishes what is in flight, and ends")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(shutdown_seconds + _END_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
