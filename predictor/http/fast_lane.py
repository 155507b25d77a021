"""FastLane: which heads are plain, and the responses to plain requests; shared by all connections."""

import asyncio
import logging
import re
from collections.abc import Sequence
from http import HTTPStatus
from time import perf_counter
from typing import Protocol

import httptools
from structlog.contextvars import bound_contextvars
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from predictor.access import Access
from predictor.errors import UnsupportedMedia
from predictor.events import Event, KeysRead
from predictor.http import problems
from predictor.http.body import check_json
from predictor.http.limits import Limits, Refused, check_head
from predictor.http.request_id import (
    HEADER,
    ID,
    PARENT,
    TRACE_PARENT,
    TRACE_STATE,
    new_id,
    received_id,
)
from predictor.inference.batcher import LARGE, Batcher
from predictor.inference.compute import Result
from predictor.settings import Settings

END = b"\r\n\r\n"
PLAIN = b"POST /predict HTTP/1.1\r\n"
_PATH = "/predict"
_MAX_HEAD = 4096  # bytes of a remembered head
_MAX_HEADS = 512
# Lines that differ in each request and do not change its meaning. A match is a whole line: the lines
# around it mean the same without it.
_VARYING = re.compile(
    rb"\r\n(?:(?i:%b): (%b)|(?i:%b): (%b)|(?i:%b): [!-~]+(?: +[!-~]+)*)(?=\r\n[!-~]|\Z)"
    % (HEADER, ID, TRACE_PARENT, PARENT, TRACE_STATE)
)
_MAX_VARYING = 3
_SPECIAL = {
    b"content-encoding", b"expect", b"trailer", b"transfer-encoding", b"upgrade",
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


class FastLane:
    """The fast lane of one process."""

    def __init__(
        self, batcher: Batcher, observer: RequestObserver, access: Access, settings: Settings
    ) -> None:
        self._access = access
        # The response to a page of another origin has CORS header fields.
        self._special = _SPECIAL | ({b"origin"} if settings.cors_origins else set())
        self.holds_keys = access.guards(_PATH)
        """Whether heads have API keys: connections must not compare them, which takes time by the key."""
        self.submit = batcher.submit
        self._observer = observer
        self._largest = min(settings.max_body_bytes, LARGE)
        self.lengths: dict[bytes, int] = {}
        """The length of the body in bytes, by plain head without its varying lines."""
        self._began: list[float] = []
        self._server_headers: Headers | None = None
        self._start = b""

    def read(self, head: bytes, limits: Limits) -> tuple[int, bytes]:
        """The length of the body, and the client's request id, of a head that begins with PLAIN.

        0 for a head that is not plain, and b"" for no id.
        """
        # Every field may take a byte more than it does here.
        if len(head) > min(_MAX_HEAD, limits.header_bytes - limits.headers):
            return 0, b""
        parts = _VARYING.split(head)
        if len(parts) > 1 + 3 * _MAX_VARYING:
            return 0, b""
        rest = b"".join(parts[::3])
        length = self.lengths.get(rest) or self._learn(rest, limits)
        ids, parents = parts[1::3], parts[2::3]
        return length, received_id([*filter(None, ids)], [*filter(None, parents)])

    def _learn(self, head: bytes, limits: Limits) -> int:
        found = _fields(head, limits)
        if found is None or found.keys() & self._special:
            return 0
        if not self._access.allows(_PATH, [*found.items()]):
            return 0
        try:
            check_json(found.get(b"content-type", b"").decode("latin-1"), None)
        except UnsupportedMedia:
            return 0
        length = int(found.get(b"content-length", b"0"))
        if not 0 < length <= self._largest:
            return 0
        if len(self.lengths) >= _MAX_HEADS:
            self.lengths.clear()
        self.lengths[head] = length
        return length

    def observe(self, event: Event) -> None:
        """Forget all heads when the keys change: a head may have a key that is no longer valid."""
        if isinstance(event, KeysRead):
            self.lengths.clear()

    def response(
        self, result: Result, server_headers: Headers, began: float, request_id: bytes
    ) -> bytes:
        """The bytes of a response, which is counted.

        The request came at `began` by `perf_counter()`; `request_id` is b"" if it has none.
        """
        if isinstance(result, Exception):
            return self._problem(result, server_headers, began, request_id or new_id())
        if not self._began:
            asyncio.get_running_loop().call_soon(self._count)
        self._began.append(began)
        if server_headers is not self._server_headers:  # a new list each second, for the date
            self._server_headers = server_headers
            self._start = b"%b%b: " % (_head(HTTPStatus.OK, server_headers), HEADER)
        return b"%b%b\r\ncache-control: no-store\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (
            self._start, request_id or new_id(), len(result), result,
        )  # fmt: skip

    def _problem(
        self, error: Exception, server_headers: Headers, began: float, request_id: bytes
    ) -> bytes:
        """The bytes of a response with a problem document."""
        # The log context may be the one of another request in this tick.
        with bound_contextvars(request_id=request_id.decode()):
            problem = problems.error_response(error, _PATH)
            if problem.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("Exception in the fast lane", exc_info=error)
        self._observer.answered(_PATH, problem.status_code, perf_counter() - began)
        headers = [*server_headers, (HEADER, request_id), *problem.raw_headers]
        head = _head(problem.status_code, headers)
        return b"%b\r\n%b" % (head, bytes(problem.body))

    def _count(self) -> None:
        """Count the successful responses of a tick."""
        began, self._began = self._began, []
        now = perf_counter()
        self._observer.answered_all(_PATH, HTTPStatus.OK, [now - each for each in began])


def _head(code: int, headers: Headers) -> bytes:
    """The status line and header fields."""
    return b"".join([STATUS_LINE[code], *(b"%b: %b\r\n" % field for field in headers)])


class _Head:
    """The parts of one head, as the parser finds them."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def _fields(head: bytes, limits: Limits) -> dict[bytes, bytes] | None:
    """The fields of a head, by name in lower case; None if it is not plain, as with a repeated field."""
    found = _Head()
    parser = httptools.HttpRequestParser(found)
    try:
        parser.feed_data(head + END)
        check_head("1.1", b"POST", found.url, found.fields, limits)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, Refused):
        return None
    fields = dict(found.fields)
    repeated = len(fields) < len(found.fields)
    connection = fields.get(b"connection", b"keep-alive").lower()
    # With the varying lines, there must not be too many.
    too_many = len(fields) + _MAX_VARYING > limits.headers
    if repeated or too_many or connection != b"keep-alive" or not found.complete:
        return None
    return fields
