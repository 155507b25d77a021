"""Arrival: when a worker that was just started begins to take connections."""

import asyncio
from collections.abc import Awaitable, Callable

from predictor.events import Event, RegistryAnswered, RegistryFailed, Swapped

# Longer than an answer of the registry is waited for. Until then connections wait to be accepted;
# after it they are told that nothing serves.
_PATIENCE_SECONDS = 8.0


class Arrival:
    """Over once the worker serves, or its first look at the registry has led to nothing.

    Others may serve already; to a connection taken too early this one would say that nothing does.
    """

    def __init__(self) -> None:
        self._serves = asyncio.Event()
        self._looked = asyncio.Event()

    def observe(self, event: Event) -> None:
        """Hear of the first look, and of the first swap."""
        match event:
            case RegistryAnswered() | RegistryFailed():
                self._looked.set()
            case Swapped(serving=serving) if serving is not None:
                self._serves.set()

    async def over(self, settled: Callable[[], Awaitable[None]]) -> None:
        """Wait for it; `settled` returns when what a look led to has ended. Bounded."""

        async def led_to_nothing() -> None:
            await self._looked.wait()
            await settled()

        waits = [asyncio.create_task(wait) for wait in (self._serves.wait(), led_to_nothing())]
        await asyncio.wait(waits, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
