"""Attacks and accidents, each a line: what is sent, what must come back, whether it ends in a close."""

import gzip
import json
from dataclasses import dataclass

from tests.hostile.wire import Send, post, request

KEEPS, CLOSES = False, True
MAX_BODY_BYTES = 1_048_576


@dataclass(frozen=True)
class Attack:
    """What is sent, the codes of the answers in order, and whether the server then closes."""

    name: str
    sends: tuple[Send, ...]
    statuses: list[int]
    closes: bool = KEEPS
    half_close: bool = False


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return request("POST", "/predict", "Transfer-Encoding: chunked") + body


POST = "POST /predict HTTP/1.1"
HOST = "Host: service"
HEALTH = request()
DEEP = b"[" * 10_000 + b"]" * 10_000

BODIES = [
    Attack("lists 10,000 deep", (post(DEEP),), [400]),
    Attack("objects 10,000 deep", (post(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),), [400]),
    Attack("lists 10,000 deep as a value", (post(b'{"mean_radius": ' + DEEP + b"}"),), [400]),
    Attack("lists 10,000 deep as instances", (post(b'{"instances":' + DEEP + b"}", path="/predict/batch"),), [400]),
    Attack("a body of 10 MB", (post(b" " * 10_000_000),), [413]),
    Attack("a body of one byte too many", (post(b" " * (MAX_BODY_BYTES + 1)),), [413]),
    Attack("the largest body, blank", (post(b" " * MAX_BODY_BYTES),), [400]),
    Attack("the largest body, one number", (post(b"1" * MAX_BODY_BYTES),), [422]),
    Attack("the largest body, one text", (post(b'"' + b"a" * (MAX_BODY_BYTES - 2) + b'"'),), [422]),
    Attack("the largest body, one name 200,000 times", (post(b"{" + b'"":1,' * 200_000 + b'"":1}'),), [422]),
    Attack("the largest body, 200,000 names", (post(json.dumps(dict.fromkeys(map(str, range(80_000)), 1)).encode()),), [422]),
    Attack("the largest batch, no record", (post(b'{"instances":[' + b"0," * 500_000 + b"0]}", path="/predict/batch"),), [422]),
    Attack("gzip, and says so", (post(gzip.compress(b"{}"), "Content-Encoding: gzip"),), [415]),
    Attack("gzip, and does not say so", (post(gzip.compress(b"{}")),), [400]),
    Attack("NUL bytes", (post(b"\0" * 100),), [400]),
    Attack("a byte order mark", (post(b"\xef\xbb\xbf{}"),), [400]),
    Attack("UTF-16", (post("{}".encode("utf-16")),), [400]),
    Attack("not UTF-8", (post(b'{"\xff": 1}'),), [400]),
    Attack("no body", (post(b""),), [400]),
    Attack("a word that is no JSON", (post(b"undefined"),), [400]),
    Attack("two documents", (post(b"{}{}"),), [400]),
    Attack("another type", (request("POST", "/predict", "Content-Type: text/csv", body=b"1,2"),), [415]),
    Attack("a type of nonsense", (request("POST", "/predict", "Content-Type: \xff;;=", body=b"{}"),), [415]),
]  # fmt: skip

