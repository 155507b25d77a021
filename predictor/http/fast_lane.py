"""FastLane: which heads are plain, and the responses to plain requests; shared by all connections.

Every route of inference has it. A head is plain if no header field changes the meaning of the request.
"""

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from time import perf_counter
from typing import Any, Protocol

import httptools
from structlog.contextvars import bound_contextvars
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from predictor.access import Access
from predictor.errors import RequestError
from predictor.events import Event, KeysRead
from predictor.http import problems
from predictor.http.inference_routes import InferenceRoutes
from predictor.http.limits import Limits, Refused, check_head
from predictor.http.middleware import CorsHeaders
from predictor.http.problems import ErrorFormat
from predictor.http.request_id import (
    HEADER,
    ID,
    PARENT,
    TRACE_PARENT,
    TRACE_STATE,
    received_id,
)
from predictor.inference.batcher import Batcher
from predictor.inference.protocol import InferenceProtocol, Reply, Result
from predictor.settings import Settings

END = b"\r\n\r\n"
POST = b"POST /"
_MAX_HEAD = 4096  # bytes of a remembered head
_MAX_HEADS = 512
# The parent of a request's span.
_TRACE = re.compile(
    rb"\r\n(?i:(%b|%b)): ([!-~]+(?: +[!-~]+)*)(?=\r\n|\Z)" % (TRACE_PARENT, TRACE_STATE)
)
# Lines that differ in each request and do not change its meaning. A match is a whole line: the lines
# around it mean the same without it.
_VARYING = re.compile(
    rb"\r\n(?:(?i:%b): (%b)|(?i:%b): (%b)|(?i:%b): [!-~]+(?: +[!-~]+)*)(?=\r\n[!-~]|\Z)"
    % (HEADER, ID, TRACE_PARENT, PARENT, TRACE_STATE)
)
_MAX_VARYING = 3
_SPECIAL = {
    b"content-encoding", b"expect", b"proxy-connection", b"trailer", b"transfer-encoding", b"upgrade",
    HEADER, TRACE_PARENT, TRACE_STATE,
}  # fmt: skip

Headers = Sequence[tuple[bytes, bytes]]

_log = logging.getLogger("uvicorn.error")  # where the stock path writes its tracebacks


class RequestObserver(Protocol):
    """Counts requests."""

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """One request was answered."""

    def answered_all(self, endpoint: str, code: int, seconds: Sequence[float]) -> None:
        """Several requests were answered, each in its seconds."""


