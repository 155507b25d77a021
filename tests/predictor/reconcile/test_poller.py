"""Polls at once, again on request, and never twice at the same time."""

import asyncio
import itertools
import time

import pytest
from structlog.contextvars import bound_contextvars, get_contextvars

from predictor.reconcile.poller import Poller, PollSchedule

LONG = 3600


class Polls:
    """A `reconcile` that counts its calls and ends when a test says so."""

    def __init__(self):
        self.started = 0
        self.contexts = []
        self.inside = 0
        self.max_inside = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self):
        self.started += 1
        self.contexts.append(get_contextvars())
        self.inside += 1
        self.max_inside = max(self.max_inside, self.inside)
        await self.go_on.wait()
        self.inside -= 1

    async def reach(self, number):
        """Return once it was called this often; the test's own timeout is the limit."""
        while self.started < number or self.inside:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture
async def polls():
    return Polls()


@pytest.fixture
async def poller(polls):
    made = Poller(polls, LONG)
    made.start()
    yield made
    made.stop()


async def test_the_first_poll_is_immediate(poller, polls):
    """Otherwise a replica would serve nothing for one interval."""
    await polls.reach(1)


async def test_a_poll_does_not_keep_the_context_of_its_request(poller, polls):
    """Nor does any later poll: log lines about the registry have no id of an old request."""
    await polls.reach(1)
    with bound_contextvars(request_id="7"):
        poller.poll_now()
        await polls.reach(2)
    assert polls.contexts == [{}, {}]


async def test_poll_now_polls_at_once(poller, polls):
    """Without waiting for the interval."""
    await polls.reach(1)
    poller.poll_now()
    await polls.reach(2)


@pytest.mark.parametrize("requests", [1, 5])
async def test_a_requested_poll_has_a_second_one(polls, requests):
    """A cache before the registry may have answered the first with what it was before the change."""
    changes = []
    poller = Poller(polls, LONG, expect_change=lambda: changes.append(polls.started))
    poller.start()
    await polls.reach(1)
    assert not changes
    for _ in range(requests):
        poller.poll_now()
    await polls.reach(3)
    await asyncio.sleep(0.05)
    poller.stop()
    assert polls.started == 3
    assert changes == [1] * requests + [2]


async def test_poll_now_during_a_poll_polls_once_more(polls):
    """The first answer may be older than the request; many requests are one poll."""
    polls.go_on.clear()
    poller = Poller(polls, LONG)
    poller.start()
    while not polls.inside:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    for _ in range(5):
        poller.poll_now()
    polls.go_on.set()
    await polls.reach(2)
    await asyncio.sleep(0.05)
    poller.stop()
    assert (polls.started, polls.max_inside) == (2, 1)


async def test_polls_never_overlap(polls):
    """However short the interval and however slow the registry."""
    poller = Poller(polls, 0.01)
    polls.go_on.clear()
    poller.start()
    await asyncio.sleep(0.2)
    assert (polls.started, polls.max_inside) == (1, 1)
    polls.go_on.set()
    await polls.reach(3)
    poller.stop()
    assert polls.max_inside == 1


async def test_a_poll_that_fails_is_not_the_last():
    """A bug must not end the polls."""
    calls = 0

    async def faulty():
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    poller = Poller(faulty, 0.01)
    poller.start()
    while calls < 3:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    poller.stop()


async def test_stopping_ends_a_poll_in_progress(polls):
    """The service does not wait for a registry that hangs."""
    poller = Poller(polls, LONG)
    polls.go_on.clear()
    poller.start()
    while not polls.inside:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    poller.stop()
    await asyncio.sleep(0.01)
    assert polls.started == 1


def moments_of(schedule, seconds, count=6):
    """When this worker polls, from a moment long after the schedule began."""
    found = [schedule.next_after(1_700_000_100.7, seconds)]
    while len(found) < count:
        found.append(schedule.next_after(found[-1], seconds))
    return found


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_workers_take_turns(workers):
    """Together they poll as often as one would, and never at the same moment."""
    since = 1_700_000_000.0
    found = sorted(
        moment
        for worker in range(workers)
        for moment in moments_of(PollSchedule(worker, workers, since), 2)
    )
    gaps = {after - before for before, after in itertools.pairwise(found)}
    assert gaps == {2}


def test_services_do_not_poll_in_step():
    """A thousand replicas that started together poll at random moments."""
    moments = {moments_of(PollSchedule(), 2, 1)[0] for _ in range(100)}
    assert len(moments) > 90


async def test_poll_now_does_not_move_the_schedule(poller, polls):
    """Workers that poll together on request go on taking turns."""
    due = poller._timer.when()
    await polls.reach(1)
    poller.poll_now()
    await polls.reach(2)
    assert poller._timer.when() == due


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 2, 7.7])
def test_the_poll_after_a_poll_is_the_next_one(workers, seconds):
    """Also where floating point puts it a little before or after itself."""
    schedule = PollSchedule(workers - 1, workers, -1234.567)
    found = moments_of(schedule, seconds, 1000)
    gaps = [after - before for before, after in itertools.pairwise(found)]
    assert gaps == pytest.approx([seconds * workers] * 999, abs=1e-6)


async def test_after_a_gap_there_is_one_poll(polls):
    """However many polls it missed."""
    poller = Poller(polls, 0.02)
    poller.start()
    await polls.reach(1)
    polls.go_on.clear()
    begun = polls.started
    time.sleep(0.5)  # noqa: ASYNC251  as a machine that is suspended
    await asyncio.sleep(0.005)
    assert polls.started <= begun + 1
    polls.go_on.set()
    poller.stop()
