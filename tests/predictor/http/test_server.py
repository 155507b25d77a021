"""The server's own decisions; `tests/hostile` attacks the whole of it over sockets."""

import asyncio
import json
import subprocess
import sys
from http import HTTPStatus

import pytest

from demo.processes import ROOT
from predictor.http.limits import Deadline, Limits, Refused, check_head, check_size, too_large

LIMITS = Limits(1, 1024, 1, 1, headers=3, target_bytes=10)
HOST = (b"host", b"x")


@pytest.mark.parametrize(
    ("version", "method", "target", "headers", "status"),
    [
        ("1.1", b"GET", b"/", [HOST], None),
        ("1.0", b"GET", b"/", [], None),
        ("1.1", b"POST", b"/", [HOST, (b"transfer-encoding", b"Chunked")], None),
        ("1.1", b"GET", b"/", [], HTTPStatus.BAD_REQUEST),
        ("1.1", b"GET", b"/", [HOST, HOST], HTTPStatus.BAD_REQUEST),
        ("1.0", b"GET", b"/", [HOST, HOST], HTTPStatus.BAD_REQUEST),
        ("0.9", b"GET", b"/", [], HTTPStatus.BAD_REQUEST),
        ("2.0", b"GET", b"/", [HOST], HTTPStatus.BAD_REQUEST),
        ("1.0", b"POST", b"/", [(b"transfer-encoding", b"chunked")], HTTPStatus.BAD_REQUEST),
        ("1.1", b"POST", b"/", [HOST, (b"transfer-encoding", b"gzip")], HTTPStatus.BAD_REQUEST),
        ("1.1", b"CONNECT", b"x:1", [HOST], HTTPStatus.METHOD_NOT_ALLOWED),
        ("1.1", b"GET", b"/" * 11, [HOST], HTTPStatus.REQUEST_URI_TOO_LONG),
        ("1.1", b"GET", b"/", [HOST] * 4, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
def test_a_head_that_is_unclear_or_too_large_is_refused(version, method, target, headers, status):
    """By RFC 9112's rules, and the bounds."""
    if status is None:
        check_head(version, method, target, headers, LIMITS)
        return
    with pytest.raises(Refused) as caught:
        check_head(version, method, target, headers, LIMITS)
    assert caught.value.status == status


def test_the_size_of_a_head_is_that_of_its_fields():
    """To the byte."""
    check_size([(b"a", b"b" * 1019)], LIMITS)
    with pytest.raises(Refused):
        check_size([(b"a", b"b" * 1020)], LIMITS)


def test_what_is_too_large_is_named():
    """The request line, the header or the body's framing."""
    given = [
        (b"/" * 11, (), False),
        (b"/", (), False),
        (b"/" * 11, [HOST], False),
        (b"/", (), True),
    ]
    statuses = [too_large(t, h, in_body=b, limits=LIMITS).status for t, h, b in given]
    assert statuses == [414, 431, 431, 400]


async def test_progress_does_not_put_off_a_deadline():
    """What is waited for has its time once; only another thing gets time of its own."""
    deadline, late = Deadline(asyncio.get_running_loop()), asyncio.Event()
    awaited = object()
    assert deadline.set(awaited, 0.01, late.set)
    assert not deadline.set(awaited, 3600, late.set)
    await asyncio.wait_for(late.wait(), 10)
    late.clear()
    assert deadline.set(awaited, 3600, late.set)
    assert deadline.set(object(), 3600, late.set)
    deadline.clear()
    deadline.clear()
    await asyncio.sleep(0)
    assert not late.is_set()


@pytest.mark.whole
def test_an_end_that_is_put_off_is_forced():
    """By what was promised when the signal came, whatever still runs."""
    code = """
import signal, time, uvicorn
from predictor.http.limits import Limits
from predictor import logs
from predictor.http.server import Server
logs.set_up("info")
limits = Limits(1, 1024, 1, 1)
Server(uvicorn.Config(None, log_config=None), list, limits, print).handle_exit(signal.SIGTERM, None)
time.sleep(600)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert (line["event"], line["level"]) == ("exit_forced", "warning")
