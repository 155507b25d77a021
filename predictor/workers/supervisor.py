"""Supervisor: starts the workers, replaces those that end, hands on their news, ends them together.

It keeps each worker's listening socket open: what waits there when a worker dies waits for the next
one. It serves nobody, and imports nothing that serving needs.
"""

import asyncio
import contextlib
import signal
import socket
import time
from functools import partial

from predictor.clock import some_time_ago
from predictor.counting import families
from predictor.logs import log
from predictor.settings import Settings
from predictor.workers import blocks, presence
from predictor.workers.post import Post
from predictor.workers.restart import Ending, GiveUp, Replace, decide
from predictor.workers.worker_process import WorkerProcess

HUNG_BEATS = 30  # so many missed in a row, and a worker is replaced
_START_BEATS = 120  # the same, for one that does not get so far as to take connections
_END_SECONDS = 6  # beyond PREDICTOR_SHUTDOWN_SECONDS, in which a worker ends by itself
# Exit codes: a whole process group may be sent what a terminal sends.
_CLEAN = (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGQUIT)


def run(settings: Settings, listeners: list[socket.socket], hung_beats: int = HUNG_BEATS) -> int:
    """Have one worker serve at each listener until SIGTERM or Ctrl-C; return the exit code."""
    return asyncio.run(Supervisor(settings, listeners, hung_beats).run())


class Supervisor:
    """The parent of the workers of one service."""

    def __init__(
        self, settings: Settings, listeners: list[socket.socket], hung_beats: int = HUNG_BEATS
    ) -> None:
        """`hung_beats` is how many a worker that takes requests may miss in a row."""
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
        """Start, keep and end the workers."""
        loop = asyncio.get_running_loop()
        for ended_by in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(ended_by, self._asked_to_stop, ended_by)
        presence.begin(self._counts)
        host, port = self._listeners[0].getsockname()[:2]
        log.info("supervising", workers=len(self._listeners), host=host, port=port)
        await asyncio.gather(*(self._keep(index) for index in range(len(self._listeners))))
        return self._code

    async def _keep(self, index: int) -> None:
        """Have a worker at this post until the service ends."""
        in_a_row = 0
        while True:
            ending = await self._run_worker(index)
            if self._stopping.is_set():
                # One that had not begun to handle signals dies of them, with nothing in flight.
                self._code = self._code or int(ending.code not in _CLEAN)
                return
            any_served = any(presence.starts(block) for block in self._blocks)
            match decide(ending, in_a_row, any_served=any_served):
                case GiveUp(code):
                    log.error("workers_cannot_start", worker=index, code=ending.code)
                    self._code = code
                    self._stop()
                    return
                case Replace(seconds, in_a_row):
                    self._counts.slots[self._counts.place(families.RESTARTS.name)] += 1
                    log.error(
                        "worker_ended", worker=index, code=ending.code, served=ending.served,
                        replaced_after_seconds=seconds,
                    )  # fmt: skip
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._stopping.wait(), seconds)
            if self._stopping.is_set():
                return

    async def _run_worker(self, index: int) -> Ending:
        """One worker from its start to its end."""
        block, started = self._blocks[index], time.monotonic()
        before = presence.starts(block)
        post = Post(
            index, len(self._listeners), self._listeners[index].fileno(), self._memory, self._since
        )
        try:
            worker = await WorkerProcess.start(post, partial(self._hand_on, index))
        except OSError as error:
            log.error("worker_not_started", worker=index, reason=str(error))
            return Ending(1, 0.0, served=False)
        self._workers[index] = worker
        if self._stopping.is_set():
            worker.signal(signal.SIGTERM)
        watch = asyncio.create_task(self._end_if_hung(index, worker))
        code = await worker.wait()
        watch.cancel()
        del self._workers[index]
        presence.end(block)
        return Ending(code, time.monotonic() - started, presence.starts(block) > before)

    def _hand_on(self, index: int, line: bytes) -> None:
        """Tell each worker what one of the others told."""
        for other, worker in self._workers.items():
            if other != index:
                worker.tell(line)

    async def _end_if_hung(self, index: int, worker: WorkerProcess) -> None:
        """Kill a worker whose event loop stands still.

        Beats are counted, not seconds: where the whole machine stood still, nobody missed one.
        """
        block, last, missed = self._blocks[index], 0, 0
        while missed < (self._hung_beats if presence.pid(block) else _START_BEATS):
            await asyncio.sleep(presence.BEAT_SECONDS)
            beats = presence.beats(block)
            missed = missed + 1 if beats == last else 0
            last = beats
        log.error("worker_hung", worker=index, seconds=missed * presence.BEAT_SECONDS)
        worker.signal(signal.SIGKILL)

    def _asked_to_stop(self, ended_by: signal.Signals) -> None:
        if self._stopping.is_set() and ended_by == signal.SIGINT:
            self._signal(signal.SIGKILL)  # whoever asks twice does not want to wait
        self._stop()

    def _stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        # As long as one process has a socket open, connections are accepted there.
        for listener in self._listeners:
            listener.close()
        self._signal(signal.SIGTERM)
        seconds = self._settings.shutdown_seconds + _END_SECONDS
        asyncio.get_running_loop().call_later(seconds, self._signal, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.signal(number)
