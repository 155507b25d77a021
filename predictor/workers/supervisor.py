"""The supervisor: starts the workers of one service, replaces ended ones, and stops them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from predictor.clock import some_time_ago
from predictor.log_events import (
    WORKER_ENDED,
    WORKER_HUNG,
    WORKER_NOT_STARTED,
    WORKERS_CANNOT_START,
)
from predictor.metrics import families, worker_state
from predictor.settings import Settings
from predictor.workers import shared_memory as blocks
from predictor.workers.shared_memory import WorkerArguments

_LONG_SECONDS = 10.0  # a worker that ran this long did not fail at its start
_MAX_TRIES = 3  # if no worker has ever served
_MAX_DELAY_SECONDS = 30.0
_WRONG_SETTING = 2  # exit code


@dataclass(frozen=True)
class Ending:
    """The end of a worker: its exit code (negative for a signal), its lifetime, and whether it served."""

    code: int
    seconds: float
    served: bool


@dataclass(frozen=True)
class Replace:
    """Start another worker after `seconds`; `in_a_row` workers have ended early."""

    seconds: float
    in_a_row: int


@dataclass(frozen=True)
class GiveUp:
    """End the service with this exit code."""

    code: int


def replace_or_give_up(ending: Ending, in_a_row: int, *, any_served: bool) -> Replace | GiveUp:
    """What to do after the end of a worker, when `in_a_row` before it ended early.

    The first replacement starts at once, the next ones after 1, 2, 4, … up to 30 seconds. If no worker has
    ever served, it gives up: at once for a wrong setting, otherwise after three tries.
    """
    if ending.seconds >= _LONG_SECONDS:
        in_a_row = 0
    in_a_row += 1
    if not any_served and not ending.served:
        if ending.code == _WRONG_SETTING:
            return GiveUp(_WRONG_SETTING)
        if in_a_row >= _MAX_TRIES:
            return GiveUp(1)
    delay = min(_MAX_DELAY_SECONDS, 2.0 ** (in_a_row - 2)) if in_a_row > 1 else 0.0
    return Replace(delay, in_a_row)


class WorkerProcess:
    """A running worker process."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        line: asyncio.StreamWriter,
        receiving: asyncio.Task[None],
    ) -> None:
        self._process = process
        self._line = line
        self._receiving = receiving

    @classmethod
    async def start(
        cls, arguments: WorkerArguments, receive: Callable[[bytes], None]
    ) -> "WorkerProcess":
        """Start a worker; `receive` is called with each line that it sends. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            reader, line = await asyncio.open_connection(sock=ours)
            arguments = replace(arguments, line=theirs.fileno())
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *_path_option(), "-m", "predictor.workers.worker", str(arguments),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(arguments.listener, arguments.memory, arguments.line),
                    # Ctrl-C must only reach the supervisor: a worker drops its requests at the
                    # second signal.
                    process_group=0,
                )  # fmt: skip
            except OSError:
                line.close()
                raise
        return cls(process, line, asyncio.create_task(_receive(reader, receive)))

    def send(self, line: bytes) -> None:
        """Send it a line from another worker."""
        self._line.write(line)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Does nothing if it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end. Return its exit code, negative for a signal."""
        code = await self._process.wait()
        self._receiving.cancel()
        self._line.close()
        return code


def _path_option() -> list[str]:
    """Workers import from the folders that this process imports from: from the working folder only with `-m`."""
    return [] if str(Path.cwd()) in map(os.path.abspath, sys.path) else ["-P"]


async def _receive(reader: asyncio.StreamReader, receive: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):  # it has ended
        async for line in reader:
            receive(line)


HUNG_BEATS = 30  # a worker is replaced after this number of missed beats in a row
_START_BEATS = 120  # the same, before it accepts connections
_END_SECONDS = 6  # after PREDICTOR_SHUTDOWN_SECONDS, within which a worker ends by itself
# Exit codes of a normal end. A terminal sends its signals to the whole process group.
_CLEAN = (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGQUIT)


def run(settings: Settings, listeners: list[socket.socket], hung_beats: int = HUNG_BEATS) -> int:
    """Run one worker for each listener until SIGTERM or Ctrl-C; return the exit code."""
    return asyncio.run(Supervisor(settings, listeners, hung_beats).run())


