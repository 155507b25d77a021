"""Looks at once, again when nudged, and never twice at the same time."""

import asyncio
import itertools
import time

import pytest
from structlog.contextvars import bound_contextvars, get_contextvars

from predictor.reconcile.poller import Turn, Watcher

LONG = 3600


class Looks:
    """A reconcile that counts its calls and ends when a test says so."""

    def __init__(self):
        self.started = 0
        self.said = []
        self.inside = 0
        self.most = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self):
        self.started += 1
        self.said.append(get_contextvars())
        self.inside += 1
        self.most = max(self.most, self.inside)
        await self.go_on.wait()
        self.inside -= 1

    async def reach(self, number):
        """Return once it was called this often; the test's own timeout is the limit."""
        while self.started < number or self.inside:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def looks():
    return Looks()


@pytest.fixture
async def watcher(looks):
    made = Watcher(looks, LONG)
    made.start()
    yield made
    made.stop()


async def test_the_first_look_is_immediate(watcher, looks):
    """A replica does not serve nothing for one interval."""
    await looks.reach(1)


async def test_a_look_is_not_about_the_request_that_nudged(watcher, looks):
    """Nor is any look after it: the log does not name a request that was answered long ago."""
    await looks.reach(1)
    with bound_contextvars(request_id="7"):
        watcher.nudge()
        await looks.reach(2)
    assert looks.said == [{}, {}]


async def test_a_nudge_looks_at_once(watcher, looks):
    """Without waiting for the interval."""
    await looks.reach(1)
    watcher.nudge()
    await looks.reach(2)


async def test_a_nudge_during_a_look_looks_once_more(looks):
    """What that look was told may be older than the news; many nudges are one look."""
    looks.go_on.clear()
    watcher = Watcher(looks, LONG)
    watcher.start()
    while not looks.inside:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    for _ in range(5):
        watcher.nudge()
    looks.go_on.set()
    await looks.reach(2)
    await asyncio.sleep(0.05)
    watcher.stop()
    assert (looks.started, looks.most) == (2, 1)


async def test_looks_never_overlap(looks):
    """However short the interval and however slow the registry."""
    watcher = Watcher(looks, 0.01)
    looks.go_on.clear()
    watcher.start()
    await asyncio.sleep(0.2)
    assert (looks.started, looks.most) == (1, 1)
    looks.go_on.set()
    await looks.reach(3)
    watcher.stop()
    assert looks.most == 1


async def test_a_look_that_fails_is_not_the_last():
    """A fault of ours must not end the watch."""
    calls = 0

    async def faulty():
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    watcher = Watcher(faulty, 0.01)
    watcher.start()
    while calls < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    watcher.stop()


async def test_stopping_ends_a_look_in_progress(looks):
    """The service does not wait for a registry that hangs."""
    watcher = Watcher(looks, LONG)
    looks.go_on.clear()
    watcher.start()
    while not looks.inside:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    watcher.stop()
    await asyncio.sleep(0.01)
    assert looks.started == 1


def turns(turn, seconds, count=6):
    """When it is this worker's turn, from a moment long after the turns began."""
    found = [turn.after(1_700_000_100.7, seconds)]
    while len(found) < count:
        found.append(turn.after(found[-1], seconds))
    return found


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_workers_take_turns(workers):
    """Together they ask as often as one would, and never in step."""
    since = 1_700_000_000.0
    found = sorted(
        moment for worker in range(workers) for moment in turns(Turn(worker, workers, since), 2)
    )
    gaps = {after - before for before, after in itertools.pairwise(found)}
    assert gaps == {2}


def test_services_do_not_ask_in_step():
    """A thousand replicas that started together have their turns at random moments."""
    moments = {turns(Turn(), 2, 1)[0] for _ in range(100)}
    assert len(moments) > 90


async def test_a_nudge_does_not_move_the_turns(watcher, looks):
    """Workers that are nudged together go on taking turns."""
    turn = watcher._timer.when()
    await looks.reach(1)
    watcher.nudge()
    await looks.reach(2)
    assert watcher._timer.when() == turn


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 2, 7.7])
def test_the_turn_after_a_turn_is_the_next_one(workers, seconds):
    """Also where floating point puts it a little before or after itself."""
    turn = Turn(workers - 1, workers, -1234.567)
    found = turns(turn, seconds, 1000)
    gaps = [after - before for before, after in itertools.pairwise(found)]
    assert gaps == pytest.approx([seconds * workers] * 999, abs=1e-6)


async def test_after_a_gap_there_is_one_look(looks):
    """However many turns the process slept through."""
    watcher = Watcher(looks, 0.02)
    watcher.start()
    await looks.reach(1)
    looks.go_on.clear()
    begun = looks.started
    time.sleep(0.5)  # noqa: ASYNC251  as a machine that is suspended
    await asyncio.sleep(0.005)
    assert looks.started <= begun + 1
    looks.go_on.set()
    watcher.stop()
