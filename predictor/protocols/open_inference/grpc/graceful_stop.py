"""GracefulStop: the order in which calls, streams and the server end."""

import asyncio
from collections.abc import Callable, Coroutine

_PAUSE_SECONDS = 0.05
_MAX_PAUSES = 10
_NOTICE_SECONDS = 0.05  # for clients to see that the connection ends


class GracefulStop:
    """Counts the requests that began, and holds back their responses while the server stops."""

    def __init__(self) -> None:
        self._requests = 0
        self._released: asyncio.Event | None = None

    @property
    def begun(self) -> bool:
        """Whether the stop has begun."""
        return self._released is not None

    def request_begins(self) -> None:
        """Count a call, or a request of a stream."""
        self._requests += 1

    async def wait(self) -> None:
        """Return when a response may be sent: at once, unless the stop has begun."""
        if self._released is not None:
            await self._released.wait()

    async def run(
        self, stop: Callable[[], Coroutine[None, None, None]], end_streams: Callable[[], None]
    ) -> None:
        """Hold responses back, `stop` the server, release the responses; return when it has stopped.

        `end_streams` is called with the release, because streams have no end of their own.
        """
        self._released = asyncio.Event()
        before, pauses = -1, 0
        while before != self._requests and pauses < _MAX_PAUSES:
            before, pauses = self._requests, pauses + 1
            await asyncio.sleep(_PAUSE_SECONDS)
        stopping = asyncio.create_task(stop())
        await asyncio.sleep(_NOTICE_SECONDS)
        self._released.set()
        end_streams()
        await stopping
