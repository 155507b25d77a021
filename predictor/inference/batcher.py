"""The batcher: requests of one event-loop tick become one call; a few threads compute what is larger."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakSet

from structlog.contextvars import get_contextvars

from predictor.errors import InferenceTimeout, Overloaded, PredictorError
from predictor.inference.compute import (
    Computed,
    Work,
    compute_one,
    compute_tick,
    read_and_compute,
    read_tick,
    run_in_calls,
)
from predictor.inference.protocol import InferenceProtocol, Read, Result, TakesLong
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.traces.tracer import TRACES_OFF, Headers, Span, Tracer

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


Callback = Callable[[Result], None]


class Caller(NamedTuple):
    """Who sent a request: the request's id, and the name of the API key, None without one."""

    request_id: str
    key: str | None = None

    @classmethod
    def of_context(cls) -> "Caller":
        """The caller of the request that this task handles, as its log lines name it."""
        context = get_contextvars()
        return cls(context.get("request_id", ""), context.get("asked_by"))


_UNKNOWN = Caller("")

Request = tuple[InferenceProtocol, Any, Callback, Caller | None]
"""A request that waits: its protocol, its body, what to call with its result, and who sent it."""
Keep = Callable[[Servable, Sequence[Caller], Computed], Sequence[Result]]
"""Keeps what some callers asked and got, before they get it; returns what each is to get.

It is called on the event loop and in threads, and does not raise.
"""

Watch = Callable[[Servable, Computed], None]
"""Is told what was computed; the callers of small requests have got it by then.

It is called on the event loop, takes microseconds, and does not raise.
"""

LARGE = 16_384
"""Bytes of a body that are read on the loop; larger ones are read in a thread, unless it takes no longer."""
_MAX_QUICK = 6 * LARGE  # bytes of a larger body that may be read on the loop
_MAX_BYTES = 4 * LARGE  # of all bodies that one tick reads on the loop, unless it is only one


class BatchObserver(Protocol):
    """Counts computations."""

    def ran(self, servable: Servable, answers: Answers, seconds: float) -> None:
        """One ONNX Runtime call ended: its answers in order, and its seconds."""


