"""The frame of every method: request ids, keys, limits, metrics, and errors as gRPC statuses."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any
from urllib.parse import unquote

import grpc
from structlog.contextvars import bind_contextvars

from predictor.access import Access, Headers
from predictor.errors import BodyTooLarge, Overloaded, PredictorError, Unauthorized
from predictor.events import Event, KeysRead
from predictor.http import request_id
from predictor.http.limits import Refused
from predictor.inference.batcher import Callback, Caller
from predictor.metrics.recorder import Metrics
from predictor.protocols.open_inference.grpc.errors import STATUS, status_and_detail
from predictor.protocols.open_inference.grpc.graceful_stop import GracefulStop
from predictor.protocols.open_inference.grpc.methods import MODEL_STREAM_INFER, Method
from predictor.protocols.open_inference.grpc.stream import Stream
from predictor.settings import Settings

_STOPPING = "the service stops; ask another replica"
_OTHER = "other"  # the name of all unknown methods in metrics
_READ = {"authorization", "x-api-key", "x-request-id", "traceparent", "tracestate"}
_RETRY = ("grpc-retry-pushback-ms", "1000")  # as 503 has Retry-After; gRFC A6


class Calls(grpc.GenericRpcHandler):
    """Handles calls of `methods`, by their paths, as the ASGI application handles requests; and streams."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        submit: Callable[..., None],
        *,
        settings: Settings,
        access: Access,
        metrics: Metrics,
        below: Callable[[Headers], AbstractContextManager[object]],
    ) -> None:
        """`submit` computes one request of a stream: its arguments are those of `Batcher.submit` after the first."""
        self._submit = submit
        self._settings = settings
        self._access = access
        self._metrics = metrics
        self._below = below
        self._graceful_stop = GracefulStop()
        self._under_way = 0
        self._streams: dict[Stream, Callable[[], object]] = {}  # each with the check of its key
        # A stream of one message: only for streams can the handler limit the wait for the request.
        handler = grpc.stream_unary_rpc_method_handler
        self._handlers = {
            path: handler(partial(self._answer, path, method)) for path, method in methods.items()
        }
        self._handlers[MODEL_STREAM_INFER] = grpc.stream_stream_rpc_method_handler(self._stream)
        listed = ", ".join(path.rpartition("/")[2] for path in self._handlers)
        self._unknown = handler(partial(self._answer, _OTHER, partial(_refuse, listed)))

    def service(self, handler_call_details: Any) -> Any:
        """The handler of a call, by its method's path."""
        return self._handlers.get(handler_call_details.method, self._unknown)

    def observe(self, event: Event) -> None:
        """End each stream whose key is no longer valid."""
        if isinstance(event, KeysRead):
            for stream, check_key in tuple(self._streams.items()):
                try:
                    check_key()
                except Unauthorized as error:
                    stream.end(error)

    async def stop(self, stop: Callable[[], Coroutine[None, None, None]]) -> None:
        """Stop gracefully: `stop` stops the server."""
        await self._graceful_stop.run(stop, self._end_streams)

    def _end_streams(self) -> None:
        for stream in tuple(self._streams):
            stream.end(Refused(HTTPStatus.SERVICE_UNAVAILABLE, _STOPPING))

    async def _answer(
        self, endpoint: str, method: Method, _: object, context: grpc.aio.ServicerContext
    ) -> bytes:
        started = perf_counter()
        status = HTTPStatus.BAD_REQUEST  # a client that left, as over HTTP
        self._graceful_stop.request_begins()
        self._under_way += 1
        try:
            headers, name = _begin(context)
            body, status, detail = await self._call(endpoint, method, headers, context)
            await self._graceful_stop.wait()
            await _end(context, name, status, detail)
        except asyncio.CancelledError:
            if self._graceful_stop.begun:
                status = HTTPStatus.SERVICE_UNAVAILABLE
            raise
        finally:
            self._under_way -= 1
            self._metrics.answered(endpoint, int(status), perf_counter() - started)
        return body

    async def _call(
        self, endpoint: str, method: Method, headers: Headers, context: grpc.aio.ServicerContext
    ) -> tuple[bytes, HTTPStatus, str]:
        """The response, its status, and for an error the detail."""
        try:
            self._check(endpoint, headers, context)
            with self._below(headers):
                return await method(await self._read(context)), HTTPStatus.OK, ""
        except Exception as error:  # noqa: BLE001  every error has its status
            return b"", *status_and_detail(error, endpoint)

    async def _stream(self, _: object, context: grpc.aio.ServicerContext) -> None:
        self._under_way += 1
        try:
            headers, name = _begin(context)
            await _end(context, name, *await self._run_stream(headers, name, context))
        finally:
            self._under_way -= 1

    async def _run_stream(
        self, headers: Headers, name: str, context: grpc.aio.ServicerContext
    ) -> tuple[HTTPStatus, str]:
        """The status of the call, and for an error the detail. A call without a stream counts as a request."""
        try:
            check_key = self._check(MODEL_STREAM_INFER, headers, context)
        except PredictorError as error:
            status, detail = status_and_detail(error, MODEL_STREAM_INFER)
            self._metrics.answered(MODEL_STREAM_INFER, int(status), 0.0)
            return status, detail
        key = Caller.of_context().key
        numbers = itertools.count()

        def submit(body: bytes, callback: Callback) -> None:
            caller = Caller(f"{name}/{next(numbers)}", key)
            self._submit(body, callback, headers, caller)

        stream = Stream(context, submit, self._settings, self._metrics, self._graceful_stop)
        self._streams[stream] = check_key
        try:
            return await stream.run()
        finally:
            del self._streams[stream]

    def _check(
        self, endpoint: str, headers: Headers, context: grpc.aio.ServicerContext
    ) -> Callable[[], object]:
        """Raise Overloaded or Unauthorized; return a function that checks the key again."""
        if self._under_way > self._settings.max_connections:
            raise Overloaded(self._under_way, "calls")
        if not self._access.guards(endpoint) or endpoint == _OTHER:
            return lambda: None
        check_key = partial(self._access.check, endpoint, headers, _client(context.peer()))
        bind_contextvars(asked_by=check_key())
        return check_key

    async def _read(self, context: grpc.aio.ServicerContext) -> bytes:
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                message: bytes = await context.read()
        except TimeoutError:
            late = "the request did not arrive in time"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, late) from None
        if message is grpc.aio.EOF and self._graceful_stop.begun:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, _STOPPING)
        if message is grpc.aio.EOF:  # the client left, or gRPC has refused it for its size
            raise Refused(HTTPStatus.BAD_REQUEST, "the call ended before its message came")
        if len(message) > self._settings.max_body_bytes:
            raise BodyTooLarge(self._settings.max_body_bytes)
        return message


def _begin(context: grpc.aio.ServicerContext) -> tuple[Headers, str]:
    """The header fields of a call, and its request id, which log lines get from now on."""
    headers = _headers(context.invocation_metadata())
    name = _name(headers).decode()
    bind_contextvars(request_id=name)
    return headers, name


async def _end(
    context: grpc.aio.ServicerContext, name: str, status: HTTPStatus, detail: str
) -> None:
    """Set the metadata of the call's end; for an error, end it."""
    metadata = [("x-request-id", name)]
    if status == HTTPStatus.OK:
        context.set_trailing_metadata(tuple(metadata))
        return
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        metadata.append(_RETRY)
    try:
        await context.abort(STATUS[status], detail, tuple(metadata))
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