FRAMING = [
    Attack("a length that is too short", (post(b"{}").replace(b"Length: 2", b"Length: 1"),), [400, 400], CLOSES),
    Attack("a length that is too long", (post(b"{}").replace(b"Length: 2", b"Length: 9"),), [408], CLOSES),
    Attack("a length below zero", (head(POST, HOST, "Content-Length: -1"),), [400], CLOSES),
    Attack("a length with a sign", (head(POST, HOST, "Content-Length: +2") + b"{}",), [400], CLOSES),
    Attack("a length in hexadecimal", (head(POST, HOST, "Content-Length: 0x2") + b"{}",), [400], CLOSES),
    Attack("a length beyond 64 bits", (head(POST, HOST, f"Content-Length: {2**64}"),), [400], CLOSES),
    Attack("a length of an exabyte", (head(POST, HOST, f"Content-Length: {2**60}"),), [413], CLOSES),
    Attack("an empty length", (head(POST, HOST, "Content-Length:") + b"{}",), [400], CLOSES),
    Attack("two lengths that differ", (head(POST, HOST, "Content-Length: 2", "Content-Length: 5") + b"{}",), [400], CLOSES),
    Attack("two lengths in one field", (head(POST, HOST, "Content-Length: 2, 5") + b"{}",), [400], CLOSES),
    Attack("a length and chunks", (head(POST, HOST, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("chunks and a length", (head(POST, HOST, "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("chunks under another name", (head(POST, HOST, "Transfer-Encoding: xchunked") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("chunks that are not last", (head(POST, HOST, "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("chunks twice", (head(POST, HOST, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("compressed chunks", (head(POST, HOST, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("a blank before the colon", (head(POST, HOST, "Transfer-Encoding : chunked") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("chunks in HTTP/1.0", (head("POST /predict HTTP/1.0", "Transfer-Encoding: chunked") + b"0\r\n\r\n",), [400], CLOSES),
    Attack("a chunk size of nonsense", (chunked() + b"zz\r\n{}\r\n0\r\n\r\n",), [400], CLOSES),
    Attack("a chunk size beyond 64 bits", (chunked() + b"f" * 17 + b"\r\n{}\r\n",), [400], CLOSES),
    Attack("a chunk that is longer than it says", (chunked() + b"1\r\n{}\r\n0\r\n\r\n",), [400], CLOSES),
    Attack("chunks without end", (chunked(*[b" " * 65_536] * 64),), [413], CLOSES),
    Attack("chunks that stop", (chunked(b"{"),), [408], CLOSES),
    Attack("a chunk extension without end", (chunked() + b"1;" + b"e" * 1_000_000,), [400], CLOSES),
    Attack("trailers without end", (chunked(b"{") + b"0\r\n" + b"a: b\r\n" * 100_000,), [400], CLOSES),
    Attack("one trailer without end", (chunked(b"{") + b"0\r\na: " + b"b" * 1_000_000,), [400], CLOSES),
    Attack("a trailer that is no header", (chunked(b"{}", b"") + b"x\r\n\r\n",), [422, 400], CLOSES),
]  # fmt: skip

HEADS = [
    Attack("a thousand headers", (head("GET /health HTTP/1.1", HOST, *["a: b"] * 1000),), [431], CLOSES),
    Attack("headers without end", (head("GET /health HTTP/1.1", HOST) [:-2] + b"a: b\r\n" * 200_000,), [431], CLOSES),
    Attack("a header of 1 MB", (head("GET /health HTTP/1.1", HOST, "a: " + "b" * 1_000_000),), [431], CLOSES),
    Attack("a header's name of 1 MB", (head("GET /health HTTP/1.1", HOST, "a" * 1_000_000 + ": b"),), [431], CLOSES),
    Attack("a request line of 1 MB", (request(path="/" + "a" * 1_000_000),), [414], CLOSES),
    Attack("a method of 1 MB", (b"G" * 1_000_000,), [400], CLOSES),
    Attack("a header without a colon", (head("GET /health HTTP/1.1", HOST, "nonsense"),), [400], CLOSES),
    Attack("a header that goes on in the next line", (head("GET /health HTTP/1.1", HOST, "a: b", "  c"),), [400], CLOSES),
    Attack("a header with a NUL byte", (head("GET /health HTTP/1.1", HOST, "a: \0"),), [400], CLOSES),
    Attack("no Host", (head("GET /health HTTP/1.1"),), [400], CLOSES),
    Attack("two Hosts", (head("GET /health HTTP/1.1", HOST, HOST),), [400], CLOSES),
    Attack("a method in lower case", (head("get /health HTTP/1.1", HOST),), [400], CLOSES),
    Attack("a method that is none", (head("BREW /health HTTP/1.1", HOST),), [400], CLOSES),
    Attack("a method that is not taken", (request("DELETE", "/predict"),), [405]),
    Attack("CONNECT", (head("CONNECT service:443 HTTP/1.1", HOST),), [405], CLOSES),
    Attack("HTTP/0.9", (b"GET /health\r\n\r\n",), [400], CLOSES),
    Attack("HTTP/2", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), [400], CLOSES),
    Attack("HTTP/3.0", (head("GET /health HTTP/3.0", HOST),), [400], CLOSES),
    Attack("TLS on the plain port", (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x7f" * 600,), [400], CLOSES),
    Attack("bare line feeds", (b"GET /health HTTP/1.1\nHost: x\n\n",), [400], CLOSES),
    Attack("not ASCII in the target", (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",), [400], CLOSES),
    Attack("a blank in the target", (head("GET /a b HTTP/1.1", HOST),), [400], CLOSES),
    Attack("a target of nonsense", (head("GET http://[::1/ HTTP/1.1", HOST),), [400], CLOSES),
    Attack("a target without a path", (head("GET http://service HTTP/1.1", HOST),), [400], CLOSES),
    Attack("an escape that is not UTF-8", (request(path="/%ff%00%0d%0a"),), [404]),
    Attack("a path that climbs", (request(path="/web/../../../etc/passwd"),), [404]),
    Attack("a path that climbs, escaped", (request(path="/web/%2e%2e%2f%2e%2e%2fetc%2fpasswd"),), [404]),
]  # fmt: skip

SLOW = [
    Attack("nothing at all", (), [], CLOSES),
    Attack("blank lines, now and then", (b"\r\n", 0.4, b"\r\n", 0.4, b"\r\n"), [], CLOSES),
    Attack("half a head", (HEALTH[:20],), [408], CLOSES),
    Attack("a head one byte at a time", tuple(s for b in HEALTH for s in (bytes([b]), 0.1)), [408], CLOSES),
    Attack("half a body", (post(b"{}" * 50)[:-20],), [408], CLOSES),
    Attack("a body one byte at a time", (post(b" " * 99)[:-99], *(s for _ in range(25) for s in (b" ", 0.1))), [408], CLOSES),
    Attack("half a second request", (HEALTH + HEALTH[:20],), [200, 408], CLOSES),
    Attack("a client that leaves half way", (post(b"{}" * 50)[:-20],), [], CLOSES, half_close=True),
]  # fmt: skip

ALLOWED = [
    Attack("requests ahead", (HEALTH * 5,), [200] * 5),
    Attack("5,000 requests ahead", (HEALTH * 5000,), [200] * 5000),
    Attack("requests ahead, then nonsense", (HEALTH * 3 + b"\0\0",), [200] * 3 + [400], CLOSES),
    Attack("requests ahead, the last one unfinished", (HEALTH * 3 + post(b"{}")[:-1],), [200] * 3, CLOSES, half_close=True),
    Attack("a half-closed connection", (HEALTH,), [200], CLOSES, half_close=True),
    Attack("a half-closed connection, requests ahead", (HEALTH * 40,), [200] * 40, CLOSES, half_close=True),
    Attack("HTTP/1.0", (head("GET /health HTTP/1.0"),), [200], CLOSES),
    Attack("HTTP/1.0 that wants to stay", (head("GET /health HTTP/1.0", "Connection: keep-alive"),), [200], CLOSES),
    Attack("Connection: close", (request("GET", "/health", "Connection: close") + HEALTH,), [200], CLOSES),
    Attack("an absolute target", (request(path="http://service/health"),), [200]),
    Attack("an absolute target elsewhere", (request(path="http://elsewhere:1/health"),), [200]),
    Attack("blank lines before a request", (b"\r\n\r\n" + HEALTH,), [200]),
    Attack("the target *", (request("OPTIONS", "*"),), [404]),
    Attack("an answer refused before its body", (request("POST", "/predict", "Expect: 100-continue", "Content-Length: 2000000"),), [413], CLOSES),
    Attack("an expectation of nonsense", (request("POST", "/predict", "Expect: more", body=b"{}"),), [422]),
    Attack("an offer of HTTP/2", (request("POST", "/predict", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", body=b"{}") + HEALTH,), [422, 200]),
    Attack("an offer of WebSocket", (request("GET", "/health", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),), [200]),
    Attack("a body that nobody asked for", (request("GET", "/health", body=b"{}" * 50) + HEALTH,), [200, 200]),
    Attack("a body in chunks of one byte", (chunked(*[bytes([b]) for b in b"{}" * 500], b"") + HEALTH,), [400, 200]),
]  # fmt: skip

ATTACKS = BODIES + FRAMING + HEADS + SLOW + ALLOWED
