"""Rows of one event-loop tick become one ONNX Runtime call.

The first body of a tick schedules a flush with `call_soon`; the loop runs it after it has read
every socket that was ready, so requests that came together are answered together, and a lone
request waits for nothing. There is no timer.
"""

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

from predictor.answers import Answer
from predictor.errors import RequestError
from predictor.servable import Servable
from predictor.signature import Row

_Waiting = tuple[bytes, "asyncio.Future[tuple[Servable, Answer]]"]


class BatchObserver(Protocol):
    """Who counts what was computed."""

    def ran(
        self, servable: Servable, answers: Sequence[Answer | RequestError], seconds: float
    ) -> None:
        """One ONNX Runtime call ended: its answers in order, and how long it took."""


class Batcher:
    """Takes bodies, gives answers, each with the servable that computed it."""

    def __init__(self, serving: Callable[[], Servable], observer: BatchObserver) -> None:
        """`serving` gives the servable that answers now, or raises NothingServing."""
        self._serving = serving
        self._observer = observer
        self._waiting: list[_Waiting] = []

    async def predict(self, body: bytes) -> tuple[Servable, Answer]:
        """Answer one record. Raises RequestError or NothingServing."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Servable, Answer]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.append((body, future))
        return await future

    async def predict_batch(self, body: bytes) -> tuple[Servable, list[Answer]]:
        """Answer `{"instances": [record, …]}`, all from one servable.

        Raises RequestError, which names the row, or NothingServing. Runs in a thread: a thousand
        rows must not hold up the single ones.
        """
        servable = self._serving()
        answers, seconds = await asyncio.to_thread(_answer_all, servable, body)
        self._observer.ran(servable, answers, seconds)
        for number, answer in enumerate(answers):
            if isinstance(answer, RequestError):
                raise answer.at(f"instances[{number}]")
        return servable, [answer for answer in answers if isinstance(answer, Answer)]

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


def _answer_all(servable: Servable, body: bytes) -> tuple[list[Answer | RequestError], float]:
    rows = servable.decoder.instances(body)
    started = perf_counter()
    answers = servable.answer(rows)
    return answers, perf_counter() - started


def _fail(future: "asyncio.Future[tuple[Servable, Answer]]", error: Exception) -> None:
    if not future.done():  # a client that went away has cancelled it
        future.set_exception(error)
