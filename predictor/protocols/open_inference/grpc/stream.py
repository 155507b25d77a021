"""Stream: one call that carries many requests, and their responses in the order of the requests."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import perf_counter

import grpc

from predictor.errors import BodyTooLarge
from predictor.http.limits import Refused
from predictor.inference.batcher import LARGE, Callback
from predictor.inference.protocol import Result
from predictor.metrics.recorder import Metrics
from predictor.protocols.open_inference.grpc.errors import status_and_detail
from predictor.protocols.open_inference.grpc.graceful_stop import GracefulStop
from predictor.protocols.open_inference.grpc.messages import stream_error, stream_response
from predictor.protocols.open_inference.grpc.methods import MODEL_STREAM_INFER
from predictor.settings import Settings

# What one stream may have under way. The bytes are few: each large request takes a place of the
# batcher's threads, and other clients need some.
_MAX_REQUESTS = 64
_MAX_BYTES = 8 * LARGE


@dataclass(slots=True, eq=False)
class _Request:
    """A request under way: its message, when it arrived, its result, and the seconds until then."""

    body: bytes
    arrived: float
    result: Result | None = None
    seconds: float = 0.0


class Stream:
    """Submits the requests of one call as they arrive, and writes each response in its turn.

    It reads only while few requests are under way; gRPC's flow control then slows the client, also one
    that does not read its responses.
    """

    def __init__(
        self,
        context: grpc.aio.ServicerContext,
        submit: Callable[[bytes, Callback], None],
        settings: Settings,
        metrics: Metrics,
        graceful_stop: GracefulStop,
    ) -> None:
        """`submit` computes one message, and calls back with the response to a call, or an error."""
        self._context = context
        self._submit = submit
        self._metrics = metrics
        self._graceful_stop = graceful_stop
        self._max_bytes = settings.max_body_bytes
        self._max_requests = min(_MAX_REQUESTS, settings.max_queued_rows)
        self._idle_seconds = max(1, settings.keep_alive_seconds)
        self._used = perf_counter()  # when the client last sent a request or took a response
        self._requests: deque[_Request] = deque()  # whose responses are not written yet
        self._size = 0  # of their bodies, in bytes
        self._closed = False  # no further request is read
        self._end: tuple[HTTPStatus, str] | None = None  # the error that ends the call
        self._ready = asyncio.Event()  # the first response may be there, or no further one comes
        self._room = asyncio.Event()  # the reader may go on, or has to end

    async def run(self) -> tuple[HTTPStatus, str]:
        """Serve until the client or `end` ends the stream: the status of the call, and the detail of an error.

        Raises CancelledError if the client has left.
        """
        # It ends by itself: `_close` wakes it, and the end of the call ends its read.
        self._reader = asyncio.create_task(self._read())
        self._timer = self._check_later(self._idle_seconds)
        try:
            while request := await self._next():
                await self._answer(request)
        except (asyncio.CancelledError, grpc.aio.BaseError):
            stops = self._graceful_stop.begun
            self._drop(HTTPStatus.SERVICE_UNAVAILABLE if stops else HTTPStatus.BAD_REQUEST)
            raise asyncio.CancelledError from None
        finally:
            self._timer.cancel()
        return self._end or (HTTPStatus.OK, "")

    def end(self, error: Exception) -> None:
        """Stop reading, send the responses to the requests read so far, and end the call with this error."""
        self._end = self._end or status_and_detail(error, MODEL_STREAM_INFER)
        self._close()

    def _close(self) -> None:
        """Read no further request."""
        self._closed = True
        self._ready.set()
        self._room.set()

    def _drop(self, status: HTTPStatus) -> None:
        """Give up the requests without a response, and read no further one."""
        self._close()
        for request in self._requests:
            self._count(request, status)
        self._requests.clear()

    def _count(self, request: _Request, status: HTTPStatus) -> None:
        seconds = request.seconds or perf_counter() - request.arrived
        self._metrics.answered(MODEL_STREAM_INFER, int(status), seconds)

    async def _read(self) -> None:
        try:
            while await self._has_room():
                message = await self._context.read()
                if message is grpc.aio.EOF or self._closed:
                    break
                self._begin(message)
        except grpc.aio.BaseError:
            pass  # the call has ended
        finally:
            self._close()

    async def _has_room(self) -> bool:
        """Wait until another request may be under way; False if none is read any more."""
        while not self._closed:
            if len(self._requests) < self._max_requests and self._size < _MAX_BYTES:
                return True
            self._room.clear()
            await self._room.wait()
        return False

    def _begin(self, body: bytes) -> None:
        self._graceful_stop.request_begins()
        self._used = perf_counter()
        request = _Request(body, self._used)
        self._requests.append(request)
        self._size += len(body)
        if len(body) > self._max_bytes:
            self._settle(request, BodyTooLarge(self._max_bytes))
            return
        try:
            self._submit(body, partial(self._settle, request))
        except Exception as error:  # noqa: BLE001  every request needs a response
            self._settle(request, error)

    def _settle(self, request: _Request, result: Result) -> None:
        request.result = result
        request.seconds = perf_counter() - request.arrived
        self._ready.set()

    async def _next(self) -> _Request | None:
        """The first request, once its response may be written; None if there will be none."""
        requests = self._requests
        while requests or not self._closed:
            if not requests or requests[0].result is None:
                self._ready.clear()
                await self._ready.wait()
                continue
            await self._graceful_stop.wait()
            if requests:  # else it was dropped meanwhile
                return requests[0]
        return None

    async def _answer(self, request: _Request) -> None:
        if isinstance(request.result, Exception):
            status, detail = status_and_detail(request.result, MODEL_STREAM_INFER)
            message = stream_error(request.body, detail)
        else:
            status, message = HTTPStatus.OK, stream_response(request.result or b"")
        await self._context.write(message)
        self._used = perf_counter()
        if self._requests:  # else it was dropped, and counted, meanwhile
            self._requests.popleft()
            self._size -= len(request.body)
            self._room.set()
            self._count(request, status)

    def _check_later(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._check_idle)

    def _check_idle(self) -> None:
        """End the stream if its client has neither sent nor taken anything for too long."""
        rest = self._used + self._idle_seconds - perf_counter()
        computing = self._requests and self._requests[0].result is None
        if rest <= 0 and not computing:
            idle = f"the stream was idle for {self._idle_seconds} s; begin a new one"
            self.end(Refused(HTTPStatus.REQUEST_TIMEOUT, idle))
            self._drop(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self._timer = self._check_later(max(rest, self._idle_seconds / 10))
