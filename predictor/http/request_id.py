"""Request ids: what a request is called in its answer and in every line that is logged about it.

A client, or a proxy in front, may bring one: `X-Request-ID`, or a W3C `traceparent`, whose trace id
it is then. Whatever is written into a log or a header is read by somebody's program, so an id that
is long or has other characters than ids need is not echoed, but replaced.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

HEADER = b"x-request-id"
TRACE_PARENT = b"traceparent"
TRACE_STATE = b"tracestate"
ID = rb"[A-Za-z0-9._~:/+=@-]{1,128}"
"""The ids that are taken, as a regular expression."""
PARENT = rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
"""A traceparent, as https://www.w3.org/TR/trace-context/ has it in version 00."""

_ID = re.compile(ID)
# Versions to come may add something.
_PARENT = re.compile(rb"(?:%b)|(?!00)(?:%b)-[!-~]*" % (PARENT, PARENT))
_STARTED = 4096  # ids with the same random start


def of(scope: Any) -> str:
    """The id of a request, by its ASGI scope: the same each time, in `state` as `request_id`.

    The scope's header may still be on its way; then it is what has come of it that counts.
    """
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        state["request_id"] = (_of_header(scope["headers"]) or made()).decode()
    found: str = state["request_id"]
    return found


def brought(ids: Sequence[bytes], parents: Sequence[bytes]) -> bytes:
    """The id that the values of these fields bring: of `X-Request-ID`, and of `traceparent`.

    b"" for none: a field that is there twice, or is not well-formed, counts as if it were not.
    """
    if len(ids) == 1 and _ID.fullmatch(ids[0]):
        return ids[0]
    return trace_id(parents[0]) if len(parents) == 1 else b""


def trace_id(parent: bytes) -> bytes:
    """The trace id, 32 hex digits, of a traceparent; b"" where that is not well-formed."""
    return parent[3:35] if _PARENT.fullmatch(parent) else b""


def _of_header(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    ids, parents = [], []
    for name, value in fields:
        if name == HEADER:
            ids.append(value.strip(b" \t"))
        elif name == TRACE_PARENT:
            parents.append(value.strip(b" \t"))
    return brought(ids, parents)


def _make() -> Iterator[bytes]:
    """Ids of 32 hex digits, so that each could be a trace id. They are unique, and no secrets.

    Most of one is random, so that no two processes make the same; the rest is counted, which
    costs a request less than asking the system for more.
    """
    counted = [b"%03x" % number for number in range(_STARTED)]
    while True:
        start = os.urandom(16).hex().encode()[:-3]
        for number in counted:
            yield start + number


made = _make().__next__
"""A new id."""
