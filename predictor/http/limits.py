"""Limits of one client: sizes and times of its connections, and which request heads are refused."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from predictor.settings import Settings

READ_FIRST_SECONDS = 0.01
"""From the end of a limit to its effect.

In between, the event loop reads the sockets once more. It may have been busy past the limit, and
uvloop calls timers before it reads what arrived meanwhile.
"""
_VERSIONS = {"1.0", "1.1"}


@dataclass(frozen=True)
class Limits:
    """The limits of one connection, and the number of connections."""

    connections: int
    header_bytes: int
    header_seconds: float
    body_seconds: float
    headers: int = 100
    target_bytes: int = 8192

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """The limits in the settings."""
        return cls(
            connections=settings.max_connections,
            header_bytes=settings.max_header_bytes,
            header_seconds=settings.header_seconds,
            body_seconds=settings.body_seconds,
        )


class Refused(Exception):
    """A request that does not reach the application, with its status and detail."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Deadline:
    """Calls back unless the awaited thing comes in time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.timer: asyncio.TimerHandle | None = None
        """None while nothing is awaited."""
        self._awaited: object = None

    def set(self, awaited: object, seconds: float, late: Callable[[], object]) -> bool:
        """Call `late` in so many seconds, unless `clear` is called before.

        False if the same thing is awaited already: progress does not give it more time.
        """
        if self.timer is not None and self._awaited is awaited:
            return False
        self.clear()
        self._awaited = awaited
        self.timer = self._loop.call_later(seconds, self._read_first, late)
        return True

    def clear(self) -> None:
        """Await nothing."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = self._awaited = None

    def _read_first(self, late: Callable[[], object]) -> None:
        self.timer = self._loop.call_later(READ_FIRST_SECONDS, self._expire, late)

    def _expire(self, late: Callable[[], object]) -> None:
        self.timer = self._awaited = None
        late()


def check_head(
    version: str,
    method: bytes,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    limits: Limits,
) -> None:
    """Raise Refused for a head that is too large, or ambiguous.

    The rules for `Host` and `Transfer-Encoding` are in RFC 9112, sections 3.2 and 6.1.
    """
    if version not in _VERSIONS:
        raise Refused(HTTPStatus.BAD_REQUEST, f"HTTP/{version} is not supported; use HTTP/1.1")
    if method == b"CONNECT":
        raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "this is not a proxy")
    if len(target) > limits.target_bytes:
        raise too_large(target, (), in_body=False, limits=limits)
    if len(headers) > limits.headers:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {limits.headers} header fields"
        )
    hosts = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
            raise Refused(
                HTTPStatus.BAD_REQUEST, "the only Transfer-Encoding is chunked, in HTTP/1.1"
            )
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        raise Refused(HTTPStatus.BAD_REQUEST, "a request has one Host field")


def check_size(headers: Sequence[tuple[bytes, bytes]], limits: Limits) -> None:
    """Raise Refused for header fields of more bytes than the limit."""
    if sum(len(name) + len(value) + 4 for name, value in headers) > limits.header_bytes:
        raise too_large(b"", headers, in_body=False, limits=limits)


def too_large(
    target: bytes, headers: Sequence[tuple[bytes, bytes]], *, in_body: bool, limits: Limits
) -> Refused:
    """The refusal of a request whose target, head or chunk framing is too long."""
    if in_body:
        return Refused(HTTPStatus.BAD_REQUEST, "the body's framing is larger than the body")
    if not headers and len(target) > limits.target_bytes:
        return Refused(
            HTTPStatus.REQUEST_URI_TOO_LONG,
            f"the target is longer than {limits.target_bytes} bytes",
        )
    return Refused(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        f"the head is larger than {limits.header_bytes} bytes",
    )
