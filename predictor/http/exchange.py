"""The requests of one connection that take ASGI, and the responses of all, in the order of the requests.

`RequestParser` reads the requests, and uvicorn's `RequestResponseCycle` passes each to the application, which may
answer while the body is still arriving.

**Limits.** uvicorn's own connections limit neither the size of a head, nor the time in which a request must
arrive, nor the number of pipelined requests, nor the time in which a client must read its responses.
Here, a request beyond a limit is answered with a problem document, after the responses to earlier requests;
then the connection closes. A client that has sent its last byte gets its responses before the end, and so
does one that a stop meets: its last response has `Connection: close`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from predictor.http import request_id as ids
from predictor.http.limits import READ_FIRST_SECONDS, Deadline, Limits, Refused
from predictor.http.problems import closing_response
from predictor.http.request_parser import SLICE
from predictor.log_events import REQUEST_REFUSED

PLAIN: Any = object()  # stands for a request of the fast lane among the cycles
_LINGER_SECONDS = 1  # between the last response and the close
_QUIET_SECONDS = 0.3  # when the server stops, for a request that is on its way

_log = logging.getLogger("uvicorn.error")


class Flow(FlowControl):
    """Does not resume reading while received bytes wait to be parsed."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class Exchange(asyncio.Protocol):
    """What a connection receives, answers and refuses; `Connection` adds the transport's calls and the fast lane."""

    transport: asyncio.Transport
    flow: Flow

    def __init__(
        self,
        limits: Limits,
        refused: Callable[[int], None],
        config: uvicorn.Config,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.limits = limits
        self.server_state = server_state
        self.loop = loop or asyncio.get_running_loop()
        self._refused = refused
        self._app = config.loaded_app
        self._keep_alive_seconds = config.timeout_keep_alive
        self._parser: Any = None  # None before the connection is made, and once it is lost
        # Bytes that wait: for the response before them, or for the rest of a plain body.
        self._unparsed = bytearray()
        self._receiving: Any = None  # the cycle whose body is arriving
        # Requests with a complete head and no complete response: the first one is being answered.
        self._requests: deque[Any] = deque()
        self._in_lane = False  # nothing is under way but, perhaps, one plain request
        # The end.
        self._final: bytes | None = None  # to send before the close, after the responses
        self._client_finished = False
        self._stopping = False
        self._closing = False
        # Times.
        self._arrival = Deadline(self.loop)  # of a head or a body
        self._departure = Deadline(self.loop)  # of responses, and of the connection
        self._idle: asyncio.TimerHandle | None = None
        self._idle_since = 0.0

    def _enter_lane(self) -> None:
        """Nothing is under way, perhaps: the fast lane may take the next request."""
        raise NotImplementedError

    def _leave_lane(self) -> None:
        """Parse all bytes from now on, also those of an incomplete plain request."""
        raise NotImplementedError

    # Parsing.

    @property
    def _waiting(self) -> bool:
        """Whether a parsed request waits for its turn."""
        return len(self._requests) > 1

    def _parse_unparsed(self) -> None:
        waiting, parsed = memoryview(bytes(self._unparsed)), 0
        self._unparsed.clear()
        self.flow.held = False
        while parsed < len(waiting) and self._final is None and not self._waiting:
            self._parse(waiting[parsed : parsed + SLICE])
            parsed += SLICE
        if self._final is None:
            self._unparsed += waiting[parsed:]
        if self._unparsed:
            self.flow.held = True
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
        self._receiving = self._cycle()
        self._requests.append(self._receiving)
        if self._waiting:
            self.flow.pause_reading()
        else:
            self._start()

    def _cycle(self) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=self._parser.scope,
            transport=cast("asyncio.Transport", self),  # for `write`, `is_closing` and `close`
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

    def _start(self) -> None:
        """Give the first of the requests to the application."""
        task = self.loop.create_task(self._requests[0].run_asgi(self._app))
        task.add_done_callback(self.server_state.tasks.discard)
        self.server_state.tasks.add(task)

    def _on_body(self, body: bytes) -> None:
        cycle = self._receiving
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def _on_end(self) -> None:
        """End the body, also of a request that was answered before."""
        cycle, self._receiving = self._receiving, None
        cycle.more_body = False
        cycle.message_event.set()
        self._arrival.clear()
        if not self._requests:  # the rest of a body came after its response
            self._responded()

    def arriving(self) -> bool:
        """Whether a request has begun and is not complete."""
        if self._parser is None:
            return False
        return self._parser.scope is not None or bool(self._in_lane and self._unparsed)

    # Limits of time.

    def _watch_arrival(self) -> None:
        """Limit the rest of the request that has begun. Raises Refused."""
        if self._parser.scope is None:
            return
        in_body, limits = self._receiving is not None, self.limits
        awaited = self._receiving if in_body else self._parser.scope
        seconds = limits.body_seconds if in_body else limits.header_seconds
        if self._arrival.set(awaited, seconds, self._late):
            self._parser.progress()
        else:
            self._parser.check_framing(in_body=in_body)

    def _late(self) -> None:
        blocked = self.flow.read_paused  # the client could not send on
        self._leave_lane()
        if blocked:
            self._watch_arrival()
        else:
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))

    def _responded(self) -> None:
        """Count idle time from now on. One timer for all requests: it looks when the last one ended."""
        self._idle_since = perf_counter()
        if self._idle is None:
            self._set_idle(self._keep_alive_seconds)

    def _set_idle(self, seconds: float) -> None:
        self._idle = self.loop.call_later(seconds, self._read_first)

    def _read_first(self) -> None:
        self._idle = self.loop.call_later(READ_FIRST_SECONDS, self._idle_ended)

    def _idle_ended(self) -> None:
        left = self._keep_alive_seconds - (perf_counter() - self._idle_since)
        if self._requests or self.arriving():
            left = self._keep_alive_seconds
        if left > 0:
            self._set_idle(left)
        else:
            self._close_now()

    # Responses, and the end.

    def _on_response(self) -> None:
        """Start the next request, or end."""
        self._requests.popleft()
        self.server_state.total_requests += 1
        if self.is_closing():
            return
        if self._final is not None and not self._requests:
            self._end()
            return
        self._responded()
        if self.flow.read_paused:
            self.flow.resume_reading()
            self._arrival.clear()  # the client could not send on
            self._watch_arrival()
        if self._requests:
            self._start()
        elif self._receiving is not None and self._parser.expects_continue:
            # Nobody knows whether the client still sends the body, which it need not.
            self.close()
            return
        if self._unparsed:
            self._parse_unparsed()
            self.flow.resume_reading()
        self._enter_lane()

    def _refuse(self, refused: Refused) -> None:
        if self._receiving is not None and self._receiving.response_complete:
            self.close()  # the rest of a request that has its response
            return
        # An earlier request of this connection may have left its id in the context.
        request_id = ids.of_scope(self._parser.scope) if self.arriving() else ids.new_id().decode()
        status, reason = refused.status, str(refused)
        REQUEST_REFUSED.log(status=status, reason=reason, request_id=request_id)
        self._unparsed.clear()
        self._arrival.clear()
        if self._finish(closing_response(status, reason, request_id), status):
            self._refused(status)

    def _finish(self, final: bytes, status: int = 400) -> bool:
        """Send `final` and close, once every complete request has its response.

        False if the application sees it, as a client that left in its body: it counts `status`.
        """
        self._final = final
        cycle, seen = self._receiving, False
        if cycle is not None and self._waiting:
            self._requests.pop()
        elif cycle is not None:
            seen = True
            if cycle.response_started:
                self._final = b""
            self._requests.clear()
            cycle.scope["state"]["abandoned"] = status
            disconnect(cycle)
        self._end()
        return not seen

    def _end(self) -> None:
        if not self._requests and self._final is not None:
            self.transport.write(self._final)
            self.close()

    def write(self, data: bytes) -> None:
        """Send a part of a response."""
        self.transport.write(data)

    def is_closing(self) -> bool:
        """Whether the last response was sent, or will never be."""
        return self._closing or self.transport.is_closing()

    def close(self) -> None:
        """Close after the last response.

        A close while the client still sends would destroy responses that it has not read. So the connection
        reads and ignores bytes for a moment (RFC 9112, section 9.6).
        """
        if self._closing or self._parser is None:
            return
        self._closing, self._final = True, b""
        self._unparsed.clear()
        self._arrival.clear()
        if self.transport.can_write_eof() and not self._client_finished:
            self.transport.write_eof()
            self.flow.held = False
            self.flow.resume_reading()
            self._departure.set("the client's end", _LINGER_SECONDS, self._close_now)
        else:
            self._close_now()

    def _close_now(self) -> None:
        """Close; within a limit, the client may still read its responses."""
        if self._parser is not None:  # else the connection is lost
            self.transport.close()
            self._departure.set(self.transport, self.limits.body_seconds, self.transport.abort)

    def shutdown(self) -> None:
        """The server stops: answer what is here or on its way, with `Connection: close`."""
        self._leave_lane()
        self._stopping = True
        latest = self._requests[-1] if self._requests else None
        if latest is PLAIN:
            return  # `_reply` closes
        if latest is not None and not latest.response_started:
            latest.keep_alive = False
        else:
            read_first = partial(self.loop.call_later, READ_FIRST_SECONDS, self._leave)
            self.loop.call_later(_QUIET_SECONDS, read_first)

    def _leave(self) -> None:
        if not self._requests and not self.arriving():
            self._close_now()


def disconnect(cycle: RequestResponseCycle) -> None:
    """Tell the application that the client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()
