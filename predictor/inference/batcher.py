"""Threads: a few of them, and a bound on what waits for one."""

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
    Question,
    Result,
    Work,
    answer,
    answer_many,
    answer_one,
    calls,
)
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.traces.tracer import TRACES_OFF, Span, Tracer

T = TypeVar("T")

_LEAST = 2  # one that a computation holds must not hold up all others
_MOST = 4  # each holds a batch's rows in memory


class Threads:
    """Runs work beside the event loop. `used` of at most `most` pieces are waiting or running."""

    def __init__(self, name: str, most: int | None = None) -> None:
        """Without `most`, as many as there are threads: then no work waits for another."""
        threads = max(_LEAST, min(_MOST, _cores()))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self.most = most or threads
        self.used = 0

    @property
    def free(self) -> int:
        """How many more pieces of work may be given."""
        return self.most - self.used

    def submit(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Start `work`, or let it wait for a thread. The caller looks at `free` first."""
        self.used += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _: object) -> None:
        self.used -= 1


def _cores() -> int:
    """Those that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Reply = Callable[[Result], None]

LARGE = 16_384
"""Bytes of a record's body that are read on the loop; larger ones are read in a thread."""


class BatchObserver(Protocol):
    """Who counts what was computed."""

    def ran(self, servable: Servable, answers: Answers, seconds: float) -> None:
        """One ONNX Runtime call ended: its answers in order, and how long it took."""


class Batcher:
    """Takes bodies, gives the bodies of their answers, each with the version that computed it.

    Other protocols put a `Question` about one row, which is computed with all others of the tick, or
    have `compute` do their work on many rows in a thread.
    """

    def __init__(
        self,
        serving: Callable[[], Servable],
        observer: BatchObserver,
        *,
        most_rows: int = 1024,
        most_batches: int = 32,
        timed_out: Callable[[Servable], None] = lambda _: None,
        tracer: Tracer = TRACES_OFF,
    ) -> None:
        """`serving` gives the servable that answers now, or raises NothingServing.

        `most_rows` may wait for their turn, `most_batches` for a thread or in one. `timed_out` is called
        on the event loop for each call that was stopped because it took too long.
        """
        self._serving = serving
        self._observer = observer
        self._most_rows = most_rows
        self._timed_out = timed_out
        self._tracer = tracer
        self._alone: WeakSet[Servable] = WeakSet()
        self._any_alone = False  # asking a WeakSet costs, and as a rule there is nothing in it
        self._asked: list[bytes | Question] = []
        self._replies: list[Reply] = []
        self._slow = Threads("rows")
        self._batches = Threads("batch", most_batches)

    def ask(self, asked: bytes | Question, reply: Reply) -> None:
        """Answer one record of at most `LARGE` bytes: `reply` is called once, and not from here.

        Raises Overloaded, and then it is not called.
        """
        waiting = self._asked
        if not waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        elif len(waiting) >= self._most_rows:
            raise Overloaded(len(waiting), "records")
        waiting.append(asked)
        self._replies.append(reply)

    async def predict(self, body: bytes) -> bytes:
        """Predict one record. Raises RequestError, NothingServing or Overloaded."""
        with self._tracer.span("predict", server=True) as span:
            if len(body) > LARGE:
                response = await self._in_thread(partial(answer_one, body), span)
            else:
                response = await self._in_tick(body)
            span.set_response(response)
            return response

    async def predict_batch(self, body: bytes, *, warn: bool = False) -> bytes:
        """Predict `{"instances": [record, …]}`, all on one servable; with warnings if requested.

        Raises RequestError, which names the row, NothingServing or Overloaded.
        """
        with self._tracer.span("predict", server=True) as span:
            response = await self._in_thread(partial(answer_many, body, warn=warn), span)
            span.set_response(response)
            return response

    async def ask_about(self, question: Question) -> Result:
        """What the question's `told` returned. Raises RequestError, NothingServing or Overloaded."""
        with self._tracer.span("predict", server=True) as span:
            span.set(rows=1)
            return await self._in_tick(_Traced(question, span) if span.records else question)

    async def compute(self, work: Work[T], *, yields: bool = False) -> T:
        """Call `work` in a thread with the serving servable; return what it returned.

        Work that `yields` takes at most half of the places, and leaves the others to other work.
        Raises what `work` raises, NothingServing or Overloaded.
        """
        with self._tracer.span("predict", server=True) as span:
            return await self._in_thread(work, span, yields=yields)

    async def _in_tick(self, asked: bytes | Question) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.ask(asked, partial(_settle, future))
        return await future

    async def _in_thread(self, work: Work[T], span: Span, *, yields: bool = False) -> T:
        """Decode, run and encode in a thread: a thousand rows must not hold up the single ones."""
        servable = self._serving()
        span.set_version(servable.model_version)
        if self._batches.free <= (self._batches.most // 2 if yields else 0):
            raise Overloaded(self._batches.used, "batches")
        tell = asyncio.get_running_loop().call_soon_threadsafe

        def count(answers: Answers, seconds: float) -> None:
            tell(self._observer.ran, servable, answers, seconds)

        try:
            return await self._batches.submit(
                partial(work, servable, partial(calls, servable, count))
            )
        except InferenceTimeout:
            self._timed_out(servable)
            raise

    def _flush(self) -> None:
        """Answer what waits, on one servable: as much as the loop can afford, or in threads."""
        try:
            servable = self._serving()
            most = servable.rows_on_loop
        except Exception as error:  # noqa: BLE001  every client that waits must hear of it
            for reply in self._take(len(self._asked))[1]:
                reply(error)
            return
        if not most or (self._any_alone and servable in self._alone):
            self._flush_aside(servable)
            return
        asked, replies = self._take(most)
        if self._asked:
            asyncio.get_running_loop().call_soon(self._flush)
        try:
            computed = answer(servable, asked)
        except InferenceTimeout:
            self._compute_alone(servable, asked, replies)
        else:
            self._tell(servable, replies, computed)

    def _take(self, most: int) -> tuple[list[bytes | Question], list[Reply]]:
        asked, replies = self._asked, self._replies
        if len(asked) <= most:
            self._asked, self._replies = [], []
            return asked, replies
        self._asked, self._replies = asked[most:], replies[most:]
        return asked[:most], replies[:most]

    def _flush_aside(self, servable: Servable) -> None:
        """Share what waits among the threads; when one has done its part, it is flushed again."""
        alone = self._any_alone and servable in self._alone
        share = 1 if alone else min(servable.rows_a_call, -(-len(self._asked) // self._slow.most))
        while self._asked and self._slow.free:
            asked, replies = self._take(share)
            computed = self._slow.submit(partial(answer, servable, asked))
            computed.add_done_callback(partial(self._computed, servable, asked, replies))

    def _computed(
        self, servable: Servable, asked: list[bytes | Question], replies: list[Reply],
        computed: "asyncio.Future[Computed]",
    ) -> None:  # fmt: skip
        if self._asked:
            self._flush()
        error = computed.exception()
        if error is None:
            self._tell(servable, replies, computed.result())
        elif len(replies) > 1:
            self._compute_alone(servable, asked, replies)
        else:
            self._timed_out(servable)
            replies[0](error)

    def _compute_alone(
        self, servable: Servable, asked: list[bytes | Question], replies: list[Reply]
    ) -> None:
        """Have each record of a call that was stopped computed once more, by itself."""
        self._timed_out(servable)
        self._alone.add(servable)
        self._any_alone = True
        self._asked[:0], self._replies[:0] = asked, replies
        asyncio.get_running_loop().call_soon(self._flush)

    def _tell(self, servable: Servable, replies: list[Reply], computed: Computed) -> None:
        results, answers, seconds = computed
        for reply, result in zip(replies, results, strict=True):
            reply(result)
        if answers is not None:
            # Later: the loop sends what was written only once this has ended.
            count = self._observer.ran
            asyncio.get_running_loop().call_soon(count, servable, answers, seconds)


class _Traced:
    """A question whose span names the version that it is put to."""

    def __init__(self, question: Question, span: Span) -> None:
        self._question = question
        self._span = span
        self.told = question.told

    def row(self, servable: Servable) -> Row:
        self._span.set_version(servable.model_version)
        return self._question.row(servable)


def _settle(future: "asyncio.Future[bytes]", result: Result) -> None:
    if future.done():  # a client that went away has cancelled it
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
