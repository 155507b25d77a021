"""Lag: how late the event loop comes to what is due, which every request that waits feels too."""

import asyncio
from collections.abc import Callable
from time import perf_counter

_SAMPLE_SECONDS = 0.25


async def measure(observe: Callable[[float], None]) -> None:
    """Tell `observe` every quarter of a second by how many seconds it is late. Ends when cancelled.

    The loop's timers are whole milliseconds; what a loop with nothing to do is late is up to one.
    """
    while True:
        due = perf_counter() + _SAMPLE_SECONDS
        await asyncio.sleep(_SAMPLE_SECONDS)
        observe(max(0.0, perf_counter() - due))
