"""BoundedProtocol: uvicorn's HTTP/1.1 protocol with bounds on what one client may take.

Stock uvicorn bounds neither a request's head, nor the time that a request takes to arrive, nor
what is sent ahead of the answers, and tells who does not speak HTTP in plain text. Here each of
these ends in a problem document, after the answers that are still owed, and a close.

Beyond what `orderly.py` relies on in uvicorn: `headers` is made anew when a message begins, and
what is raised in a callback of the parser reaches `feed_data`, as `__context__` of its error.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

from predictor.http import limits as refusals
from predictor.http import request_id as ids
from predictor.http.connection import Deadline, OrderlyProtocol
from predictor.http.limits import Limits, Refused
from predictor.http.problems import answer_and_close
from predictor.log_events import REQUEST_REFUSED

_SLICE = 16_384  # bytes parsed at a time: once parsed, what is sent ahead costs far more memory
_AHEAD = 16  # parsed requests that may wait for the ones before them
_FRUITLESS = 65_536  # bytes of chunk sizes, extensions and trailers between two of the body


class _Flow(FlowControl):
    """Does not read on while bytes wait that were read already."""

    held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()


class BoundedProtocol(OrderlyProtocol):
    """One connection. `refused(status)` hears of each refusal that the application does not."""

    flow: _Flow

    def __init__(self, limits: Limits, refused: Callable[[int], None], **uvicorn: Any) -> None:
        super().__init__(limits.body_seconds, **uvicorn)
        self._limits = limits
        self._tell_refused = refused
        self._sending = Deadline(self.loop)
        self._unfed = b""  # read, and not parsed yet
        self._fed = 0  # bytes parsed of a head, or of a body without bringing any of it
        self._ended = False  # the client has sent its last

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, or refuse it."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        if len(self.connections) > self._limits.connections:
            busy = "there are too many connections; try again later"
            self._refuse(Refused(HTTPStatus.SERVICE_UNAVAILABLE, busy))
        else:
            self._sending.set(None, self._limits.header_seconds, self.close)

    def data_received(self, data: bytes) -> None:
        """Parse, in slices where it is much, and only a few requests ahead."""
        if self._last is not None:
            return
        if self._unfed or len(data) > _SLICE or len(self.pipeline) >= _AHEAD:
            self._unfed += data
            self._feed_on()
        else:
            self._feed(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """As OrderlyProtocol.eof_received, once all that was sent is parsed."""
        if self._unfed:
            self._ended = True
            return True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what waits."""
        self._last = self._unfed = b""
        self._sending.clear()
        super().connection_lost(exc)

    def _feed_on(self) -> None:
        ahead, fed = memoryview(self._unfed), 0
        while self._unfed and fed < len(ahead) and len(self.pipeline) < _AHEAD:
            self._feed(ahead[fed : fed + _SLICE])
            fed += _SLICE
        if self._unfed:  # a refusal has emptied it
            self._unfed = bytes(ahead[fed:])
        self.flow.held = bool(self._unfed)
        if self._unfed:
            self.flow.pause_reading()
        elif self._ended and self._last is None:
            self.finish(b"")

    def _feed(self, data: bytes | memoryview) -> None:
        self._fed += len(data)
        try:
            self.parser.feed_data(data)
            self._watch()
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError as error:
            cause = error.__context__
            not_http = Refused(HTTPStatus.BAD_REQUEST, "this is not a request of HTTP/1.1")
            self._refuse(cause if isinstance(cause, Refused) else not_http)
        except Refused as refused:
            self._refuse(refused)

    def _ignore_upgrade(self, rest: bytes) -> None:
        # A server may ignore an offer to upgrade, but the parser cannot: it reads the head again
        # without the offer, which Java's client makes with its first request.
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._feed(b"\r\n".join([*lines, b"", rest]))

    def on_headers_complete(self) -> None:
        """Refuse a head that is too large or unclear, else start its request."""
        version, method = self.parser.get_http_version(), self.parser.get_method()
        refusals.check_head(version, method, self.url, self.headers, self._limits)
        if self._fed + _SLICE > self._limits.header_bytes:
            refusals.check_size(self.headers, self._limits)
        if self.parser.should_upgrade():
            return
        super().on_headers_complete()
        self.headers = []  # trailers come here, and not into the request's headers

    def on_body(self, body: bytes) -> None:
        """Take some of the body."""
        self._fed = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with what was sent ahead."""
        super().on_response_complete()
        if self._unfed and not self.transport.is_closing():
            self._feed_on()
            self.flow.resume_reading()

    def _watch(self) -> None:
        """Bound what has begun to arrive. Raises Refused."""
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope and not cycle.more_body:
            self._rest()
            return
        begun = self.scope is not None
        if not begun:
            return  # blank lines; the time for a first request goes on
        self._unset_keepalive_if_required()
        limits = self._limits
        in_body = self.cycle is not None and self.cycle.scope is self.scope
        awaited = self.cycle if in_body else self.scope
        seconds = limits.body_seconds if in_body else limits.header_seconds
        if self._sending.set(awaited, seconds, self._late):
            self._fed = 0
        elif self._fed > (_FRUITLESS if in_body else limits.header_bytes):
            raise refusals.too_large(self.url, self.headers, in_body=in_body, limits=limits)

    def _rest(self) -> None:
        """Nothing is on its way; idle time, if it is that, goes on."""
        self._fed = 0
        if self._sending.awaits:
            self._sending.clear()
        if self._owed:
            if self.timeout_keep_alive_task is not None:
                self._unset_keepalive_if_required()
        elif self.timeout_keep_alive_task is None:
            # The rest of a body came after its answer.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _late(self) -> None:
        if self.flow.read_paused:  # it is we who do not listen
            self._watch()
        else:
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))

    def _refuse(self, refused: Refused) -> None:
        # What was asked before on this connection may have left its id in the context.
        request_id = ids.of_scope(self.scope) if super().arriving() else ids.new_id().decode()
        REQUEST_REFUSED.log(status=refused.status, reason=str(refused), request_id=request_id)
        self._unfed = b""
        self._sending.clear()
        self._unset_keepalive_if_required()
        if self.finish(answer_and_close(refused.status, str(refused), request_id), refused.status):
            self._tell_refused(refused.status)
