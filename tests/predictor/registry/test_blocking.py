"""What hangs holds up nothing else, and does not pile up."""

import asyncio
import threading

import pytest

from predictor.errors import LoadError
from predictor.registry.artifacts import Blocking


@pytest.fixture
def hangs():
    """Work that ends when the test does."""
    ends = threading.Event()
    yield ends.wait
    ends.set()


async def test_results_and_errors_are_passed_on():
    """As if it were called here."""
    blocking = Blocking("readings", 1)
    assert await blocking.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await blocking.run(divmod, 7, 0)


async def test_a_hanging_call_does_not_block_the_others(hangs):
    """Each has a thread of its own."""
    blocking = Blocking("readings", 3)
    stuck = [asyncio.create_task(blocking.run(hangs)) for _ in range(2)]
    await asyncio.sleep(0)
    for _ in range(5):
        assert await blocking.run(abs, -1) == 1
    for each in stuck:
        each.cancel()


async def test_abandoned_calls_count_until_they_end(hangs):
    """A store that hangs does not cost a thread for each try; the reason says so."""
    blocking = Blocking("readings", 2)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await blocking.run(hangs)
    for _ in range(3):
        with pytest.raises(LoadError, match="2 readings have not ended"):
            await blocking.run(hangs)
