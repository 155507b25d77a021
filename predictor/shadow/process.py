"""The process of the shadow: follows PREDICTOR_SHADOW_URI, and compares what the workers send.

Its processor time, memory and faults are its own: the system gives it what requests leave, and ends it first.
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from predictor import logs
from predictor.errors import SettingsError
from predictor.events import Event
from predictor.follower import follow
from predictor.log_events import SHADOW_INTERNAL
from predictor.reconcile.poller import Poller
from predictor.settings import Settings
from predictor.shadow.place import listen
from predictor.shadow.server import ShadowServer

OUT_OF_MEMORY = 12
"""The exit code of a process that has nearly reached its limit of memory."""
_NICENESS = 19
_TOUCH_SECONDS = 3600
_MEMORY_SECONDS = 1.0
_MEMORY_SHARE = 0.9  # of the limit, at which the process ends itself
_PR_SET_PDEATHSIG = 1  # of `prctl`, in linux/prctl.h


class ShadowArguments(msgspec.Struct):
    """A line of JSON on the process's stdin; its settings are those of the environment."""

    socket: str


def main() -> int:
    """Compare until the service closes stdin; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        # Sent to the whole group, it is meant for the service, which ends this process.
        signal.signal(number, signal.SIG_IGN)
    _take_what_is_left()
    path = Path(msgspec.json.decode(sys.stdin.buffer.readline(), type=ShadowArguments).socket)
    try:
        settings = Settings.read()
    except SettingsError as error:
        sys.stderr.write(f"mlflow-hotswap: shadow: {error}\n")
        return 2
    logs.set_up(settings.log_level, shadow=1)
    # The thread that computes may get the processor rarely; the other one waits for it that long.
    sys.setswitchinterval(0.0005)
    resource.setrlimit(resource.RLIMIT_DATA, (settings.shadow_max_bytes,) * 2)
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    threading.Thread(target=_watch_memory, args=(settings.shadow_max_bytes,), daemon=True).start()
    try:
        listener = listen(path)
    except OSError as error:
        sys.stderr.write(f"mlflow-hotswap: shadow: {path}: {error.strerror}\n")
        return 1
    asyncio.run(_serve(settings, listener, path))
    return 0


async def _serve(settings: Settings, listener: socket.socket, path: Path) -> None:
    asyncio.get_running_loop().set_exception_handler(_end_after_a_bug)
    observers: list[Callable[[Event], None]] = []

    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    # Nothing is compared if the registry names no version, whatever the service does then.
    followed = {"model_uri": settings.shadow_uri, "when_none": "stop"}
    follower = follow(settings.model_copy(update=followed), observe)
    poller = Poller(
        follower.reconciler.reconcile,
        settings.poll_seconds,
        expect_change=follower.source.expect_change,
    )
    server = ShadowServer(follower.reconciler, poller.poll_now, compute_started=_compute_when_idle)
    observers.append(server.observe)
    approvals: Any = contextlib.nullcontext()
    if follower.approvals is not None:
        observers.append(follower.approvals.observe)
        approvals = follower.approvals.reloading(poller.poll_now)
    loop = asyncio.get_running_loop()
    await loop.create_unix_server(server.connection, sock=listener)
    async with approvals, asyncio.TaskGroup() as tasks:
        poller.start()
        tasks.create_task(_keep_socket(path))
        tasks.create_task(server.run())


def _take_what_is_left() -> None:
    """Take processor time after requests, and be the first to end where memory is short."""
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):  # another system than Linux, or one that forbids it
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(AttributeError, OSError):
        # A process that is stopped cannot notice that the service has ended.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _compute_when_idle() -> None:
    """Let this thread compute when no other process wants the processor: any other thread interrupts it at once."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _end_with_the_service() -> None:
    while os.read(0, 1024):  # not by sys.stdin, whose lock would be held at the end of the process
        pass
    os._exit(0)  # nothing is kept but files of the cache, which are complete or absent


def _end_after_a_bug(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """End: the service starts another process, which is in a known state."""
    SHADOW_INTERNAL.log(exc_info=context.get("exception"))
    os._exit(1)


def _watch_memory(max_bytes: int) -> None:
    """End before the limit, at which any line of code may fail."""
    page, statistics = resource.getpagesize(), Path("/proc/self/statm")
    while statistics.exists():
        data = int(statistics.read_text().split()[5]) * page
        if data > _MEMORY_SHARE * max_bytes:
            os._exit(OUT_OF_MEMORY)
        time.sleep(_MEMORY_SECONDS)


async def _keep_socket(path: Path) -> None:
    """Show other services on this folder that the socket is in use."""
    while True:
        await asyncio.sleep(_TOUCH_SECONDS)
        os.utime(path)


if __name__ == "__main__":
    sys.exit(main())
