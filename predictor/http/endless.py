"""Endless answers: those that go on for as long as the client stays.

What bounds and measures an answer has to know: no time is too long for it, a client that has sent
its last has left, and how long it took says nothing.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

_MARK = "endless"


def begin_endless(scope: MutableMapping[str, Any]) -> None:
    """Mark the answer to this ASGI request as one without an end."""
    scope.setdefault("state", {})[_MARK] = True


def is_endless(scope: Mapping[str, Any]) -> bool:
    """Whether the answer to this ASGI request is marked so."""
    return _MARK in scope.get("state", ())
