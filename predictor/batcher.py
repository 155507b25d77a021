"""Rows of one event-loop tick become one ONNX Runtime call.

The first body of a tick schedules a flush with `call_soon`; the loop runs it after it has read
every socket that was ready, so requests that came together are answered together, and a lone
request waits for nothing. There is no timer.

What would hold up the loop goes to a few threads: rows of a model that is slow (`cost.py`),
batches, and single bodies so large that reading their faults takes a while. While the threads
compute, what comes becomes their next call. What waits is bounded: beyond it, Overloaded.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Protocol

from predictor.errors import Overloaded
from predictor.records.answers import Answers
from predictor.servable import Servable
from predictor.signature import Row
from predictor.threads import Threads

Result = bytes | Exception
"""The body of an answer, or what prevents it."""
Reply = Callable[[Result], None]
_Count = Callable[[Answers, float], None]
_Computed = tuple[list[Result], Answers | None, float]

LARGE = 16_384
"""Bytes of a record's body that are read on the loop; larger ones are read in a thread."""
_ROWS_A_CALL = 512  # of a batch: between two calls, the loop has its turn


class BatchObserver(Protocol):
    """Who counts what was computed."""

    def ran(self, servable: Servable, answers: Answers, seconds: float) -> None:
        """One ONNX Runtime call ended: its answers in order, and how long it took."""


class Batcher:
    """Takes bodies, gives the bodies of their answers, each with the version that computed it."""

    def __init__(
        self,
        serving: Callable[[], Servable],
        observer: BatchObserver,
        *,
        most_rows: int = 1024,
        most_batches: int = 32,
    ) -> None:
        """`serving` gives the servable that answers now, or raises NothingServing.

        `most_rows` may wait for their turn, `most_batches` for a thread or in one.
        """
        self._serving = serving
        self._observer = observer
        self._most_rows = most_rows
        self._bodies: list[bytes] = []
        self._replies: list[Reply] = []
        self._slow = Threads("rows")
        self._batches = Threads("batch", most_batches)

    def ask(self, body: bytes, reply: Reply) -> None:
        """Answer one record of at most `LARGE` bytes: `reply` is called once, and not from here.

        Raises Overloaded, and then it is not called.
        """
        bodies = self._bodies
        if not bodies:
            asyncio.get_running_loop().call_soon(self._flush)
        elif len(bodies) >= self._most_rows:
            raise Overloaded(len(bodies), "records")
        bodies.append(body)
        self._replies.append(reply)

    async def predict(self, body: bytes) -> bytes:
        """Answer one record. Raises RequestError, NothingServing or Overloaded."""
        if len(body) > LARGE:
            return await self._in_thread(_answer_one, body)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.ask(body, partial(_settle, future))
        return await future

    async def predict_batch(self, body: bytes) -> bytes:
        """Answer `{"instances": [record, …]}`, all from one servable.

        Raises RequestError, which names the row, NothingServing or Overloaded.
        """
        return await self._in_thread(_answer_many, body)

    async def _in_thread(
        self, answer: Callable[[Servable, bytes, _Count], bytes], body: bytes
    ) -> bytes:
        """Decode, run and encode in a thread: a thousand rows must not hold up the single ones."""
        servable = self._serving()
        if not self._batches.free:
            raise Overloaded(self._batches.used, "batches")
        tell = asyncio.get_running_loop().call_soon_threadsafe

        def count(answers: Answers, seconds: float) -> None:
            tell(self._observer.ran, servable, answers, seconds)

        return await self._batches.submit(partial(answer, servable, body, count))

    def _flush(self) -> None:
        """Answer what waits, on one servable: as much as the loop can afford, or in threads."""
        try:
            servable = self._serving()
            most = servable.rows_on_loop
        except Exception as error:  # noqa: BLE001  every client that waits must hear of it
            for reply in self._take(len(self._bodies))[1]:
                reply(error)
            return
        if not most:
            self._flush_aside(servable)
            return
        bodies, replies = self._take(most)
        if self._bodies:
            asyncio.get_running_loop().call_soon(self._flush)
        self._tell(servable, replies, _answer(servable, bodies))

    def _take(self, most: int) -> tuple[list[bytes], list[Reply]]:
        bodies, replies = self._bodies, self._replies
        if len(bodies) <= most:
            self._bodies, self._replies = [], []
            return bodies, replies
        self._bodies, self._replies = bodies[most:], replies[most:]
        return bodies[:most], replies[:most]

    def _flush_aside(self, servable: Servable) -> None:
        """Share what waits among the threads; when one has done its part, it is flushed again."""
        share = -(-len(self._bodies) // self._slow.most)
        while self._bodies and self._slow.free:
            bodies, replies = self._take(share)
            computed = self._slow.submit(partial(_answer, servable, bodies))
            computed.add_done_callback(partial(self._computed, servable, replies))

    def _computed(
        self, servable: Servable, replies: list[Reply], computed: "asyncio.Future[_Computed]"
    ) -> None:
        if self._bodies:
            self._flush()
        self._tell(servable, replies, computed.result())

    def _tell(self, servable: Servable, replies: list[Reply], computed: _Computed) -> None:
        results, answers, seconds = computed
        for reply, result in zip(replies, results, strict=True):
            reply(result)
        if answers is not None:
            # Later: the loop sends what was written only once this has ended.
            count = self._observer.ran
            asyncio.get_running_loop().call_soon(count, servable, answers, seconds)


def _answer(servable: Servable, bodies: list[bytes]) -> _Computed:
    """Decode, run and encode. What goes wrong is the result of those whom it concerns."""
    try:
        rows, faults = servable.decoder.records(bodies)
        if not rows:
            return [faults[number] for number in range(len(bodies))], None, 0.0
        answers, seconds = _run(servable, rows)
        results: list[Result] = [*servable.encoder.each(answers)]
    except Exception as error:  # noqa: BLE001  every client that waits must hear of it
        return [error] * len(bodies), None, 0.0
    for number, fault in faults.items():
        results.insert(number, fault)
    return results, answers, seconds


def _run(servable: Servable, rows: list[Row]) -> tuple[Answers, float]:
    started = perf_counter()
    answers = servable.answer(rows)
    if len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows got {len(answers)} answers")
    return answers, perf_counter() - started


def _answer_one(servable: Servable, body: bytes, count: _Count) -> bytes:
    answers, seconds = _run(servable, [servable.decoder.record(body)])
    count(answers, seconds)
    (result,) = servable.encoder.each(answers)
    if isinstance(result, Exception):
        raise result
    return result


def _answer_many(servable: Servable, body: bytes, count: _Count) -> bytes:
    rows, encoded = servable.decoder.instances(body), []
    for start in range(0, len(rows), _ROWS_A_CALL):
        answers, seconds = _run(servable, rows[start : start + _ROWS_A_CALL])
        count(answers, seconds)
        for number, fault in sorted(answers.faults.items()):
            raise fault.at(f"instances[{start + number}]")
        encoded.append(servable.encoder.rows(answers))
    return servable.encoder.batch(encoded)


def _settle(future: "asyncio.Future[bytes]", result: Result) -> None:
    if future.done():  # a client that went away has cancelled it
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
