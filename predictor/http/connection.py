"""One HTTP/1.1 connection, within limits.

`RequestParser` reads its requests, and uvicorn's `RequestResponseCycle` passes each to the application,
in their order. uvicorn's own connections limit neither the size of a request's head, nor the time in
which a request must arrive, nor the number of pipelined requests, nor the time in which a client must
read its responses. Here, a request beyond a limit is answered with a problem document, after the
responses to earlier requests; then the connection closes.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from predictor.http import request_id as ids
from predictor.http.limits import READ_FIRST_SECONDS, Deadline, Limits, Refused
from predictor.http.middleware import is_stream
from predictor.http.problems import closing_response
from predictor.http.request_parser import SLICE, Parsed, RequestParser
from predictor.log_events import REQUEST_REFUSED

_MAX_PIPELINED = 16  # parsed requests that wait for their turn
_LINGER_SECONDS = 1  # between the last response and the close, which could destroy it
_QUIET_SECONDS = 0.3  # when the server stops, for a request that is on its way

_log = logging.getLogger("uvicorn.error")


class _Flow(FlowControl):
    """Does not resume reading while received bytes wait to be parsed."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Connection(asyncio.Protocol):
    """One connection. `refused(status)` is called for refusals that the application does not see."""

    transport: asyncio.Transport
    flow: _Flow

    def __init__(
        self,
        limits: Limits,
        refused: Callable[[int], None],
        *,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.limits = limits
        self.server_state = server_state
        self.loop = _loop or asyncio.get_running_loop()
        self._refused = refused
        self._app = config.loaded_app
        self._app_state = app_state
        self._keep_alive_seconds = config.timeout_keep_alive
        self._encrypted = False
        self._parser: Any = None  # None before the connection is made, and once it is lost
        # Requests whose head is complete.
        self._latest: Any = None  # its cycle; the body may still be arriving
        self._responding: Any = None  # the cycle whose response is sent
        self._pipeline: deque[Any] = deque()  # cycles that wait
        self._unanswered = 0
        self._unparsed = b""
        # The end.
        self._final: bytes | None = None  # to send before the close, after the responses
        self._client_finished = False
        self._stopping = False
        # Times.
        self._arrival = Deadline(self.loop)  # of a head or a body
        self._departure = Deadline(self.loop)  # of responses, and of the connection
        self._idle: asyncio.TimerHandle | None = None

    # The transport's calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, or refuse the connection."""
        self.transport = transport
        self.flow = _Flow(transport)
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
            self._arrival.set(None, self.limits.header_seconds, self.close)

    def data_received(self, data: bytes) -> None:
        """Parse in slices, and only a few requests ahead."""
        if self._final is not None:
            return
        if self._unparsed or len(data) > SLICE or len(self._pipeline) >= _MAX_PIPELINED:
            self._unparsed += data
            self._parse_waiting()
        else:
            self._parse(data)

    def eof_received(self) -> bool:
        """Answer the complete requests of a client that has sent its last byte, unless with a stream."""
        if self._unparsed:
            self._client_finished = True
            return True
        if self._encrypted:  # TLS has no half-closed connections
            return False
        if self._final is not None:
            return self._unanswered > 0
        cycle = self._responding
        if cycle and not cycle.response_complete and is_stream(cycle.scope):
            return False
        self._finish(b"")
        return not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's
        """Tell the requests, and leave nothing behind.

        Neither a timer nor a reference cycle: only the garbage collector would free that, and it may
        not run for hours.
        """
        self.server_state.connections.discard(self)
        self._final = self._unparsed = b""
        self._arrival.clear()
        self._departure.clear()
        self._clear_idle()
        self._pipeline.clear()
        for cycle in (self._responding, self._latest):
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
        self.flow.resume_writing()
        self.transport.close()
        self._parser.close()
        self._parser = self._latest = self._responding = None

    def pause_writing(self) -> None:
        """Wait for the client to read its responses, within a limit."""
        self.flow.pause_writing()
        self._departure.set(self, self.limits.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read its responses."""
        if self._final is None and not self.transport.is_closing():
            self._departure.clear()
        self.flow.resume_writing()

    # Parsing.

    def _parse_waiting(self) -> None:
        waiting, parsed = memoryview(self._unparsed), 0
        while self._unparsed and parsed < len(waiting) and len(self._pipeline) < _MAX_PIPELINED:
            self._parse(waiting[parsed : parsed + SLICE])
            parsed += SLICE
        if self._unparsed:  # a refusal empties it
            self._unparsed = bytes(waiting[parsed:])
        self.flow.held = bool(self._unparsed)
        if self._unparsed:
            self.flow.pause_reading()
        elif self._client_finished and self._final is None:
            self._finish(b"")

    def _parse(self, data: bytes | memoryview) -> None:
        try:
            self._parser.feed(data)
            self._watch_arrival()
        except Refused as refused:
            self._refuse(refused)

    def _on_head(self) -> None:
        """Start the request, or let it wait for earlier ones."""
        previous, self._latest = self._latest, self._cycle()
        self._unanswered += 1
        if previous is None or previous.response_complete:
            self._start(self._latest)
        else:
            self.flow.pause_reading()
            self._pipeline.append(self._latest)

    def _cycle(self) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=self._parser.scope,
            transport=self.transport,
            flow=self.flow,
            logger=_log,
            access_logger=_log,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self._parser.expects_continue,
            keep_alive=self._parser.keep_alive and not self._stopping,
            on_response=self._on_response,
        )

    def _start(self, cycle: Any) -> None:
        self._responding = cycle
        task = self.loop.create_task(cycle.run_asgi(self._app))
        task.add_done_callback(self.server_state.tasks.discard)
        self.server_state.tasks.add(task)

    def _on_body(self, body: bytes) -> None:
        cycle = self._latest
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def _on_end(self) -> None:
        """End the body, also of a request that was answered before."""
        if self._in_body:
            self._latest.more_body = False
            self._latest.message_event.set()

    @property
    def _in_body(self) -> bool:
        """Whether the request that is being parsed has a complete head, and thus a cycle."""
        return self._latest is not None and self._latest.scope is self._parser.scope

    @property
    def _incomplete(self) -> bool:
        """Whether a request has begun and is not complete."""
        if self._parser is None or self._parser.scope is None:
            return False
        return not self._in_body or self._latest.more_body

    def arriving(self) -> bool:
        """Whether a request is arriving."""
        return self._incomplete

    # Limits of time.

    def _watch_arrival(self) -> None:
        """Limit the rest of the request that has begun. Raises Refused."""
        if self._in_body and not self._latest.more_body:
            self._rest()
            return
        if self._parser.scope is None:
            return  # blank lines; the time for the first request goes on
        self._clear_idle()
        in_body, limits = self._in_body, self.limits
        awaited = self._latest if in_body else self._parser.scope
        seconds = limits.body_seconds if in_body else limits.header_seconds
        if self._arrival.set(awaited, seconds, self._late):
            self._parser.progress()
        else:
            self._parser.check_framing(in_body=in_body)

    def _rest(self) -> None:
        """Nothing is arriving: count idle time, unless a response is due."""
        self._parser.progress()
        if self._arrival.awaits:
            self._arrival.clear()
        if self._unanswered:
            self._clear_idle()
        elif self._idle is None:  # the rest of a body came after its response
            self._set_idle(self._keep_alive_seconds)

    def _late(self) -> None:
        if self.flow.read_paused:  # the client could not send on
            self._watch_arrival()
        else:
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))

    def _set_idle(self, seconds: float) -> None:
        self._idle = self.loop.call_later(seconds, self._read_first)

    def _read_first(self) -> None:
        self._idle = self.loop.call_later(READ_FIRST_SECONDS, self._idle_ended)

    def _clear_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _idle_ended(self) -> None:
        self.close()

    # Responses, and the end.

    def _on_response(self) -> None:
        """Start the next request, or end."""
        self._unanswered -= 1
        self.server_state.total_requests += 1
        if self._final is not None and not self._pipeline:
            self._end()
            return
        if self.transport.is_closing():
            self.close()
            return
        self._clear_idle()
        self.flow.resume_reading()
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif self._parser.expects_continue and self._incomplete:
            # Nobody knows whether the client still sends the body, which it need not.
            self.close()
            return
        else:
            self._set_idle(self._keep_alive_seconds)
        if self._unparsed:
            self._parse_waiting()
            self.flow.resume_reading()

    def _refuse(self, refused: Refused) -> None:
        # An earlier request of this connection may have left its id in the context.
        request_id = ids.of_scope(self._parser.scope) if self._incomplete else ids.new_id().decode()
        status, reason = refused.status, str(refused)
        REQUEST_REFUSED.log(status=status, reason=reason, request_id=request_id)
        self._unparsed = b""
        self._arrival.clear()
        self._clear_idle()
        if self._finish(closing_response(status, reason, request_id), status):
            self._refused(status)

    def _finish(self, final: bytes, status: int = 400) -> bool:
        """Send `final` and close, once every complete request has its response.

        False if the application sees it, as a client that left in its body: it counts `status`.
        """
        self._final = final
        cycle = self._latest
        seen = False
        if self._in_body and cycle.more_body:
            if self._pipeline and self._pipeline[-1] is cycle:
                self._pipeline.pop()
                self._unanswered -= 1
            else:
                seen = not cycle.response_complete
                if cycle.response_started:
                    self._final = b""
                self._unanswered = 0
                cycle.scope["state"]["abandoned"] = status
                cycle.disconnected = True
                cycle.message_event.set()
        self._end()
        return not seen

    def _end(self) -> None:
        if self._unanswered or self._final is None:
            return
        if self._final and self.transport.can_write_eof():
            self.transport.write(self._final)
            self.transport.write_eof()
            self.flow.resume_reading()
            self._departure.set(self._final, _LINGER_SECONDS, self.close)
        else:
            self.transport.write(self._final)
            self.close()

    def close(self) -> None:
        """Close; within a limit, the client may still read its responses."""
        if self._parser is None:
            return  # the connection is lost
        self.transport.close()
        self._departure.set(self.transport, self.limits.body_seconds, self.transport.abort)

    def shutdown(self) -> None:
        """The server stops: answer what is here or on its way, with `Connection: close`."""
        self._stopping = True
        if self._unanswered and not self._latest.response_started:
            self._latest.keep_alive = False
        else:
            read_first = partial(self.loop.call_later, READ_FIRST_SECONDS, self._leave)
            self.loop.call_later(_QUIET_SECONDS, read_first)

    def _leave(self) -> None:
        if not self._unanswered and not self.arriving():
            self.close()
