"""The fast lane: `POST /predict` answered below ASGI, where a request is as plain as most are.

A plain request comes on a connection on which nothing else is under way, and its head has no field
that matters. The head is not parsed, but looked up among those that were: the same bytes always
mean the same. Its id, which is another each time, is put aside before. The body joins the batch of
this tick, as every body does, and is answered with the bytes that the ASGI route would answer. What
is not plain goes to BoundedProtocol, untouched: another method, path, query or version of HTTP, a
head that `lane.py` does not call plain, a large body, a pipelined request, a client that does not
read, a full queue.

What uvicorn and OrderlyProtocol count on, and where it is kept:

- an idle connection ends after `timeout_keep_alive`: `_watch_idle`, `timeout_keep_alive_handler`;
- a body that does not arrive in time is answered 408: `_await_body`, `_late_body`;
- a stop answers what is under way, says `Connection: close`, and closes: `shutdown`, `_go_on`;
- a client that has sent its last has its answer before the end: `eof_received`, `_go_on`;
- answers come in the order of the requests: what is sent ahead waits in `_unfed`: `data_received`;
- a client that does not read, and one that left, is written nothing: `pause_writing`, `_reply`;
- `total_requests` counts every answer, and `default_headers` are in it: `_reply`;
- `limit_concurrency` is uvicorn's to keep: with it, nothing is plain: `_is_free`.
"""

import asyncio
from time import perf_counter
from typing import Any

from predictor.errors import Overloaded
from predictor.http.bounded import BoundedProtocol
from predictor.http.lane import END, PLAIN, Lane
from predictor.http.limits import Limits
from predictor.inference.compute import Result


class FastLaneProtocol(BoundedProtocol):
    """One connection."""

    def __init__(self, lane: Lane, limits: Limits, refused: Any, **uvicorn: Any) -> None:
        super().__init__(limits, refused, **uvicorn)
        self._lane = lane
        self._free = False  # nothing else is under way: what comes next may be plain
        self._begun = b""  # a plain request whose body is not whole
        self._asked = False  # a plain request is under way
        self._interrupted = False  # and something happened that must wait for its answer
        self._head, self._length, self._whole = b"", 0, -1  # of the last plain request
        self._id = b""  # that it brought
        self._began = 0.0  # when it came, by perf_counter()
        self._idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        super().connection_made(transport)
        self._free = self._is_free()

    def data_received(self, data: bytes) -> None:
        """Take a plain request; give all else to the stock path."""
        if self._free:
            if self._begun:
                data = self._begun + data
            if len(data) == self._whole and data.startswith(self._head):  # as the one before
                body, length = data[len(self._head) :], self._length
            else:
                body, length = self._look_up(data)
            if length and len(body) == length:
                try:
                    self._lane.ask(body, self._reply)
                except Overloaded:
                    pass  # the stock path says so
                else:
                    self._take()
                    return
            if len(body) < length:
                self._await_body(data)
                return
            self._free = False
            if self._begun:
                self._begun = b""
                self._sending.clear()
        elif self._asked:
            self._interrupt()
            self._unfed += data
            self.flow.held = True
            self.flow.pause_reading()
            return
        super().data_received(data)

    def _look_up(self, data: bytes) -> tuple[bytes, int]:
        """What is here of a body, and how long it will be; 0 where the request is not plain."""
        if not data.startswith(PLAIN):
            return b"", 0
        head, end, body = data.partition(END)
        # Half a head can be one, too: cut within its Content-Length.
        if not end:
            return body, 0
        length, request_id = self._lane.lengths.get(head, 0), b""
        if not length:
            length, request_id = self._lane.read(head, self._limits)
        if length:
            self._id = request_id
            if not self._lane.holds_keys:
                self._head, self._length = head + end, length
                self._whole = len(self._head) + length
        return body, length

    def _take(self) -> None:
        self._free = False
        self._asked = True
        if self._begun:
            self._begun = b""
            self._sending.clear()
        else:
            self._began = perf_counter()
            if self.timeout_keep_alive_task is None:  # the connection's first request
                self._sending.clear()

    def _await_body(self, data: bytes) -> None:
        """Many clients send the body after the head."""
        if not self._begun:
            self._began = perf_counter()
            self._sending.clear()
            self._sending.set(self, self._limits.body_seconds, self._late_body)
        self._begun = data

    def _late_body(self) -> None:
        self._interrupt()
        self._late()

    def _reply(self, result: Result) -> None:
        state = self.server_state
        answer = self._lane.answer(result, state.default_headers, self._began, self._id)
        self._asked = False
        if self._interrupted:
            self._owed -= 1
            if self._ends:
                answer = answer.replace(END, b"\r\nconnection: close" + END, 1)
        transport = self.transport
        if transport.is_closing():
            return
        transport.write(answer)
        state.total_requests += 1
        self._idle_since = perf_counter()
        if self.timeout_keep_alive_task is None:
            self._watch_idle(self.timeout_keep_alive)
        if self._interrupted:
            self._go_on()
        else:
            self._free = True

    def _interrupt(self) -> None:
        """Leave to the stock path what is not plain any more: what has begun, and all that comes.

        It owes the answer that is under way, and waits for it.
        """
        self._free = False
        if self._begun:
            data, self._begun = self._begun, b""
            self._sending.clear()
            super().data_received(data)
        if self._asked and not self._interrupted:
            self._interrupted = True
            self._owed += 1

    @property
    def _ends(self) -> bool:
        return self._leaving and not self._unfed

    def _go_on(self) -> None:
        """Do what had to wait for the answer."""
        self._interrupted = False
        if self._ends:
            self.close()
        elif self._unfed:
            self._feed_on()
            self.flow.resume_reading()
        else:
            self._end()
            self._free = self._is_free()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that has sent its last have its answer."""
        self._interrupt()
        return super().eof_received()

    def shutdown(self) -> None:
        """Answer what is under way, and say that it is the last."""
        self._interrupt()
        if self._asked:
            self._leaving = True
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Leave a client that does not read to the stock path, which waits for it."""
        self._interrupt()
        super().pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the application know of a request that will not be whole."""
        self._interrupt()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Take plain requests again, once the stock path is done."""
        super().on_response_complete()
        self._free = self._is_free()

    def arriving(self) -> bool:
        """Whether a request is under way."""
        return self._asked or self._begun != b"" or super().arriving()

    def _is_free(self) -> bool:
        return not (
            self._owed
            or self._unfed
            or self._leaving
            or self._last is not None
            or self.flow.write_paused
            or self.limit_concurrency is not None
            or self.transport.is_closing()
            or self.arriving()
        )

    def _watch_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection. The timer is not set anew for each plain request."""
        left = self.timeout_keep_alive - (perf_counter() - self._idle_since)
        if self._asked or self._begun:
            left = self.timeout_keep_alive
        if left > 0 and not self.transport.is_closing():
            self._watch_idle(left)
        else:
            super().timeout_keep_alive_handler()
