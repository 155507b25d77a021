"""The batcher: requests of one event-loop tick become one call; a few threads compute what is larger."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar
from weakref import WeakSet

from predictor.errors import InferenceTimeout, Overloaded
from predictor.inference.compute import (
    Computed,
    Result,
    RowRequest,
    Work,
    compute_tick,
    predict_many,
    predict_one,
    run_in_calls,
)
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.traces.tracer import TRACES_OFF, Span, Tracer

T = TypeVar("T")

_MIN_THREADS = 2  # one long computation must not delay all others
_MAX_THREADS = 4  # each holds a batch's rows in memory


class Threads:
    """A few threads, with a bound: `used` of at most `max_used` pieces of work wait or run."""

    def __init__(self, name: str, max_used: int | None = None) -> None:
        """`max_used` is the number of threads by default: then no work waits for another."""
        threads = max(_MIN_THREADS, min(_MAX_THREADS, _cores()))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.max_used = max_used or threads
        self.used = 0

    @property
    def free(self) -> int:
        """How many more pieces of work are accepted."""
        return self.max_used - self.used

    def submit(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Start `work` once a thread is free. The caller checks `free` first."""
        self.used += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: object) -> None:
        self.used -= 1


def _cores() -> int:
    """The cores that this process may use: maybe fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Reply = Callable[[Result], None]

LARGE = 16_384
"""Bytes of a record's body that are read on the loop; larger ones are read in a thread."""


class BatchObserver(Protocol):
    """Counts computations."""

    def ran(self, servable: Servable, answers: Answers, seconds: float) -> None:
        """One ONNX Runtime call ended: its answers in order, and its seconds."""


