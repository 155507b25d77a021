"""What one worker hears reaches the others, once, and whoever hears the end of the line knows."""

import asyncio
import socket
import threading

import pytest

from predictor.events import RegistryAnswered, RegistryFailed
from predictor.workers.worker import PollBroadcast
from tests.predictor.parts import version


class Worker:
    """A worker's broadcast, what it was told to do, and the supervisor's end of its line."""

    def __init__(self):
        self.supervisor, theirs = socket.socketpair()
        self.supervisor.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self.broadcast = PollBroadcast(theirs)
        self.looked = asyncio.Event()
        self.ended = threading.Event()
        self.broadcast.listen(self.looked.set, self.ended.set)

    async def tells(self):
        """The next line that it tells."""
        return await self._loop.sock_recv(self.supervisor, 65)

    async def has_told(self):
        """What it has told the supervisor by now, some time after it could."""
        await asyncio.sleep(0.15)
        try:
            return self.supervisor.recv(4096)
        except BlockingIOError:
            return b""

    async def hears(self, line):
        self.looked.clear()
        self.supervisor.send(line)
        await self.looked.wait()


@pytest.fixture
async def workers():
    made = [Worker(), Worker()]
    yield made
    for worker in made:
        worker.supervisor.close()
        await asyncio.to_thread(worker.ended.wait)


async def test_a_change_is_sent_once_and_not_sent_back(workers):
    """The other finds the same, and has nothing to add."""
    first, second = workers
    first.broadcast.observe(RegistryAnswered(version(7), changed=True))
    line = await first.tells()
    assert line.endswith(b"\n")
    await second.hears(line)
    second.broadcast.observe(RegistryAnswered(version(7), changed=True))
    assert await second.has_told() == b""


async def test_a_worker_with_a_newer_response_sends_it(workers):
    """What came between the two looks must not wait for the next turn."""
    first, second = workers
    first.broadcast.observe(RegistryAnswered(version(7), changed=True))
    await second.hears(await first.tells())
    second.broadcast.observe(RegistryAnswered(version(8), changed=True))
    await first.hears(await second.tells())
    first.broadcast.observe(RegistryAnswered(version(8), changed=True))
    assert await first.has_told() == b""


async def test_a_change_back_is_sent_too(workers):
    """From 1 to 2 to 1; that none should serve is news as well."""
    first, _ = workers
    lines = []
    for aspired in (version(1), version(2), version(1), None):
        first.broadcast.observe(RegistryAnswered(aspired, changed=True))
        lines.append(await first.tells())
    assert lines[0] == lines[2]
    assert len(set(lines)) == 3


async def test_a_registry_that_contradicts_itself_makes_no_storm(workers):
    """What changes again and again is told now and then, and at last as it is by then."""
    first, second = workers
    for number in range(1, 100):
        first.broadcast.observe(RegistryAnswered(version(number), changed=True))
        await asyncio.sleep(0)
    second.broadcast.observe(RegistryAnswered(version(99), changed=True))
    last = await second.tells()
    told = (await first.has_told()).splitlines(keepends=True)
    assert told[-1] == last
    assert len(told) < 50


async def test_an_unchanged_response_is_not_sent(workers):
    """An answer like the one before, or none at all."""
    first, _ = workers
    first.broadcast.observe(RegistryAnswered(version(7), changed=False))
    first.broadcast.observe(RegistryFailed("unreachable", "r", None, first=True))
    assert await first.has_told() == b""


async def test_the_end_of_the_supervisor_is_noticed_and_sending_to_it_does_not_fail(workers):
    """Whatever the event loop does at that time."""
    first, _ = workers
    first.supervisor.close()
    await asyncio.to_thread(first.ended.wait)
    first.broadcast.observe(RegistryAnswered(version(7), changed=True))