class Batcher:
    """Takes the bodies of requests and gives their results; one version computes each of them.

    Small requests are computed in the tick in which they came, in one call for all protocols; as many as
    the event loop can afford. Larger ones are computed in threads.
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
        keep: Keep | None = None,
        watchers: Sequence[Watch] = (),
    ) -> None:
        """`serving` gives the serving servable, or raises NothingServing. `keep` and `watchers` are called for each computation.

        At most `max_rows` wait for their tick. Of large requests, at most `max_batches` wait for a thread or
        its end, and as many for the loop. `timed_out` is called on the event loop for each call that was stopped at its time limit.
        """
        self._serving = serving
        self._observer = observer
        self._max_rows = max_rows
        self._timed_out = timed_out
        self._tracer = tracer
        self._keep = keep
        self._watchers = watchers
        self.keeps = keep is not None
        """Whether it asks who sent a request."""
        self._stopped: WeakSet[Servable] = WeakSet()  # a call was stopped: each row runs alone
        self._any_stopped = False  # a look into a WeakSet takes time, and it is nearly always empty
        self._queue: list[Request] = []
        # Larger requests that the loop reads as well; only the first of them is in the queue.
        self._larger: deque[Request] = deque()
        self._row_threads = Threads("rows")
        self._batch_threads = Threads("batch", max_batches)

    def submit(
        self,
        protocol: InferenceProtocol,
        body: Any,
        callback: Callback,
        trace: Headers | None = (),
        caller: Caller | None = None,
    ) -> None:
        """Compute one request, in the next tick if it is small, and call `callback` once with the result.

        `trace` are header fields with the parent of its span; None stands for the enclosing span. Without a
        `caller`, it is that of this task.
        """
        if caller is None and self.keeps:
            caller = Caller.of_context()
        if self._tracer.on and (span := self._tracer.start_request(trace)):
            protocol, callback = _Traced(protocol, span), partial(_end, span, callback)
        if len(body) > LARGE:
            self._submit_larger(protocol, body, callback, caller)
            return
        queue = self._queue
        if not queue:
            asyncio.get_running_loop().call_soon(self._flush)
        elif len(queue) >= self._max_rows:
            asyncio.get_running_loop().call_soon(callback, Overloaded(len(queue), "requests"))
            return
        queue.append((protocol, body, callback, caller))

    async def infer(self, protocol: InferenceProtocol, body: Any) -> Result:
        """The result of one request. Raises RequestError, NothingServing or Overloaded."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.submit(protocol, body, partial(_settle, future), trace=None)
        return await future

    async def compute(
        self, work: Work, *, low_priority: bool = False, hypothetical: bool = False
    ) -> Result:
        """Call `work` in a thread with the serving servable; return the result.

        Work of low priority takes at most half of the places, and leaves the others to other work.
        Hypothetical rows are kept as such; neither the observer nor the watchers are told of them.
        Raises what `work` raises, NothingServing or Overloaded.
        """
        with self._tracer.span("predict", server=True) as span:
            servable = self._serving()
            span.set_version(servable.model_version)
            try:
                caller = Caller.of_context()
                return await self._in_thread(
                    servable, work, caller, low_priority=low_priority, hypothetical=hypothetical
                )
            except InferenceTimeout:
                self._timed_out(servable)
                raise

    def _submit_larger(
        self, protocol: InferenceProtocol, body: Any, callback: Callback, caller: Caller | None
    ) -> None:
        """Compute one request on the loop if its protocol can read it quickly, else in a thread."""
        quick, larger = getattr(protocol, "quick", None), self._larger
        if quick is None or len(body) > _MAX_QUICK or len(larger) == self._batch_threads.max_used:
            self._submit_large(protocol, body, callback, caller)
            return
        or_in_thread = partial(self._or_in_thread, protocol, body, callback, caller)
        larger.append((quick, body, or_in_thread, caller))
        if len(larger) == 1:
            self._queue_larger()

    def _queue_larger(self) -> None:
        """Let the first larger request join the next tick: one in a tick, so that small ones do not wait."""
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._flush)
        self._queue.append(self._larger[0])

    def _or_in_thread(
        self,
        protocol: InferenceProtocol,
        body: Any,
        callback: Callback,
        caller: Caller | None,
        result: Result,
    ) -> None:
        """Compute a request in a thread if its body takes too long to read on the loop."""
        self._larger.popleft()
        if self._larger:
            self._queue_larger()
        if isinstance(result, TakesLong):
            self._submit_large(protocol, body, callback, caller)
        else:
            callback(result)

    def _submit_large(
        self, protocol: InferenceProtocol, body: Any, callback: Callback, caller: Caller | None
    ) -> None:
        """Compute one request in a thread, from its body to its result."""

        def ended(future: "asyncio.Future[Result]") -> None:
            error = future.exception()
            if isinstance(error, InferenceTimeout):
                self._timed_out(servable)
            callback(error or future.result())

        try:
            servable = self._serving()
            future = self._in_thread(servable, partial(compute_one, protocol, body), caller)
        except PredictorError as error:
            asyncio.get_running_loop().call_soon(callback, error)
        else:
            future.add_done_callback(ended)

    def _in_thread(
        self,
        servable: Servable,
        work: Work,
        caller: Caller | None,
        *,
        low_priority: bool = False,
        hypothetical: bool = False,
    ) -> "asyncio.Future[Result]":
        """Start work in a thread: a thousand rows must not delay single rows. Raises Overloaded."""
        threads = self._batch_threads
        if threads.free <= (threads.max_used // 2 if low_priority else 0):
            raise Overloaded(threads.used, "large requests")
        on_loop = asyncio.get_running_loop().call_soon_threadsafe

        def count(answers: Answers, seconds: float) -> None:
            if not hypothetical:
                on_loop(self._observer.ran, servable, answers, seconds)

        def compute() -> Result:
            computed = work(servable, partial(run_in_calls, servable, count))
            if hypothetical:
                computed = computed.as_hypothetical()
            (result,) = self._kept(servable, [caller], computed)
            if self._watchers and not hypothetical:
                on_loop(self._tell, servable, computed)
            if isinstance(result, Exception):
                raise result
            return result

        return threads.submit(compute)

    def _kept(
        self, servable: Servable, callers: Iterable[Caller | None], computed: Computed
    ) -> Sequence[Result]:
        """What each caller is to get, once it is kept."""
        if self._keep is None:
            return computed.results
        return self._keep(servable, [each or _UNKNOWN for each in callers], computed)

    def _tell(self, servable: Servable, computed: Computed) -> None:
        for watch in self._watchers:
            watch(servable, computed)

    def _flush(self) -> None:
        """Compute the waiting requests on one servable: on the loop as many as it can afford, else in threads."""
        if not self._queue:
            return  # a thread that ended its part has flushed before
        try:
            servable = self._serving()
            max_rows = servable.rows_on_loop
        except Exception as error:  # noqa: BLE001  every request needs a result
            requests, self._queue = self._queue, []
            _call_back(requests, [error] * len(requests))
            return
        if not max_rows or self._runs_alone(servable):
            self._flush_aside(servable)
            return
        requests = self._take(max_rows)
        if self._queue:
            asyncio.get_running_loop().call_soon(self._flush)
        try:
            protocols, bodies, _, _ = zip(*requests, strict=True)
            tick = read_tick(servable, protocols, bodies)
            if len(tick.rows) > max_rows:  # some requests have several
                if self._row_threads.free > 0:
                    self._compute_aside(servable, requests, partial(compute_tick, servable, tick))
                else:
                    self._put_back(requests)  # a thread that ends its part flushes again
                return
            computed = compute_tick(servable, tick)
        except Exception as error:  # noqa: BLE001  every request needs a result
            self._fail(servable, requests, error)
        else:
            self._succeed(servable, requests, computed)

    def _runs_alone(self, servable: Servable) -> bool:
        return self._any_stopped and servable in self._stopped

    def _take(self, count: int) -> list[Request]:
        """So many requests from the front of the queue, or fewer where their bodies are large."""
        queue, size = self._queue, 0
        for number, (_, body, _, _) in enumerate(queue):
            size += len(body)
            if number == count or (number and size > _MAX_BYTES):
                self._queue = queue[number:]
                return queue[:number]
        self._queue = []
        return queue

    def _flush_aside(self, servable: Servable) -> None:
        """Share the waiting requests among the threads; each thread that ends its part flushes again."""
        threads, waiting = self._row_threads, len(self._queue)
        share = min(servable.rows_a_call, -(-waiting // threads.max_used))
        if self._runs_alone(servable):
            share = 1
        while self._queue and threads.free > 0:
            requests = self._take(share)
            protocols, bodies, _, _ = zip(*requests, strict=True)
            self._compute_aside(
                servable, requests, partial(read_and_compute, servable, protocols, bodies)
            )

    def _compute_aside(
        self, servable: Servable, requests: list[Request], compute: Callable[[], Computed]
    ) -> None:
        self._row_threads.submit(compute).add_done_callback(
            partial(self._computed, servable, requests)
        )

    def _computed(
        self, servable: Servable, requests: list[Request], computed: "asyncio.Future[Computed]"
    ) -> None:
        if self._queue:
            self._flush()
        error = computed.exception()
        if error is None:
            self._succeed(servable, requests, computed.result())
        else:
            self._fail(servable, requests, error)

    def _fail(self, servable: Servable, requests: list[Request], error: BaseException) -> None:
        """Give the error to the requests; after a stopped call of several, compute each once more, alone."""
        if isinstance(error, InferenceTimeout):
            self._timed_out(servable)
            self._stopped.add(servable)
            self._any_stopped = True
            if len(requests) > 1:
                self._put_back(requests)
                asyncio.get_running_loop().call_soon(self._flush)
                return
        _call_back(requests, [error] * len(requests))

    def _put_back(self, requests: list[Request]) -> None:
        """Let these requests wait again, before all others."""
        self._queue = requests + self._queue

    def _succeed(self, servable: Servable, requests: list[Request], computed: Computed) -> None:
        _call_back(requests, self._kept(servable, (each[3] for each in requests), computed))
        if computed.answers is not None:
            # Later: the loop sends the responses first.
            later = asyncio.get_running_loop().call_soon
            later(self._observer.ran, servable, computed.answers, computed.seconds)
            if self._watchers:
                later(self._tell, servable, computed)


class _Traced:
    """A protocol for one request, whose span names the version and the number of rows."""

    def __init__(self, protocol: InferenceProtocol, span: Span) -> None:
        self._protocol = protocol
        self._span = span
        self.name = protocol.name
        self.read = protocol.read

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        self._span.set_version(servable.model_version)
        self._span.set(rows=len(read.rows))
        return self._protocol.write(servable, read, answers)


def _call_back(requests: list[Request], results: Sequence[Result]) -> None:
    """Give each request its result. An error there must not take the results from the others."""
    for (_, _, callback, _), result in zip(requests, results, strict=True):
        try:
            callback(result)
        except Exception as error:  # noqa: BLE001
            context = {"message": "a result could not be given to its request", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


def _end(span: Span, callback: Callback, result: Result) -> None:
    span.end(result)
    callback(result)


def _settle(future: "asyncio.Future[Result]", result: Result) -> None:
    if future.done():  # a client that left has cancelled it
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