class Batcher:
    """Takes request bodies and gives response bodies; each names the version that computed it.

    Other protocols submit a `RowRequest`, which is computed with all others of the tick, or give
    `compute` their work on many rows, which is done in a thread.
    """

    def __init__(
        self,
        serving: Callable[[], Servable],
        observer: BatchObserver,
        *,
        max_rows: int = 1024,
        max_batches: int = 32,
        timed_out: Callable[[Servable], None] = lambda _: None,
        tracer: Tracer = TRACES_OFF,
    ) -> None:
        """`serving` gives the serving servable, or raises NothingServing.

        At most `max_rows` wait for their tick, and `max_batches` wait for a thread or run in one.
        `timed_out` is called on the event loop for each call that was stopped at its time limit.
        """
        self._serving = serving
        self._observer = observer
        self._max_rows = max_rows
        self._timed_out = timed_out
        self._tracer = tracer
        self._alone: WeakSet[Servable] = WeakSet()
        self._any_alone = False  # a look into a WeakSet takes time, and it is nearly always empty
        self._waiting: list[bytes | RowRequest] = []
        self._replies: list[Reply] = []
        self._slow = Threads("rows")
        self._batches = Threads("batch", max_batches)

    def submit(self, request: bytes | RowRequest, reply: Reply) -> None:
        """Compute one record of at most `LARGE` bytes in the next tick, and call `reply` once with its result.

        Raises Overloaded; then `reply` is not called.
        """
        waiting = self._waiting
        if not waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        elif len(waiting) >= self._max_rows:
            raise Overloaded(len(waiting), "records")
        waiting.append(request)
        self._replies.append(reply)

    async def predict(self, body: bytes) -> bytes:
        """Predict one record. Raises RequestError, NothingServing or Overloaded."""
        with self._tracer.span("predict", server=True) as span:
            if len(body) > LARGE:
                response = await self._in_thread(partial(predict_one, body), span)
            else:
                response = await self._in_tick(body)
            span.set_response(response)
            return response

    async def predict_batch(self, body: bytes, *, warn: bool = False) -> bytes:
        """Predict `{"instances": [record, …]}`, all on one servable; with warnings if requested.

        Raises RequestError, which names the row, NothingServing or Overloaded.
        """
        with self._tracer.span("predict", server=True) as span:
            response = await self._in_thread(partial(predict_many, body, warn=warn), span)
            span.set_response(response)
            return response

    async def predict_row(self, request: RowRequest) -> Result:
        """What `request.response` returned. Raises RequestError, NothingServing or Overloaded."""
        with self._tracer.span("predict", server=True) as span:
            span.set(rows=1)
            return await self._in_tick(_Traced(request, span) if span.records else request)

    async def compute(self, work: Work[T], *, yields: bool = False) -> T:
        """Call `work` in a thread with the serving servable; return what it returned.

        Work that `yields` takes at most half of the places, and leaves the others to other work.
        Raises what `work` raises, NothingServing or Overloaded.
        """
        with self._tracer.span("predict", server=True) as span:
            return await self._in_thread(work, span, yields=yields)

    async def _in_tick(self, request: bytes | RowRequest) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.submit(request, partial(_settle, future))
        return await future

    async def _in_thread(self, work: Work[T], span: Span, *, yields: bool = False) -> T:
        """Decode, run and encode in a thread: a thousand rows must not delay single rows."""
        servable = self._serving()
        span.set_version(servable.model_version)
        if self._batches.free <= (self._batches.max_used // 2 if yields else 0):
            raise Overloaded(self._batches.used, "batches")
        on_loop = asyncio.get_running_loop().call_soon_threadsafe

        def count(answers: Answers, seconds: float) -> None:
            on_loop(self._observer.ran, servable, answers, seconds)

        try:
            return await self._batches.submit(
                partial(work, servable, partial(run_in_calls, servable, count))
            )
        except InferenceTimeout:
            self._timed_out(servable)
            raise

    def _flush(self) -> None:
        """Compute the waiting requests on one servable: on the loop as many as it can afford, else in threads."""
        try:
            servable = self._serving()
            max_rows = servable.rows_on_loop
        except Exception as error:  # noqa: BLE001  every request needs a result
            for reply in self._take(len(self._waiting))[1]:
                reply(error)
            return
        if not max_rows or (self._any_alone and servable in self._alone):
            self._flush_aside(servable)
            return
        requests, replies = self._take(max_rows)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        try:
            computed = compute_tick(servable, requests)
        except InferenceTimeout:
            self._compute_alone(servable, requests, replies)
        else:
            self._reply_all(servable, replies, computed)

    def _take(self, count: int) -> tuple[list[bytes | RowRequest], list[Reply]]:
        requests, replies = self._waiting, self._replies
        if len(requests) <= count:
            self._waiting, self._replies = [], []
            return requests, replies
        self._waiting, self._replies = requests[count:], replies[count:]
        return requests[:count], replies[:count]

    def _flush_aside(self, servable: Servable) -> None:
        """Share the waiting requests among the threads; each thread that ends its part flushes again."""
        alone = self._any_alone and servable in self._alone
        share = (
            1 if alone else min(servable.rows_a_call, -(-len(self._waiting) // self._slow.max_used))
        )
        while self._waiting and self._slow.free:
            requests, replies = self._take(share)
            computed = self._slow.submit(partial(compute_tick, servable, requests))
            computed.add_done_callback(partial(self._computed, servable, requests, replies))

    def _computed(
        self, servable: Servable, requests: list[bytes | RowRequest], replies: list[Reply],
        computed: "asyncio.Future[Computed]",
    ) -> None:  # fmt: skip
        if self._waiting:
            self._flush()
        error = computed.exception()
        if error is None:
            self._reply_all(servable, replies, computed.result())
        elif len(replies) > 1:
            self._compute_alone(servable, requests, replies)
        else:
            self._timed_out(servable)
            replies[0](error)

    def _compute_alone(
        self, servable: Servable, requests: list[bytes | RowRequest], replies: list[Reply]
    ) -> None:
        """Compute each request of a call that was stopped once more, by itself."""
        self._timed_out(servable)
        self._alone.add(servable)
        self._any_alone = True
        self._waiting[:0], self._replies[:0] = requests, replies
        asyncio.get_running_loop().call_soon(self._flush)

    def _reply_all(self, servable: Servable, replies: list[Reply], computed: Computed) -> None:
        results, answers, seconds = computed
        for reply, result in zip(replies, results, strict=True):
            reply(result)
        if answers is not None:
            # Later: the loop sends the responses first.
            count = self._observer.ran
            asyncio.get_running_loop().call_soon(count, servable, answers, seconds)


class _Traced:
    """A row request whose span names the version that computes it."""

    def __init__(self, request: RowRequest, span: Span) -> None:
        self._request = request
        self._span = span
        self.response = request.response

    def row(self, servable: Servable) -> Row:
        self._span.set_version(servable.model_version)
        return self._request.row(servable)


def _settle(future: "asyncio.Future[bytes]", result: Result) -> None:
    if future.done():  # a client that left has cancelled it
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
