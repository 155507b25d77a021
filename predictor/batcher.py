"""Rows of one event-loop tick become one ONNX Runtime call.

The first body of a tick schedules a flush with `call_soon`; the loop runs it after it has read
every socket that was ready, so requests that came together are answered together, and a lone
request waits for nothing. There is no timer.

What would hold up the loop goes to a few threads of its own: batches, and single bodies so large
that reading their faults takes a while. What waits is bounded: beyond it, Overloaded.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

from predictor.answers import Answer
from predictor.errors import Overloaded, RequestError
from predictor.servable import Servable
from predictor.signature import Row

_Waiting = tuple[bytes, "asyncio.Future[tuple[Servable, Answer]]"]
_LARGE = 16_384  # bytes of a record's body that are read on the loop
_MOST_THREADS = 4  # each holds a batch's rows in memory


class BatchObserver(Protocol):
    """Who counts what was computed."""

    def ran(
        self, servable: Servable, answers: Sequence[Answer | RequestError], seconds: float
    ) -> None:
        """One ONNX Runtime call ended: its answers in order, and how long it took."""


class Batcher:
    """Takes bodies, gives answers, each with the servable that computed it."""

    def __init__(
        self,
        serving: Callable[[], Servable],
        observer: BatchObserver,
        *,
        most_rows: int = 1024,
        most_batches: int = 32,
    ) -> None:
        """`serving` gives the servable that answers now, or raises NothingServing.

        `most_rows` may wait for the end of a tick, `most_batches` for a thread or in one.
        """
        self._serving = serving
        self._observer = observer
        self._most_rows = most_rows
        self._most_batches = most_batches
        self._waiting: list[_Waiting] = []
        self._batches = 0
        threads = min(_MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="batch")

    async def predict(self, body: bytes) -> tuple[Servable, Answer]:
        """Answer one record. Raises RequestError, NothingServing or Overloaded."""
        if len(body) > _LARGE:
            servable, answers = await self._answer_aside(_decode_one, body)
            if isinstance(answers[0], RequestError):
                raise answers[0]
            return servable, answers[0]
        if len(self._waiting) >= self._most_rows:
            raise Overloaded(len(self._waiting), "records")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Servable, Answer]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((body, future))
        return await future

    async def predict_batch(self, body: bytes) -> tuple[Servable, list[Answer]]:
        """Answer `{"instances": [record, …]}`, all from one servable.

        Raises RequestError, which names the row, NothingServing or Overloaded.
        """
        servable, answers = await self._answer_aside(_decode_many, body)
        for number, answer in enumerate(answers):
            if isinstance(answer, RequestError):
                raise answer.at(f"instances[{number}]")
        return servable, [answer for answer in answers if isinstance(answer, Answer)]

    async def _answer_aside(
        self, decode: Callable[[Servable, bytes], list[Row]], body: bytes
    ) -> tuple[Servable, list[Answer | RequestError]]:
        """Decode and run in a thread: a thousand rows must not hold up the single ones."""
        servable = self._serving()
        if self._batches >= self._most_batches:
            raise Overloaded(self._batches, "batches")
        self._batches += 1
        try:
            loop = asyncio.get_running_loop()
            answers, seconds = await loop.run_in_executor(
                self._pool, _answer_all, servable, decode, body
            )
        finally:
            self._batches -= 1
        self._observer.ran(servable, answers, seconds)
        return servable, answers

    def _flush(self) -> None:
        """Decode and run everything that waits, on one servable."""
        waiting, self._waiting = self._waiting, []
        try:
            servable = self._serving()
            rows, futures = self._decode(servable, waiting)
            if not rows:
                return
            started = perf_counter()
            answers = servable.answer(rows)
            seconds = perf_counter() - started
            for future, answer in zip(futures, answers, strict=True):
                if isinstance(answer, RequestError):
                    _fail(future, answer)
                elif not future.done():
                    future.set_result((servable, answer))
            self._observer.ran(servable, answers, seconds)
        except Exception as error:  # noqa: BLE001  every client that waits must hear of it
            for _, future in waiting:
                _fail(future, error)

    @staticmethod
    def _decode(
        servable: Servable, waiting: Sequence[_Waiting]
    ) -> tuple[list[Row], list["asyncio.Future[tuple[Servable, Answer]]"]]:
        rows, futures = [], []
        for body, future in waiting:
            try:
                rows.append(servable.decoder.record(body))
            except RequestError as error:
                _fail(future, error)
            else:
                futures.append(future)
        return rows, futures


def _decode_one(servable: Servable, body: bytes) -> list[Row]:
    return [servable.decoder.record(body)]


def _decode_many(servable: Servable, body: bytes) -> list[Row]:
    return servable.decoder.instances(body)


def _answer_all(
    servable: Servable, decode: Callable[[Servable, bytes], list[Row]], body: bytes
) -> tuple[list[Answer | RequestError], float]:
    rows = decode(servable, body)
    started = perf_counter()
    answers = servable.answer(rows)
    return answers, perf_counter() - started


def _fail(future: "asyncio.Future[tuple[Servable, Answer]]", error: Exception) -> None:
    if not future.done():  # a client that went away has cancelled it
        future.set_exception(error)
