"""Deadline: a timer for one thing that is waited for."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from predictor.http.middleware import is_stream


class Deadline:
    """Calls back unless what is waited for comes in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: object = None

    @property
    def awaits(self) -> bool:
        """Whether anything is waited for."""
        return self._timer is not None

    def set(self, awaited: object, seconds: float, late: Callable[[], object]) -> bool:
        """Start to wait for `awaited`; False if that is what is waited for already.

        Then the time goes on: a little progress does not buy more of it.
        """
        if self._timer is not None and self._awaited is awaited:
            return False
        self.clear()
        self._awaited = awaited
        self._timer = self._loop.call_later(seconds, self._late, late)
        return True

    def clear(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._awaited = None

    def _late(self, late: Callable[[], object]) -> None:
        self._timer = self._awaited = None
        late()


LINGER_SECONDS = 1  # for the client to read why: closing at once can destroy what was sent
QUIET_SECONDS = 0.3  # at the end, for a request that is on its way already


class OrderlyProtocol(HttpToolsProtocol):
    """One connection, which its client must read: within `take_seconds` where much is unread."""

    def __init__(self, take_seconds: float, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._take_seconds = take_seconds
        self._taking = Deadline(self.loop)
        self._answering: RequestResponseCycle | None = None
        self._owed = 0  # answers to requests whose head is whole
        self._last: bytes | None = None  # what is said when none is owed, before the close
        self._leaving = False

    def on_headers_complete(self) -> None:
        """Owe an answer."""
        super().on_headers_complete()
        self._owed += 1
        if self._leaving:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """End the body, also of a request that was answered before it was whole."""
        cycle = self.cycle
        if cycle is not None and cycle.scope is self.scope:
            cycle.more_body = False
            cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Owe one answer less; go on, or end."""
        self._owed -= 1
        if self._last is not None and not self.pipeline:
            self.server_state.total_requests += 1
            self._end()
            return
        super().on_response_complete()
        if self.transport.is_closing():
            self.close()
        elif not self._owed and self.expect_100_continue and self.arriving():
            # Refused before its body was asked for: whether that comes now is anybody's guess.
            self.close()

    def arriving(self) -> bool:
        """Whether a message has begun and is not whole."""
        cycle = self.cycle
        begun = self.scope is not None
        return begun and (cycle is None or cycle.scope is not self.scope or cycle.more_body)

    def finish(self, last: bytes, status: int = 400) -> bool:
        """Say `last` and close once every whole request has its answer.

        False if the application hears of it, as of a client that left: it counts `status`.
        """
        self._last = last
        cycle = self.cycle
        abandoned = False
        if cycle is not None and cycle.scope is self.scope and cycle.more_body:
            if self.pipeline and self.pipeline[0][0] is cycle:
                self.pipeline.popleft()
                self._owed -= 1
            else:
                abandoned = not cycle.response_complete
                if cycle.response_started:
                    self._last = b""
                self._abandon(status)
        self._end()
        return not abandoned

    def _abandon(self, status: int) -> None:
        self._owed = 0
        self.cycle.scope["state"]["abandoned"] = status
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _end(self) -> None:
        if self._owed or self._last is None:
            return
        if self._last and self.transport.can_write_eof():
            self.transport.write(self._last)
            self.transport.write_eof()
            self.flow.resume_reading()
            self._taking.set(self._last, LINGER_SECONDS, self.close)
        else:
            self.transport.write(self._last)
            self.close()

    def close(self) -> None:
        """Close, without waiting for ever for the client to take what is left."""
        if self.parser is None:
            return  # the connection is lost already
        self.transport.close()
        self._taking.set(self.transport, self._take_seconds, self.transport.abort)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Give a client that has sent its last the answers that it is owed, if they have an end."""
        if self.scheme == "https":  # TLS has no half-closed connection
            return False
        if self._last is not None:  # it has been refused: what is owed comes first, then why
            return self._owed > 0
        answering = self._answering
        if answering and not answering.response_complete and is_stream(answering.scope):
            return False
        self.finish(b"")
        return not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, and leave nothing behind.

        Neither a timer nor a reference cycle: what is freed by the garbage collector only would stay
        for as long as that has no reason to run, with all that the last request sent.
        """
        self._taking.clear()
        self.pipeline.clear()
        if self._answering is not None:  # uvicorn tells the latest one only
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn does it where there was no error only
        self.scope = self.headers = self.cycle = self._answering = None  # type: ignore[assignment]

    def pause_writing(self) -> None:
        """Wait for the client to take its answers, but not for ever."""
        super().pause_writing()
        self._taking.set(self, self._take_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has taken them."""
        if self._last is None and not self.transport.is_closing():
            self._taking.clear()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        self.close()

    def shutdown(self) -> None:
        """Answer what is here and what comes in the next moment, and say `Connection: close`."""
        self._leaving = True
        if self._owed and not self.cycle.response_started:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(QUIET_SECONDS, self._leave)

    def _leave(self) -> None:
        if not self._owed and not self.arriving():
            self.close()
