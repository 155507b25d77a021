"""Lane: what the connections of the fast lane share, and which heads are plain."""

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
_LONGEST_HEAD = 4096  # bytes of a head that is remembered
_MOST_HEADS = 512
# Lines that are others in each request, and say nothing of what is asked. They are whole: what
# stands before and behind one is the same with it and without it.
_ASIDE = re.compile(
    rb"\r\n(?:(?i:%b): (%b)|(?i:%b): (%b)|(?i:%b): [!-~]+(?: +[!-~]+)*)(?=\r\n[!-~]|\Z)"
    % (HEADER, ID, TRACE_PARENT, PARENT, TRACE_STATE)
)
_MOST_ASIDE = 3
_SPECIAL = {
    b"content-encoding", b"expect", b"trailer", b"transfer-encoding", b"upgrade",
    HEADER, TRACE_PARENT, TRACE_STATE,
}  # fmt: skip

Headers = Sequence[tuple[bytes, bytes]]

_log = logging.getLogger("uvicorn.error")  # where the stock path writes its tracebacks


class RequestObserver(Protocol):
    """Who counts requests."""

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """One request was answered."""

    def answered_all(self, endpoint: str, code: int, seconds: Sequence[float]) -> None:
        """Several were, each in so many seconds."""


class Lane:
    """What the connections of one process share."""

    def __init__(
        self, batcher: Batcher, observer: RequestObserver, access: Access, settings: Settings
    ) -> None:
        self._access = access
        # A page of another origin has headers of its own in its answer.
        self._special = _SPECIAL | ({b"origin"} if settings.cors_origins else set())
        self.holds_keys = access.guards(_PATH)
        """Whether a plain head holds a key: then it is found here, and never compared with another."""
        access.changed.append(self._forget)
        self.ask = batcher.ask
        self._observer = observer
        self._largest = min(settings.max_body_bytes, LARGE)
        self.lengths: dict[bytes, int] = {}
        """Bytes of the body behind each plain head that was seen, without what is put aside."""
        self._began: list[float] = []
        self._server_headers: Headers | None = None
        self._start = b""

    def read(self, head: bytes, limits: Limits) -> tuple[int, bytes]:
        """How many bytes follow a head, which begins with PLAIN, and the id that it brings.

        0 where it is not plain, and b"" where it brings none.
        """
        # Every field may take a byte more than it does here.
        if len(head) > min(_LONGEST_HEAD, limits.header_bytes - limits.headers):
            return 0, b""
        parts = _ASIDE.split(head)
        if len(parts) > 1 + 3 * _MOST_ASIDE:
            return 0, b""
        rest = b"".join(parts[::3])
        length = self.lengths.get(rest) or self._learn(rest, limits)
        ids, parents = parts[1::3], parts[2::3]
        return length, received_id([*filter(None, ids)], [*filter(None, parents)])

    def _learn(self, head: bytes, limits: Limits) -> int:
        found = _plain(head, limits)
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
        if len(self.lengths) >= _MOST_HEADS:
            self.lengths.clear()
        self.lengths[head] = length
        return length

    def _forget(self) -> None:
        """Know no head any more: what a key let in may come with one that lets in no longer."""
        self.lengths.clear()

    def answer(
        self, result: Result, server_headers: Headers, began: float, request_id: bytes
    ) -> bytes:
        """The bytes of an answer, to a request that began then by `perf_counter()`; it is counted.

        `request_id` is b"" for a request without an id.
        """
        if isinstance(result, Exception):
            return self._refusal(result, server_headers, began, request_id or new_id())
        if not self._began:
            asyncio.get_running_loop().call_soon(self._count)
        self._began.append(began)
        if server_headers is not self._server_headers:  # they are made anew for the date
            self._server_headers = server_headers
            self._start = b"%b%b: " % (_head(HTTPStatus.OK, server_headers), HEADER)
        return b"%b%b\r\ncache-control: no-store\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%b" % (
            self._start, request_id or new_id(), len(result), result,
        )  # fmt: skip

    def _refusal(
        self, error: Exception, server_headers: Headers, began: float, request_id: bytes
    ) -> bytes:
        """A whole problem document."""
        # This may run within the context of another request, with which it shared a tick.
        with bound_contextvars(request_id=request_id.decode()):
            problem = problems.error_response(error, _PATH)
            if problem.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
                _log.error("Exception in the fast lane", exc_info=error)
        self._observer.answered(_PATH, problem.status_code, perf_counter() - began)
        headers = [*server_headers, (HEADER, request_id), *problem.raw_headers]
        head = _head(problem.status_code, headers)
        return b"%b\r\n%b" % (head, bytes(problem.body))

    def _count(self) -> None:
        """Count the good answers of a tick."""
        began, self._began = self._began, []
        now = perf_counter()
        self._observer.answered_all(_PATH, HTTPStatus.OK, [now - each for each in began])


def _head(code: int, headers: Headers) -> bytes:
    """The status line and these header fields."""
    return b"".join([STATUS_LINE[code], *(b"%b: %b\r\n" % field for field in headers)])


class _Seen:
    """What the parser tells of one head."""

    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.whole = True


def _plain(head: bytes, limits: Limits) -> dict[bytes, bytes] | None:
    """The fields of a head, each once, with names in lower case; None where it is not a plain request's."""
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(head + END)
        check_head("1.1", b"POST", seen.url, seen.fields, limits)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, Refused):
        return None
    fields = dict(seen.fields)
    twice = len(fields) < len(seen.fields)
    connection = fields.get(b"connection", b"keep-alive").lower()
    # With what was put aside, there must not be too many.
    many = len(fields) + _MOST_ASIDE > limits.headers
    odd = twice or many or connection != b"keep-alive"
    return fields if seen.whole and not odd else None
