"""Request ids: in each response's `X-Request-ID`, and in every log line about the request.

A client or a proxy may send one: `X-Request-ID`, or a W3C `traceparent` with a trace id. Ids that
are too long or have unusual characters are replaced, because other programs read logs and headers.
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

HEADER = b"x-request-id"
TRACE_PARENT = b"traceparent"
TRACE_STATE = b"tracestate"
ID = rb"[A-Za-z0-9._~:/+=@-]{1,128}"
"""The accepted ids, as a regular expression."""
PARENT = rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
"""A traceparent in version 00 of https://www.w3.org/TR/trace-context/."""

_ID = re.compile(ID)
# Later versions may append fields.
_PARENT = re.compile(rb"(?:%b)|(?!00)(?:%b)-[!-~]*" % (PARENT, PARENT))
_IDS_PER_PREFIX = 4096


def of_scope(scope: Any) -> str:
    """The id of an ASGI request, kept in `scope["state"]["request_id"]`.

    May be called while the head still arrives; the first call decides.
    """
    state = scope.setdefault("state", {})
    if "request_id" not in state:
        values: dict[bytes, list[bytes]] = {HEADER: [], TRACE_PARENT: []}
        for name, value in scope["headers"]:
            if name in values:
                values[name].append(value.strip(b" \t"))
        received = received_id(values[HEADER], values[TRACE_PARENT])
        state["request_id"] = (received or new_id()).decode()
    found: str = state["request_id"]
    return found


def received_id(ids: Sequence[bytes], parents: Sequence[bytes]) -> bytes:
    """The client's id, from the values of `X-Request-ID` and of `traceparent`; b"" for none.

    A field that occurs twice or is malformed is ignored.
    """
    if len(ids) == 1 and _ID.fullmatch(ids[0]):
        return ids[0]
    return trace_id(parents[0]) if len(parents) == 1 else b""


def trace_id(parent: bytes) -> bytes:
    """The trace id of a traceparent, 32 hex digits; b"" if it is malformed."""
    return parent[3:35] if _PARENT.fullmatch(parent) else b""


def _new_ids() -> Iterator[bytes]:
    """Unique ids of 32 hex digits, as trace ids have. They are not secret.

    A random prefix keeps processes apart; a counter costs less than random bytes for each request.
    """
    suffixes = [b"%03x" % number for number in range(_IDS_PER_PREFIX)]
    while True:
        prefix = os.urandom(16).hex().encode()[:-3]
        for suffix in suffixes:
            yield prefix + suffix


new_id = _new_ids().__next__
"""A new id."""
