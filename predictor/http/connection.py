"""One HTTP/1.1 connection, within limits, with the fast lane for plain requests.

Requests are answered in the order in which they came. Each passes through these states:

    nothing ──► head ──► body ──► waits for its turn ──► is answered
       └──────► plain: its head is known ────────────────────┘

**The fast lane.** A request is plain if nothing else is under way on its connection and no header field
changes its meaning. Its head is not parsed but looked up: equal bytes mean equal requests. (The request
id, which differs each time, is cut out before.) The body joins the batch of this tick, and the response has
the same bytes as the one of the ASGI route. Whatever else happens while it is under way, such as more
bytes or a stop, ends the fast lane until nothing is under way: `_leave_lane`.

**ASGI.** All other requests, the limits of all and the end of the connection are those of `Exchange`.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import Any

import uvicorn
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from predictor.http import request_id as ids
from predictor.http.exchange import PLAIN, Exchange, Flow, disconnect
from predictor.http.fast_lane import END, POST, FastLane, Headers
from predictor.http.limits import Limits, Refused
from predictor.http.middleware import is_stream
from predictor.http.request_parser import SLICE, Parsed, RequestParser
from predictor.inference.batcher import Caller
from predictor.inference.protocol import Result


class Connection(Exchange):
    """One connection. `refused(status)` is called for refusals that the application does not see.

    `lane` is None if all requests must take ASGI.
    """

    def __init__(
        self,
        lane: FastLane | None,
        limits: Limits,
        refused: Callable[[int], None],
        *,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(limits, refused, config, server_state, _loop)
        self._app_state = app_state
        self._encrypted = False
        self._lane: Any = lane
        # The latest plain request: its head, parsed; the head's bytes (b"" if it may hold a key); and the
        # size of the whole request in bytes.
        self._plain: Any = None
        self._head, self._size = b"", -1
        self._request_id = b""
        self._trace: Headers = ()
        self._started = 0.0  # perf_counter() when the request came

    # The transport's calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, or refuse the connection."""
        self.transport = transport
        self.flow = Flow(transport)
        self._encrypted = is_ssl(transport)
        base = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "https" if self._encrypted else "http",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "root_path": "",
            "state": self._app_state,
        }
        parsed = Parsed(self._on_head, self._on_body, self._on_end)
        self._parser = RequestParser(self.limits, base, parsed)
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        if len(self.server_state.connections) > self.limits.connections:
            busy = "there are too many connections; try again later"
            self._refuse(Refused(HTTPStatus.SERVICE_UNAVAILABLE, busy))
        else:
            self._arrival.set(None, self.limits.header_seconds, self._close_now)
            self._enter_lane()

    def data_received(self, data: bytes) -> None:
        """Take a plain request; parse all else in slices, and not far ahead."""
        if self._in_lane:
            if not self._requests and self._take(data):
                return
            self._leave_lane()
        if self._final is not None:
            return
        if self._unparsed or self._waiting or len(data) > SLICE:
            self._unparsed += data
            self._parse_unparsed()
        else:
            self._parse(data)

    def eof_received(self) -> bool:
        """Answer the complete requests of a client that has sent its last byte, unless with a stream."""
        self._leave_lane()
        self._client_finished = True
        if self._encrypted:  # TLS has no half-closed connections
            return False
        if self._unparsed:
            return True
        if self._final is not None:
            return bool(self._requests)
        if any(cycle is not PLAIN and is_stream(cycle.scope) for cycle in self._requests):
            return False
        self._finish(b"")
        return not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        """Tell the requests, and leave nothing behind.

        Neither a timer nor a reference cycle: only the garbage collector would free that, and it may
        not run for hours.
        """
        self._leave_lane()  # the application sees a plain request that stays incomplete
        self.server_state.connections.discard(self)
        self._final = b""
        self._unparsed.clear()
        self._arrival.clear()
        self._departure.clear()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        for cycle in {*self._requests, self._receiving} - {PLAIN, None}:
            disconnect(cycle)
        self.flow.resume_writing()
        self.transport.close()
        self._parser.close()
        self._parser = self._receiving = None
        self._requests.clear()

    def pause_writing(self) -> None:
        """Wait for the client to read its responses, within a limit."""
        self._leave_lane()
        self.flow.pause_writing()
        self._departure.set(self, self.limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read its responses."""
        if self._final is None and not self.is_closing():
            self._departure.clear()
        self.flow.resume_writing()
        self._enter_lane()

    # The fast lane.

    def _enter_lane(self) -> None:
        self._in_lane = not (
            self._lane is None
            or self._requests
            or self._unparsed
            or self._stopping
            or self._final is not None
            or self.flow.write_paused
            or self.is_closing()
            or self.arriving()
        )

    def _leave_lane(self) -> None:
        if self._in_lane:
            self._in_lane = False
            if self._unparsed:
                self._arrival.clear()
                self._parse_unparsed()

    def _take(self, data: bytes) -> bool:
        """Take a plain request, or a part of its body; many clients send it after the head."""
        if self._unparsed:
            missing = self._size - len(self._unparsed) - len(data)
            if missing < 0 or (missing == 0 and not self._is_still_plain()):
                return False
            self._unparsed += data
            if missing == 0:
                with memoryview(self._unparsed) as request:
                    body = bytes(request[self._size - self._plain.length :])
                self._unparsed.clear()
                self._submit(body)
            return True
        if self._head and len(data) == self._size and data.startswith(self._head):
            body = data[len(self._head) :]  # the same head as before
        else:
            found = self._look_up(data)
            if found is None or len(found) > self._plain.length:
                return False
            body = found
        self._started = perf_counter()
        if len(body) == self._plain.length:
            self._submit(body)
        else:
            self._unparsed += data
            self._arrival.set(self, self.limits.body_seconds, self._late)
        return True

    def _look_up(self, data: bytes) -> bytes | None:
        """The part of the body that is here; None if the request is not plain."""
        if not data.startswith(POST):
            return None
        head, end, body = data.partition(END)
        # Half a head may look complete: cut within its Content-Length.
        if not end:
            return None
        plain, request_id = self._lane.heads.get(head), b""
        if plain is None:
            plain, request_id = self._lane.read(head, self.limits)
        if plain is None:
            return None
        self._plain, self._request_id = plain, request_id
        self._trace = self._lane.trace_of(head)
        self._head = b"" if self._lane.holds_keys else head + end
        self._size = len(head) + len(end) + plain.length
        return body

    def _is_still_plain(self) -> bool:
        """Whether the key of a request, if it has one, was not removed while its body arrived."""
        return bool(self._head) or self._look_up(bytes(self._unparsed)) is not None

    def _submit(self, body: bytes) -> None:
        if self._arrival.timer is not None:
            self._arrival.clear()
        self._requests.append(PLAIN)
        plain = self._plain
        if not self._request_id:
            self._request_id = ids.new_id()
        caller = Caller(self._request_id.decode(), plain.key) if self._lane.keeps else None
        self._lane.submit(plain.protocol, body, self._reply, self._trace, caller)

    def _reply(self, result: Result) -> None:
        response = self._lane.response(
            self._plain, result, self.server_state.default_headers, self._started, self._request_id
        )
        transport = self.transport
        if transport.is_closing():
            return
        if not self._in_lane and self._stopping and not self._unparsed and not self._waiting:
            transport.write(response.replace(END, b"\r\nconnection: close" + END, 1))
            self.close()
        else:
            transport.write(response)  # which may call pause_writing
        if self._in_lane:
            self._requests.clear()
            self.server_state.total_requests += 1
            self._responded()
        else:
            self._on_response()
