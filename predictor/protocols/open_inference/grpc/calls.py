"""The frame of every method: request ids, keys, limits, metrics, and errors as gRPC statuses."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from grpc import StatusCode
from structlog.contextvars import bind_contextvars

from predictor.access import Access, Headers
from predictor.errors import BodyTooLarge, Overloaded
from predictor.http import problems, request_id
from predictor.http.limits import Refused
from predictor.metrics.recorder import Metrics
from predictor.protocols.open_inference.grpc.methods import Method
from predictor.settings import Settings

STATUS: dict[HTTPStatus, StatusCode] = {
    HTTPStatus.OK: StatusCode.OK,
    HTTPStatus.BAD_REQUEST: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNAUTHORIZED: StatusCode.UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: StatusCode.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: StatusCode.UNIMPLEMENTED,
    HTTPStatus.REQUEST_TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.CONFLICT: StatusCode.FAILED_PRECONDITION,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.UNPROCESSABLE_ENTITY: StatusCode.INVALID_ARGUMENT,
    HTTPStatus.INTERNAL_SERVER_ERROR: StatusCode.INTERNAL,
    HTTPStatus.SERVICE_UNAVAILABLE: StatusCode.UNAVAILABLE,
}


_PAUSE_SECONDS = 0.05
_MAX_PAUSES = 10
_NOTICE_SECONDS = 0.05  # for clients to see that the connection ends


class GracefulStop:
    """Counts the calls that began, and holds back their answers while the server stops."""

    def __init__(self) -> None:
        self._calls = 0
        self._released: asyncio.Event | None = None

    @property
    def begun(self) -> bool:
        """Whether the stop has begun."""
        return self._released is not None

    def call_begins(self) -> None:
        """Count a call."""
        self._calls += 1

    async def wait(self) -> None:
        """Return when an answer may be sent: at once, unless the stop has begun."""
        if self._released is not None:
            await self._released.wait()

    async def run(self, stop: Callable[[], Coroutine[None, None, None]]) -> None:
        """Hold answers back, `stop` the server, release the answers; return when it has stopped."""
        self._released = asyncio.Event()
        before, pauses = -1, 0
        while before != self._calls and pauses < _MAX_PAUSES:
            before, pauses = self._calls, pauses + 1
            await asyncio.sleep(_PAUSE_SECONDS)
        stopping = asyncio.create_task(stop())
        await asyncio.sleep(_NOTICE_SECONDS)
        self._released.set()
        await stopping


_OTHER = "other"  # the name of all unknown methods in metrics
_READ = {"authorization", "x-api-key", "x-request-id", "traceparent", "tracestate"}
_RETRY = ("grpc-retry-pushback-ms", "1000")  # as 503 has Retry-After; gRFC A6
_MAX_DETAIL_LENGTH = 2000  # clients refuse a response with more than 8 KiB of it

_log = logging.getLogger("uvicorn.error")  # where uvicorn writes the tracebacks of requests


class Calls(grpc.GenericRpcHandler):
    """Handles calls of `methods`, by their paths, as the ASGI application handles requests."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        settings: Settings,
        access: Access,
        metrics: Metrics,
        below: Callable[[Headers], AbstractContextManager[None]],
    ) -> None:
        self.graceful_stop = GracefulStop()
        self._access = access
        self._metrics = metrics
        self._below = below
        self._max_bytes = settings.max_body_bytes
        self._max_calls = settings.max_connections
        self._seconds = settings.body_seconds
        self._under_way = 0
        # A stream of one message: only for streams can the handler limit the wait for the request.
        handler = grpc.stream_unary_rpc_method_handler
        self._handlers = {
            path: handler(partial(self._answer, path, method)) for path, method in methods.items()
        }
        listed = ", ".join(path.rpartition("/")[2] for path in methods)
        self._unknown = handler(partial(self._answer, _OTHER, partial(_refuse, listed)))

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call, by its method's path."""
        return self._handlers.get(handler_call_details.method, self._unknown)

    async def _answer(
        self, endpoint: str, method: Method, _: object, context: grpc.aio.ServicerContext
    ) -> bytes:
        started = perf_counter()
        status = HTTPStatus.BAD_REQUEST  # a client that left, as over HTTP
        self.graceful_stop.call_begins()
        self._under_way += 1
        try:
            headers = _headers(context.invocation_metadata())
            name = _name(headers)
            bind_contextvars(request_id=name.decode())
            body, status, detail = await self._call(endpoint, method, headers, context)
            await self.graceful_stop.wait()
            metadata = [("x-request-id", name.decode())]
            if status == HTTPStatus.OK:
                context.set_trailing_metadata(tuple(metadata))
                return body
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                metadata.append(_RETRY)
            await self._abort(context, STATUS[status], detail[:_MAX_DETAIL_LENGTH], metadata)
        except asyncio.CancelledError:
            if self.graceful_stop.begun:
                status = HTTPStatus.SERVICE_UNAVAILABLE
            raise
        finally:
            self._under_way -= 1
            self._metrics.answered(endpoint, int(status), perf_counter() - started)
        raise AssertionError  # `abort` raises

    async def _call(
        self, endpoint: str, method: Method, headers: Headers, context: grpc.aio.ServicerContext
    ) -> tuple[bytes, HTTPStatus, str]:
        """The response, its status, and for an error the detail."""
        try:
            self._check(endpoint, headers, context)
            with self._below(headers):
                return await method(await self._read(context)), HTTPStatus.OK, ""
        except Refused as refused:
            return b"", refused.status, str(refused)
        except Exception as error:  # noqa: BLE001  every error has its status
            status, detail = problems.status_and_detail(error, endpoint)
            if status == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("Exception in a call", exc_info=error)
            return b"", status, detail

    def _check(self, endpoint: str, headers: Headers, context: grpc.aio.ServicerContext) -> None:
        """Raise Overloaded or Unauthorized."""
        if self._under_way > self._max_calls:
            raise Overloaded(self._under_way, "calls")
        if self._access.guards(endpoint) and endpoint != _OTHER:
            owner = self._access.check(endpoint, headers, _client(context.peer()))
            bind_contextvars(asked_by=owner)

    async def _read(self, context: grpc.aio.ServicerContext) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                message: bytes = await context.read()
        except TimeoutError:
            late = "the request did not arrive in time"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, late) from None
        if message is grpc.aio.EOF and self.graceful_stop.begun:
            stopping = "the service stops; ask another replica"
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, stopping)
        if message is grpc.aio.EOF:  # the client left, or gRPC has refused it for its size
            raise Refused(HTTPStatus.BAD_REQUEST, "the call ended before its message came")
        if len(message) > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)
        return message

    async def _abort(
        self,
        context: grpc.aio.ServicerContext,
        status: grpc.StatusCode,
        detail: str,
        metadata: list[tuple[str, str]],
    ) -> None:
        try:
            await context.abort(status, detail, tuple(metadata))
        except grpc.aio.InternalError:  # the client has left
            raise asyncio.CancelledError from None


async def _refuse(listed: str, _: bytes) -> bytes:
    raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, f"unknown method; the methods are {listed}")


def _headers(metadata: Sequence[tuple[str, str | bytes]]) -> Headers:
    """The metadata that the service reads, as HTTP header fields."""
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in metadata
        if name in _READ
    ]


def _name(headers: Headers) -> bytes:
    """The request id of a call: the one in its metadata, or a new one."""
    ids = [value for name, value in headers if name == request_id.HEADER]
    parents = [value for name, value in headers if name == request_id.TRACE_PARENT]
    return request_id.received_id(ids, parents) or request_id.new_id()


def _client(peer: str) -> str:
    """The address in gRPC's name of a peer: `ipv4:127.0.0.1:52612`, `ipv6:%5B::1%5D:52612`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
