"""The delay of the event loop."""

import asyncio
import time

from predictor.metrics.recorder import measure_lag


async def test_a_blocked_event_loop_has_a_delay():
    """The delay is the time after the timer was due."""
    told: asyncio.Queue[float] = asyncio.Queue()
    measuring = asyncio.create_task(measure_lag(told.put_nowait))
    assert await told.get() >= 0
    time.sleep(0.6)  # noqa: ASYNC251  the loop stands still, as a computation would make it
    assert await told.get() > 0.3
    measuring.cancel()
