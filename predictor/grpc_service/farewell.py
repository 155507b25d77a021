"""Farewell: how gRPC's server ends without losing a call.

A server that stops cancels what it has read and not begun, and what clients send before they hear of
it. So, first, no client gets its answer: while they wait, they send no more, and a moment later all
that they have sent has begun. Then the server stops, which tells them to ask elsewhere from now on.
Then they get their answers.
"""

import asyncio
from collections.abc import Callable, Coroutine

_PAUSE_SECONDS = 0.05
_MOST_PAUSES = 10
_GOODBYE_SECONDS = 0.05  # for clients to hear of it


class Farewell:
    """Knows how many calls have begun, and holds back their answers while the server stops."""

    def __init__(self) -> None:
        self._begun = 0
        self._said: asyncio.Event | None = None

    @property
    def begins(self) -> bool:
        """Whether the end has begun."""
        return self._said is not None

    def note(self) -> None:
        """A call begins."""
        self._begun += 1

    async def over(self) -> None:
        """Return when an answer may go: at once, unless the end has begun."""
        if self._said is not None:
            await self._said.wait()

    async def say(self, stop: Callable[[], Coroutine[None, None, None]]) -> None:
        """Hold answers back, have the server `stop`, let them go; return when it has stopped."""
        self._said = asyncio.Event()
        before, pauses = -1, 0
        while before != self._begun and pauses < _MOST_PAUSES:
            before, pauses = self._begun, pauses + 1
            await asyncio.sleep(_PAUSE_SECONDS)
        stopping = asyncio.create_task(stop())
        await asyncio.sleep(_GOODBYE_SECONDS)
        self._said.set()
        await stopping
