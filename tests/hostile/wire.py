"""Bytes on a connection: what is sent, and what comes back, read as strictly as a proxy would."""

import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

SECONDS = 20  # so wide that only a hang reaches it
Send = bytes | float
"""Bytes, or seconds to wait."""


@dataclass(frozen=True)
class Response:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Conversation:
    """All responses of one connection, in order. `closed` if the server closed it, also by a reset."""

    responses: list[Response]
    closed: bool
    raw: bytes
    send_seconds: float
    """From before the connection to the last byte sent."""

    @property
    def statuses(self) -> list[int]:
        """The final answers' codes; `100 Continue` is not one."""
        return [response.status for response in self.responses if response.status >= 200]


def converse(
    address: tuple[str, int],
    *sends: Send,
    answers: int | None = None,
    half_close: bool = False,
    before_leaving: Callable[[], object] | None = None,
) -> Conversation:
    """Send, and read until the server closes, or until so many final answers have come."""
    raw, rest, closed = b"", b"", False
    responses: list[Response] = []
    began = time.monotonic()
    with socket.create_connection(address, timeout=SECONDS) as client:
        closed = not _send(client, sends, half_close=half_close)
        send_seconds = time.monotonic() - began
        deadline = time.monotonic() + SECONDS
        while answers is None or len([r for r in responses if r.status >= 200]) < answers:
            assert time.monotonic() < deadline, f"no end after {SECONDS} s: {raw[:300]!r}"
            try:
                chunk = client.recv(1 << 20)
            except ConnectionError:
                chunk = b""
            if not chunk:
                closed = True
                break
            raw += chunk
            more, rest = split(rest + chunk)
            responses += more
        if before_leaving is not None:
            before_leaving()
    assert not rest, f"half an answer: {rest[:300]!r}"
    ids = [response.headers.get("x-request-id") for response in responses if response.status >= 200]
    assert all(ids), f"an answer without an id: {raw[:300]!r}"
    assert len(set(ids)) == len(ids), f"two answers with one id: {ids}"
    return Conversation(responses, closed, raw, send_seconds)


def _send(client: socket.socket, sends: Sequence[Send], *, half_close: bool) -> bool:
    try:
        for send in sends:
            if isinstance(send, bytes):
                client.sendall(send)
            else:
                time.sleep(send)
        if half_close:
            client.shutdown(socket.SHUT_WR)
    except OSError:  # the server has closed it meanwhile
        return False
    return True


def receive(client: socket.socket) -> Response:
    """The next answer on a connection on which no other is on its way."""
    raw = b""
    while not split(raw)[0]:
        chunk = client.recv(1 << 20)
        assert chunk, f"closed without an answer; had {raw!r}"
        raw += chunk
    ((response,), rest) = split(raw)
    assert not rest
    return response


def split(raw: bytes) -> tuple[list[Response], bytes]:
    """The whole answers at the start of `raw`, and what follows them."""
    responses = []
    while b"\r\n\r\n" in raw:
        head, rest = raw.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("ascii").split("\r\n")
        protocol, status, *_ = first.split(" ")
        assert protocol == "HTTP/1.1", first
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, line
            assert name.lower() not in headers, line
            headers[name.lower()] = value.strip()
        body, left = _body(int(status), headers, rest)
        if body is None:
            break
        responses.append(Response(int(status), headers, body))
        raw = left
    return responses, raw


def _body(status: int, headers: dict[str, str], rest: bytes) -> tuple[bytes | None, bytes]:
    if status < 200 or status in {204, 304}:
        return b"", rest
    length = int(headers["content-length"])  # nothing here is sent in chunks
    return (rest[:length], rest[length:]) if len(rest) >= length else (None, rest)


def request(
    method: str = "GET", path: str = "/health", *headers: str, body: bytes | None = None
) -> bytes:
    """One request of HTTP/1.1, with the length of its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: service", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def post(body: bytes, *headers: str, path: str = "/predict") -> bytes:
    """One POST of JSON."""
    return request("POST", path, "Content-Type: application/json", *headers, body=body)
