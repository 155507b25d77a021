"""RequestParser: requests of one HTTP/1.1 connection, from bytes to ASGI scopes and bodies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools

from predictor.http.limits import Limits, Refused, check_head, check_size, too_large

SLICE = 16_384  # bytes to parse at a time: a parsed request takes far more memory
_MAX_FRAMING = 65_536  # bytes of chunk sizes, extensions and trailers without any of the body


@dataclass(frozen=True)
class Parsed:
    """Where a connection gets what is parsed."""

    head: Callable[[], None]
    body: Callable[[bytes], None]
    end: Callable[[], None]


class RequestParser:
    """Parses with httptools, which calls the methods `on_…`. All methods may raise Refused."""

    def __init__(self, limits: Limits, base: Mapping[str, Any], parsed: Parsed) -> None:
        """`base` are the members that all scopes of the connection have, `state` among them."""
        self._limits = limits
        self._base = base
        self._parsed = parsed
        self._parser = self._new_parser()
        self.scope: dict[str, Any] | None = None
        """The ASGI scope of the request that is arriving, None between requests; incomplete in its head."""
        self.expects_continue = False
        """Whether the latest request waits for `100 Continue` before it sends its body."""
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._framing = 0  # bytes parsed of the head, or of the body without any content

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Bytes after a request with `Connection: close` must not make that request fail.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def feed(self, data: bytes | memoryview) -> None:
        """Parse the next bytes."""
        self._framing += len(data)
        upgrade: int | None = None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            upgrade = error.args[0]
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Refused):  # a callback raised it
                raise error.__context__ from None
            not_http = "this is not a request of HTTP/1.1"
            raise Refused(HTTPStatus.BAD_REQUEST, not_http) from None
        if upgrade is not None:
            self._ignore_upgrade(bytes(data[upgrade:]))

    def _ignore_upgrade(self, rest: bytes) -> None:
        # A server may ignore the offer to upgrade, which Java's client makes with its first request.
        # The parser stops at it, so another one reads the head again without it.
        version = self._parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self._parser.get_method(), self._target, version)]
        lines += [b"%s: %s" % field for field in self._headers if field[0] != b"upgrade"]
        self._parser = self._new_parser()
        self.feed(b"\r\n".join([*lines, b"", rest]))

    def close(self) -> None:
        """Break the cycle of references with httptools' parser."""
        self._parser = None

    def progress(self) -> None:
        """Forget how long the framing is: something new is awaited."""
        self._framing = 0

    def check_framing(self, *, in_body: bool) -> None:
        """Refuse a head or a body whose framing is too long."""
        if self._framing > (_MAX_FRAMING if in_body else self._limits.header_bytes):
            raise too_large(self._target, self._headers, in_body=in_body, limits=self._limits)

    @property
    def keep_alive(self) -> bool:
        """Whether the client may send another request after this one."""
        return self._parser.get_http_version() != "1.0" and bool(self._parser.should_keep_alive())

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target = b""
        self.expects_continue = False
        self._headers = []
        base = self._base
        self.scope = {**base, "state": base["state"].copy(), "headers": self._headers}

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or a trailer."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Check the head and complete the scope."""
        version, method = self._parser.get_http_version(), self._parser.get_method()
        check_head(version, method, self._target, self._headers, self._limits)
        if self._framing + SLICE > self._limits.header_bytes:
            check_size(self._headers, self._limits)
        if self._parser.should_upgrade():
            return
        assert self.scope is not None  # noqa: S101  `on_message_begin` made it
        url = httptools.parse_url(self._target)
        self.scope |= {
            "http_version": version,
            "method": method.decode("ascii"),
            "path": unquote(url.path.decode("ascii")),
            "raw_path": url.path,
            "query_string": url.query or b"",
        }
        self._headers = []  # trailers must not become header fields of the request
        self._parsed.head()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._framing = 0
        self._parsed.body(body)

    def on_message_complete(self) -> None:
        """End the request, but for one with an offer to upgrade, which is read again without it."""
        if not self._parser.should_upgrade():
            self.scope = None
            self._framing = 0
            self._parsed.end()