class Endpoint:
    """The successful responses of one route that are not counted yet: when each request began."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.began: list[float] = []


@dataclass(frozen=True, slots=True)
class PlainHead:
    """A plain head without its varying lines: the length of the body in bytes, and where it goes."""

    length: int
    protocol: InferenceProtocol
    endpoint: Endpoint
    error_format: ErrorFormat | None
    cors: Headers
    key: str | None
    """The name of the API key in it."""


class FastLane:
    """The fast lane of one process."""

    def __init__(
        self, routes: InferenceRoutes, batcher: Batcher, observer: RequestObserver, access: Access,
        *, settings: Settings, cors: CorsHeaders,
    ) -> None:  # fmt: skip
        self._routes = routes
        self._endpoints = {each.path: Endpoint(each.path) for each in routes}
        self._access = access
        self._cors = cors
        self.holds_keys = any(access.guards(each.path) for each in routes)
        """Whether heads have API keys: connections must not compare them, which takes time by the key."""
        self.submit = batcher.submit
        self.keeps = batcher.keeps
        self._traces = settings.traces_exporter != "none"
        self._observer = observer
        self._max_body_bytes = settings.max_body_bytes
        self.heads: dict[bytes, PlainHead] = {}
        """Plain heads by their bytes without the varying lines."""
        self._to_count: list[Endpoint] = []
        self._server_headers: Headers | None = None
        self._start = b""

    def trace_of(self, head: bytes) -> Headers:
        """The header fields with the parent of a request's span, while traces are on."""
        if not self._traces:
            return ()
        return [(name.lower(), value) for name, value in _TRACE.findall(head)]

    def read(self, head: bytes, limits: Limits) -> tuple[PlainHead | None, bytes]:
        """The head that begins with POST, and the client's request id, b"" for none.

        None for a head that is not plain.
        """
        # Every field may take a byte more than it does here.
        if len(head) > min(_MAX_HEAD, limits.header_bytes - limits.headers):
            return None, b""
        parts = _VARYING.split(head)
        if len(parts) > 1 + 3 * _MAX_VARYING:
            return None, b""
        rest = b"".join(parts[::3])
        plain = self.heads.get(rest) or self._learn(rest, limits)
        ids, parents = parts[1::3], parts[2::3]
        return plain, received_id([*filter(None, ids)], [*filter(None, parents)])

    def _learn(self, head: bytes, limits: Limits) -> PlainHead | None:
        found = _parse(head, limits)
        if found is None or found.fields.keys() & _SPECIAL:
            return None
        length = int(found.fields.get(b"content-length", b"0"))
        if not 0 < length <= self._max_body_bytes:
            return None
        fields = [*found.fields.items()]
        try:
            match = self._routes.find(found.target.path, found.target.query or b"", fields)
        except RequestError:
            return None  # the ASGI route raises it again
        if match is None:
            return None
        route, protocol = match
        if not self._access.allows(route.path, fields):
            return None
        if len(self.heads) >= _MAX_HEADS:
            self.heads.clear()
        plain = PlainHead(
            length,
            protocol,
            self._endpoints[route.path],
            route.error_format,
            self._cors.of(fields),
            self._access.owner(route.path, fields),
        )
        self.heads[head] = plain
        return plain

    def observe(self, event: Event) -> None:
        """Forget all heads when the keys change: a head may have a key that is no longer valid."""
        if isinstance(event, KeysRead):
            self.heads.clear()

    def response(
        self, head: PlainHead, result: Result, server_headers: Headers, began: float, request_id: bytes
    ) -> bytes:  # fmt: skip
        """The bytes of a response, which is counted.

        The request came at `began` by `perf_counter()`.
        """
        if isinstance(result, Exception):
            return self._problem(head, result, server_headers, began, request_id)
        endpoint = head.endpoint
        if not endpoint.began:
            if not self._to_count:
                asyncio.get_running_loop().call_soon(self._count)
            self._to_count.append(endpoint)
        endpoint.began.append(began)
        if server_headers is not self._server_headers:  # a new list each second, for the date
            self._server_headers = server_headers
            self._start = b"%b%b: " % (_head(HTTPStatus.OK, server_headers), HEADER)
        own, media_type, body = b"", b"application/json", result
        if isinstance(result, Reply):
            own, media_type, body = _lines(result.headers), result.media_type.encode(), result.body
        cors = _lines_of(head.cors) if head.cors else b""
        return b"%b%b\r\ncache-control: no-store\r\n%bcontent-length: %d\r\ncontent-type: %b\r\n%b\r\n%b" % (
            self._start, request_id, own, len(body), media_type, cors, body,
        )  # fmt: skip

    def _problem(
        self, head: PlainHead, error: Exception, server_headers: Headers, began: float, request_id: bytes
    ) -> bytes:  # fmt: skip
        """The bytes of a response with an error."""
        path = head.endpoint.path
        # The log context may be the one of another request in this tick.
        with bound_contextvars(request_id=request_id.decode()):
            problem = problems.error_response(error, path, head.error_format)
            if problem.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("Exception in the fast lane", exc_info=error)
        self._observer.answered(path, problem.status_code, perf_counter() - began)
        headers = [*server_headers, (HEADER, request_id), *problem.raw_headers]
        if problem.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
            headers += head.cors
        return b"%b\r\n%b" % (_head(problem.status_code, headers), bytes(problem.body))

    def _count(self) -> None:
        """Count the successful responses of a tick."""
        endpoints, self._to_count = self._to_count, []
        now = perf_counter()
        for endpoint in endpoints:
            began, endpoint.began = endpoint.began, []
            seconds = [now - each for each in began]
            self._observer.answered_all(endpoint.path, HTTPStatus.OK, seconds)


@lru_cache(maxsize=256)
def _lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    return "".join(f"{name.lower()}: {value}\r\n" for name, value in headers).encode("latin-1")


def _head(code: int, headers: Headers) -> bytes:
    """The status line and header fields."""
    return STATUS_LINE[code] + _lines_of(headers)


def _lines_of(headers: Headers) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in headers])


class _Head:
    """The parts of one head, as the parser finds them."""

    def __init__(self) -> None:
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True

    def check(self, limits: Limits) -> bool:
        """Whether the head is plain, but for the meaning of its fields. Raises Refused."""
        check_head("1.1", b"POST", self._url, self._fields, limits)
        repeated = len(self.fields) < len(self._fields)
        connection = self.fields.get(b"connection", b"keep-alive").lower()
        # With the varying lines, there must not be too many.
        too_many = len(self.fields) + _MAX_VARYING > limits.headers
        return self.complete and not (repeated or too_many or connection != b"keep-alive")

    @cached_property
    def fields(self) -> dict[bytes, bytes]:
        """The header fields, by name in lower case."""
        return dict(self._fields)

    @cached_property
    def target(self) -> Any:
        """The target's parts."""
        return httptools.parse_url(self._url)


def _parse(head: bytes, limits: Limits) -> _Head | None:
    """Parse a head; None if it is not plain, as with a repeated field."""
    found = _Head()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head + END)
        plain = parser.get_http_version() == "1.1" and found.check(limits)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, Refused):
        return None
    return found if plain else None
