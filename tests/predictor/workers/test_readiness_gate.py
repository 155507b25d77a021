"""A worker accepts connections when it serves, or when no version will serve."""

import asyncio

import pytest

from predictor.workers.worker import ReadinessGate
from tests.predictor.graphs import classifier
from tests.predictor.live import Live
from tests.predictor.parts import version


@pytest.fixture
def gate():
    return ReadinessGate()


@pytest.fixture
def live(tmp_path, gate):
    made = Live(tmp_path, observers=[gate.observe])
    made.source.graphs["7"] = (classifier(), None)
    return made


async def test_it_waits_for_the_load(live, gate):
    """And not for later work, such as saving the version."""
    live.source.says = version(7)
    live.source.held["7"] = asyncio.Event()
    live.source.slow_writes.append(asyncio.Event())
    over = asyncio.create_task(gate.wait(live.reconciler.settled))
    await live.reconciler.reconcile()
    await asyncio.sleep(0.05)
    assert not over.done()
    live.source.held["7"].set()
    await over
    assert live.reconciler.serving is not None
    assert live.source.written == []


@pytest.mark.parametrize("fault", ["none is named", "it cannot be loaded", "the registry is down"])
async def test_it_does_not_wait_if_no_version_will_serve(live, gate, fault):
    """Clients get 503 with the reason at once."""
    live.source.says = None if fault == "none is named" else version(7)
    live.source.broken = {"7": "gone"}
    live.source.down = fault == "the registry is down"
    over = asyncio.create_task(gate.wait(live.reconciler.settled))
    await asyncio.sleep(0)
    assert not over.done()
    await live.reconciler.reconcile()
    await over
    assert live.reconciler.serving is None
