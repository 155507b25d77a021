"""What a request is called: what it brought, where that is an id, else a new one."""

import itertools
import re

import pytest

from predictor.http import request_id

MADE = re.compile(r"[0-9a-f]{32}")
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

BROUGHT = [
    (["X-Request-ID: 7"], "7"),
    (["x-request-id: aZ09._~:/+=@-"], "aZ09._~:/+=@-"),
    (["X-REQUEST-ID: " + "i" * 128], "i" * 128),
    (["traceparent: " + PARENT], TRACE),
    (["TraceParent: " + PARENT, "tracestate: a=b,c=d e"], TRACE),
    (["traceparent: " + PARENT, "X-Request-ID: 7", "tracestate: a=b"], "7"),
    (["X-Request-ID: ü", "traceparent: " + PARENT], TRACE),
    (["traceparent: cc" + PARENT[2:] + "-what-comes-later"], TRACE),
    (["X-Request-ID:7"], "7"),
    (["X-Request-ID: \t7 "], "7"),
]
"""Lines of a head, and the id that they bring."""

NOT_BROUGHT = [
    [],
    ["X-Request-ID:"],
    ["X-Request-ID: " + "i" * 129],
    ["X-Request-ID: a b"],
    ["X-Request-ID: a\tb"],
    ["X-Request-ID: a\x80"],
    ["X-Request-ID: a,b"],
    ['X-Request-ID: "a"'],
    ["X-Request-ID: <script>"],
    ["X-Request-ID: a%0d%0aSet-Cookie:b"],
    ["X-Request-ID: 7", "X-Request-ID: 7"],
    ["X-Request-ID: 7", "X-Request-ID: a b"],
    ["X-Request-IDs: 7"],
    ["Y-X-Request-ID: 7"],
    ["Y: X-Request-ID: 7"],
    ["traceparent: " + PARENT, "traceparent: " + PARENT],
    ["traceparent: " + PARENT.upper()],
    ["traceparent: " + PARENT + "-1"],
    ["traceparent: ff" + PARENT[2:]],
    ["traceparent: " + PARENT[:-1]],
    ["traceparent: " + PARENT.replace(TRACE, "0" * 32)],
    ["traceparent: " + PARENT.replace("00f067aa0ba902b7", "0" * 16)],
    ["tracestate: a=b"],
]
"""Lines that bring none."""


def scope(*lines):
    fields = [line.split(":", 1) for line in lines]
    headers = [(name.lower().encode(), value.strip().encode("latin-1")) for name, value in fields]
    return {"type": "http", "headers": headers}


@pytest.mark.parametrize(("lines", "expected"), BROUGHT)
def test_an_id_that_a_request_brings_is_its_id(lines, expected):
    """Its own, or else its trace's."""
    assert request_id.of_scope(scope(*lines)) == expected


@pytest.mark.parametrize("lines", NOT_BROUGHT)
def test_what_is_no_id_is_replaced(lines):
    """By one that could be a trace id, and never by what was sent."""
    assert MADE.fullmatch(request_id.of_scope(scope(*lines)))


def test_a_request_keeps_its_id():
    """For every client, and however often it asks."""
    asked = scope()
    assert request_id.of_scope(asked) == request_id.of_scope(asked) == asked["state"]["request_id"]


def test_ids_are_unique():
    """Also after the ids that share a random start are used up."""
    made = [*itertools.islice(iter(request_id.new_id, None), 10_000)]
    assert len(set(made)) == 10_000
    assert all(MADE.fullmatch(each.decode()) for each in made)
    assert len({each[:-3] for each in made}) in {3, 4}
