"""A changed response of the registry reaches the other workers once; the end of the supervisor is noticed."""

import asyncio
import socket
import threading

import pytest

from predictor.events import RegistryAnswered, RegistryFailed
from predictor.workers.worker import PollBroadcast
from tests.predictor.parts import version


class Worker:
    """A worker's broadcast, its calls, and the supervisor's end of its socket."""

    def __init__(self):
        self.supervisor, theirs = socket.socketpair()
        self.supervisor.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self.broadcast = PollBroadcast(theirs)
        self.looked = asyncio.Event()
        self.ended = threading.Event()
        self.broadcast.listen(self.looked.set, self.ended.set)

    async def tells(self):
        """The next line that it sends."""
        return await self._loop.sock_recv(self.supervisor, 65)

    async def has_told(self):
        """The lines that it has sent, after a while."""
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
    """The other worker gets the same response and sends nothing."""
    first, second = workers
    first.broadcast.observe(RegistryAnswered(version(7), changed=True))
    line = await first.tells()
    assert line.endswith(b"\n")
    await second.hears(line)
    second.broadcast.observe(RegistryAnswered(version(7), changed=True))
    assert await second.has_told() == b""


async def test_a_worker_with_a_newer_response_sends_it(workers):
    """Otherwise the change would wait for the next poll."""
    first, second = workers
    first.broadcast.observe(RegistryAnswered(version(7), changed=True))
    await second.hears(await first.tells())
    second.broadcast.observe(RegistryAnswered(version(8), changed=True))
    await first.hears(await second.tells())
    first.broadcast.observe(RegistryAnswered(version(8), changed=True))
    assert await first.has_told() == b""


async def test_a_change_back_is_sent_too(workers):
    """From 1 to 2 to 1, and to no version."""
    first, _ = workers
    lines = []
    for aspired in (version(1), version(2), version(1), None):
        first.broadcast.observe(RegistryAnswered(aspired, changed=True))
        lines.append(await first.tells())
    assert lines[0] == lines[2]
    assert len(set(lines)) == 3


async def test_frequent_changes_are_sent_with_pauses(workers):
    """Frequent changes are sent with pauses, and the last one is always sent."""
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
    """An unchanged response, or a failed poll."""
    first, _ = workers
    first.broadcast.observe(RegistryAnswered(version(7), changed=False))
    first.broadcast.observe(RegistryFailed("unreachable", "r", None, first=True))
    assert await first.has_told() == b""


async def test_the_end_of_the_supervisor_is_noticed_and_sending_to_it_does_not_fail(workers):
    """Even if the event loop is blocked."""
    first, _ = workers
    first.supervisor.close()
    await asyncio.to_thread(first.ended.wait)
    first.broadcast.observe(RegistryAnswered(version(7), changed=True))