class Supervisor:
    """The parent of the workers of one service."""

    def __init__(
        self, settings: Settings, listeners: list[socket.socket], hung_beats: int = HUNG_BEATS
    ) -> None:
        """`hung_beats` is the number of missed beats in a row after which a worker is killed."""
        self._settings = settings
        self._listeners = listeners
        self._hung_beats = hung_beats
        self._memory = blocks.create(len(listeners))
        shared = blocks.Blocks(self._memory)
        self._counts = shared.supervisor()
        self._blocks = [shared.worker(index) for index in range(len(listeners))]
        self._workers: dict[int, WorkerProcess] = {}
        self._stopping = asyncio.Event()
        self._code = 0
        self._since = some_time_ago()

    async def run(self) -> int:
        """Run the workers until the service ends. Return the exit code."""
        loop = asyncio.get_running_loop()
        for ended_by in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ended_by, self._on_signal, ended_by)
        worker_state.begin(self._counts)
        await asyncio.gather(*(self._keep(index) for index in range(len(self._listeners))))
        return self._code

    async def _keep(self, index: int) -> None:
        """Keep one worker running until the service ends."""
        in_a_row = 0
        while True:
            ending = await self._run_worker(index)
            if self._stopping.is_set():
                # A worker without signal handlers yet is killed by the signal; it has no requests.
                self._code = self._code or int(ending.code not in _CLEAN)
                return
            any_served = any(worker_state.starts(block) for block in self._blocks)
            match replace_or_give_up(ending, in_a_row, any_served=any_served):
                case GiveUp(code):
                    WORKERS_CANNOT_START.log(worker=index, code=ending.code)
                    self._code = code
                    self._stop()
                    return
                case Replace(seconds, in_a_row):
                    self._counts.slots[self._counts.place(families.RESTARTS.name)] += 1
                    WORKER_ENDED.log(worker=index, code=ending.code, served=ending.served,
                        replaced_after_seconds=seconds,
                    )  # fmt: skip
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), seconds)
            if self._stopping.is_set():
                return

    async def _run_worker(self, index: int) -> Ending:
        """Start one worker and wait for its end."""
        block, started = self._blocks[index], time.monotonic()
        before = worker_state.starts(block)
        arguments = WorkerArguments(
            index, len(self._listeners), self._listeners[index].fileno(), self._memory, self._since
        )
        try:
            worker = await WorkerProcess.start(arguments, partial(self._broadcast, index))
        except OSError as error:
            WORKER_NOT_STARTED.log(worker=index, reason=str(error))
            return Ending(1, 0.0, served=False)
        self._workers[index] = worker
        if self._stopping.is_set():
            worker.signal(signal.SIGTERM)
        watch = asyncio.create_task(self._end_if_hung(index, worker))
        code = await worker.wait()
        watch.cancel()
        del self._workers[index]
        worker_state.end(block)
        return Ending(code, time.monotonic() - started, worker_state.starts(block) > before)

    def _broadcast(self, index: int, line: bytes) -> None:
        """Send a line of one worker to all others."""
        for other, worker in self._workers.items():
            if other != index:
                worker.send(line)

    async def _end_if_hung(self, index: int, worker: WorkerProcess) -> None:
        """Kill a worker whose event loop is blocked.

        It counts beats, not seconds: while the whole machine is suspended, no worker misses a beat.
        """
        block, last, missed = self._blocks[index], 0, 0
        while missed < (self._hung_beats if worker_state.pid(block) else _START_BEATS):
            await asyncio.sleep(worker_state.BEAT_SECONDS)
            beats = worker_state.beats(block)
            missed = missed + 1 if beats == last else 0
            last = beats
        WORKER_HUNG.log(worker=index, seconds=missed * worker_state.BEAT_SECONDS)
        worker.signal(signal.SIGKILL)

    def _on_signal(self, ended_by: signal.Signals) -> None:
        if self._stopping.is_set() and ended_by == signal.SIGINT:
            self._signal(signal.SIGKILL)  # the second Ctrl-C: do not wait
        self._stop()

    def _stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        # The kernel accepts connections for as long as any process has the socket open.
        for listener in self._listeners:
            listener.close()
        self._signal(signal.SIGTERM)
        seconds = self._settings.shutdown_seconds + _END_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._signal, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.signal(number)
