"""The fast lane: inference without ASGI, where a request is plain.

A request is plain if nothing else is under way on its connection and no header field changes its
meaning. Its head is not parsed but looked up: equal bytes mean equal requests. The request id, which
differs each time, is cut out before. The body joins the batch of this tick, as every body does, and
the response has the same bytes as the one of the ASGI route. All else goes to `Connection`, unchanged:
another method, path or version of HTTP, a head that `FastLane` does not call plain, a pipelined
request, a client that does not read its responses.

Promises of `Connection`, and where they are kept here:

- an idle connection ends after `keep_alive_seconds`: `_idle_ended`;
- a body that does not arrive in time is answered with 408: `_await_body`, `_late_body`;
- a stop answers what is under way with `Connection: close`: `shutdown`, `_resume`;
- a client that has sent its last byte gets its response before the end: `eof_received`, `_resume`;
- responses come in the order of requests: pipelined ones wait in `_unparsed`: `data_received`;
- nothing is written to a client that does not read or has left: `pause_writing`, `_reply`;
- `total_requests` counts each response, and each has `default_headers`: `_reply`.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from predictor.http.connection import Connection
from predictor.http.fast_lane import END, POST, FastLane, Headers, PlainHead
from predictor.http.limits import Limits
from predictor.inference.protocol import Result


class FastConnection(Connection):
    """One connection with the fast lane."""

    def __init__(
        self, lane: FastLane, limits: Limits, refused: Callable[[int], None], **uvicorn: Any
    ) -> None:
        super().__init__(limits, refused, **uvicorn)
        self._lane = lane
        self._free = False  # nothing is under way: the next request may be plain
        self._partial = bytearray()  # a plain request whose body is not complete
        self._pending = False  # a plain request waits for its result
        self._interrupted = False  # and other work waits for it
        # The latest plain request: its head, parsed; the head's bytes (b"" for one that may hold a key);
        # and the size of the whole request in bytes.
        self._plain: Any = None
        self._head, self._size = b"", -1
        self._request_id = b""
        self._trace: Headers = ()
        self._started = 0.0  # perf_counter() when the request came
        self._idle_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._free = self._is_free()

    def data_received(self, data: bytes) -> None:
        """Take a plain request; give all else to `Connection`."""
        if self._free:
            if self._partial:
                self._partial += data
                if len(self._partial) < self._size:
                    return
                data = bytes(self._partial)
            if self._head and len(data) == self._size and data.startswith(self._head):
                # The same head as before.
                body, plain = data[len(self._head) :], self._plain
            else:
                body, plain = self._look_up(data)
            if plain is not None:
                if len(body) == plain.length:
                    self._take()
                    self._lane.submit(plain.protocol, body, self._reply, self._trace)
                    return
                if len(body) < plain.length:
                    self._await_body(data)
                    return
            self._free = False
            if self._partial:
                self._partial = bytearray()
                self._arrival.clear()
        elif self._pending:
            self._interrupt()
            self._unparsed += data
            self.flow.held = True
            self.flow.pause_reading()
            return
        super().data_received(data)

    def _look_up(self, data: bytes) -> tuple[bytes, PlainHead | None]:
        """The part of the body that is here, and the head; None if the request is not plain."""
        if not data.startswith(POST):
            return b"", None
        head, end, body = data.partition(END)
        # Half a head may look complete: cut within its Content-Length.
        if not end:
            return body, None
        plain, request_id = self._lane.heads.get(head), b""
        if plain is None:
            plain, request_id = self._lane.read(head, self.limits)
        if plain is not None:
            self._plain, self._request_id = plain, request_id
            self._trace = self._lane.trace_of(head)
            self._head = b"" if self._lane.holds_keys else head + end
            self._size = len(head) + len(end) + plain.length
        return body, plain

    def _take(self) -> None:
        self._free = False
        self._pending = True
        if self._partial:
            self._partial = bytearray()
            self._arrival.clear()
        else:
            self._started = perf_counter()
            if self._idle is None:  # the connection's first request
                self._arrival.clear()

    def _await_body(self, data: bytes) -> None:
        """Wait for the rest of the body: many clients send it after the head."""
        if not self._partial:
            self._started = perf_counter()
            self._arrival.clear()
            self._arrival.set(self, self.limits.body_seconds, self._late_body)
            self._partial += data

    def _late_body(self) -> None:
        self._interrupt()
        self._late()

    def _reply(self, result: Result) -> None:
        state = self.server_state
        response = self._lane.response(
            self._plain, result, state.default_headers, self._started, self._request_id
        )
        self._pending = False
        if self._interrupted:
            self._unanswered -= 1
            if self._ends:
                response = response.replace(END, b"\r\nconnection: close" + END, 1)
        transport = self.transport
        if transport.is_closing():
            return
        transport.write(response)
        state.total_requests += 1
        self._idle_since = perf_counter()
        if self._idle is None:
            self._set_idle(self._keep_alive_seconds)
        if self._interrupted:
            self._resume()
        else:
            # The response itself may have filled the transport's buffer.
            self._free = not self.flow.write_paused

    def _interrupt(self) -> None:
        """Give the connection to `Connection`: a partial request, and all that comes.

        A plain request under way counts as unanswered there, so that all else waits for it.
        """
        self._free = False
        if self._partial:
            data, self._partial = bytes(self._partial), bytearray()
            self._arrival.clear()
            super().data_received(data)
        if self._pending and not self._interrupted:
            self._interrupted = True
            self._unanswered += 1

    @property
    def _ends(self) -> bool:
        return self._stopping and not self._unparsed

    def _resume(self) -> None:
        """Do what had to wait for the response."""
        self._interrupted = False
        if self._ends:
            self.close()
        elif self._unparsed:
            self._parse_waiting()
            self.flow.resume_reading()
        else:
            self._end()
            self._free = self._is_free()

    def eof_received(self) -> bool:
        """Answer the request of a client that has sent its last byte."""
        self._interrupt()
        return super().eof_received()

    def shutdown(self) -> None:
        """Answer what is under way with `Connection: close`."""
        self._interrupt()
        if self._pending:
            self._stopping = True
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """Leave a client that does not read its responses to `Connection`, which waits for it."""
        self._interrupt()
        super().pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the application see a request that stays incomplete."""
        self._interrupt()
        super().connection_lost(exc)

    def _on_response(self) -> None:
        # Take plain requests again once nothing else is under way.
        super()._on_response()
        self._free = self._is_free()

    def arriving(self) -> bool:
        """Whether a request has begun and is not answered or handed on."""
        return self._pending or bool(self._partial) or super().arriving()

    def _is_free(self) -> bool:
        return not (
            self._unanswered
            or self._unparsed
            or self._stopping
            or self._final is not None
            or self.flow.write_paused
            or self.transport.is_closing()
            or self.arriving()
        )

    def _idle_ended(self) -> None:
        # The timer is not restarted for each plain request: it looks when the last one ended.
        left = self._keep_alive_seconds - (perf_counter() - self._idle_since)
        if self._pending or self._partial:
            left = self._keep_alive_seconds
        if left > 0 and not self.transport.is_closing():
            self._set_idle(left)
        else:
            super()._idle_ended()
