"""News: what one worker hears of the registry, the others look for at once.

A line of text to the supervisor, which hands it on to every other worker, is all. It says what was
heard, so that it ends: who hears the same in the registry then has nothing new to tell. A line that
is lost costs no more than the wait for the next look.
"""

import asyncio
import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable

from predictor.events import Event, RegistryAnswered
from predictor.model_version import ModelVersion

_PAUSE_SECONDS = 0.1  # between two lines that one worker tells


class News:
    """A worker's end of the line to its supervisor."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._known = b""
        self._untold: bytes | None = None
        self._quiet_until = 0.0

    def observe(self, event: Event) -> None:
        """Tell the others of an answer that is new to them."""
        if not isinstance(event, RegistryAnswered) or not event.changed:
            return
        heard = _in_a_line(event.aspired)
        if heard == self._known:
            return
        self._known = heard
        waits, self._untold = self._untold is not None, heard
        if not waits:
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._quiet_until, loop.time()), self._tell, loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        line, self._untold = self._untold, None
        self._quiet_until = loop.time() + _PAUSE_SECONDS
        with contextlib.suppress(OSError):  # the supervisor has ended; `listen` knows
            self._line.send(line or b"")

    def listen(self, look: Callable[[], None], ended: Callable[[], None]) -> None:
        """Call `look` on this event loop when there is news, `ended` in a thread once nobody is there."""
        loop = asyncio.get_running_loop()

        def heard(line: bytes) -> None:
            self._known = line
            look()

        def read() -> None:
            # A thread, so that a worker whose loop hangs hears the end as well.
            with contextlib.suppress(OSError), self._line.makefile("rb") as lines:
                for line in lines:
                    with contextlib.suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(heard, line)
            ended()

        threading.Thread(target=read, name="news", daemon=True).start()


def _in_a_line(version: ModelVersion | None) -> bytes:
    identity = (
        (version.name, version.version, version.source, version.created_ms) if version else ()
    )
    return hashlib.sha256(repr(identity).encode()).hexdigest().encode() + b"\n"
