"""Bytes that nobody thought of, over every endpoint: `make fuzz` sends 100,000, `make test-all` thousands.

Some are whole and valid, and must be answered rightly; the rest may be answered with 4xx or closed.
"""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.parts import Target, is_problem
from tests.hostile.wire import Conversation, post, request

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "3000"))
PATHS = [
    "/", "/web/page.js", "/predict", "/predict/batch", "/health", "/ready", "/model", "/metrics",
    "/docs", "/openapi.json", "/predict/", "//", "*", "http://service/predict", "/predict?a=b#c",
]  # fmt: skip
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"%00", b"%", b"\xff\xfe",
    b"\xef\xbb\xbf", b"0", b"-1", b"1e400", b"NaN", b"null", b"9" * 400, b"[" * 2000, b'{"a":' * 500,
    b'"\\ud800"', b"GET / HTTP/1.1\r\n", b"HTTP/1.0", b"HTTP/0.9", b"Host: y\r\n",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n",
    b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"a: b\r\n" * 200,
    b"A" * 70_000, b"multipart/form-data; boundary=x", b"; charset=utf-16",
]  # fmt: skip
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
FLOAT32 = st.floats(-(2.0**20), 2.0**20, width=32)


@dataclass
class Tally:
    """What came back."""

    requests: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    closed_without_an_answer: int = 0
    predictions_checked: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, got: Conversation) -> None:
        self.requests += 1
        self.codes.update(got.statuses)
        self.closed_without_an_answer += not got.responses

    def __str__(self) -> str:
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(self.codes.items()))
        faults = sum(count for code, count in self.codes.items() if code >= 500)
        return (
            f"{self.requests} requests; answers by code: {codes}; closed without an answer: "
            f"{self.closed_without_an_answer}; predictions checked: {self.predictions_checked}; "
            f"5xx: {faults}; wrong: {len(self.wrong)}"
        )


@st.composite
def spoilt_requests(draw: st.DrawFn, valid: list[bytes]) -> bytes:
    """A valid request in which a few places were overwritten, doubled, cut out or filled in."""
    sent = draw(st.sampled_from(valid))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(sent)))
        length = draw(st.integers(0, 12))
        piece = draw(
            st.sampled_from(TOKENS) | st.binary(max_size=8) | st.just(sent[at : at + length] * 2)
        )
        sent = sent[:at] + piece + sent[at + length :]
    return sent


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    """A request of odd parts, put together as one should be."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "TRACE", "QUERY", "get"]))
    names = st.sampled_from(
        ["Content-Type", "Accept", "Host", "Content-Encoding", "Cookie", "Range", "If-None-Match",
         "X-Forwarded-For", "X-Forwarded-Proto", "Origin", "Expect", "TE", "Authorization"]
    )  # fmt: skip
    values = st.text(st.characters(max_codepoint=255), max_size=30)
    headers = draw(st.lists(st.tuples(names, values), max_size=5))
    body = draw(st.none() | st.binary(max_size=200))
    path = draw(st.sampled_from(PATHS))
    return request(method, path, *(f"{name}: {value}" for name, value in headers), body=body)


@st.composite
def odd_bodies(draw: st.DrawFn, record: dict[str, float]) -> bytes:
    """JSON, and near to what is asked for."""
    changed: dict[str, Any] = dict(record)
    for name in draw(st.lists(st.sampled_from(sorted(record)), max_size=3)):
        changed[name] = draw(ANY_JSON)
    if draw(st.booleans()):
        changed.pop(draw(st.sampled_from(sorted(record))))
    body = draw(st.sampled_from([changed, {"instances": [record, changed]}, [changed]]) | ANY_JSON)
    path = draw(
        st.sampled_from(["/predict", "/predict/batch", "/predict/what-if", "/predict/explain"])
    )
    return post(json.dumps(body).encode(), path=path)


@pytest.mark.whole
@pytest.mark.timeout(3600)
def test_no_bytes_make_it_fail(target: Target) -> None:
    """No 5xx, no half answer, no error of another shape, and valid records answered rightly."""
    record = json.dumps(target.record).encode()
    batch = b'{"instances": [%s, %s]}' % (record, record)
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(record), record)
    valid = [
        *(request(path=path) for path in PATHS),
        post(record),
        post(batch, path="/predict/batch"),
        request("POST", "/predict", "Transfer-Encoding: chunked") + chunks,
        post(record) + request() + post(record),
    ]
    tally = Tally()
    anything = st.one_of(
        spoilt_requests(valid),
        spoilt_requests(valid),
        odd_requests(),
        odd_bodies(target.record),
        st.binary(max_size=400),
        st.fixed_dictionaries(dict.fromkeys(target.record, FLOAT32)),
    )

    @settings(
        max_examples=REQUESTS, deadline=None, database=None, derandomize="FUZZ_REQUESTS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(anything)
    def send(sent: bytes | dict[str, float]) -> None:
        sent_bytes = sent if isinstance(sent, bytes) else post(json.dumps(sent).encode())
        got = target.converse(sent_bytes, half_close=True)
        tally.add(got)
        for response in got.responses:
            assert response.status < 500, response
            assert response.status < 400 or is_problem(response), response
        if isinstance(sent, dict):
            (response,) = got.responses
            tally.predictions_checked += 1
            if response.status != 200 or not target.is_right(response, sent):
                tally.wrong.append(f"{response} to {sent}")
            assert not tally.wrong

    try:
        send()
    finally:
        print(f"\n{tally}")
