"""What one worker hears reaches the others, once, and whoever hears the end of the line knows."""

import asyncio
import socket
import threading

import pytest

from predictor.events import RegistryAnswered, RegistryFailed
from predictor.news import News
from tests.predictor.parts import version


class Worker:
    """A worker's news, what it was told to do, and the supervisor's end of its line."""

    def __init__(self):
        self.supervisor, theirs = socket.socketpair()
        self.supervisor.setblocking(False)
        self.news = News(theirs)
        self.looked = asyncio.Event()
        self.ended = threading.Event()
        self.news.listen(self.looked.set, self.ended.set)

    def told(self):
        """What it has told the supervisor since the last look."""
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


async def test_a_change_is_told_once_and_ends_there(workers):
    """The other finds the same, and has nothing to add."""
    first, second = workers
    first.news.observe(RegistryAnswered(version(7), changed=True))
    line = first.told()
    assert line.endswith(b"\n")
    await second.hears(line)
    second.news.observe(RegistryAnswered(version(7), changed=True))
    assert second.told() == b""


async def test_who_finds_something_newer_tells_it(workers):
    """What came between the two looks must not wait for the next turn."""
    first, second = workers
    first.news.observe(RegistryAnswered(version(7), changed=True))
    await second.hears(first.told())
    second.news.observe(RegistryAnswered(version(8), changed=True))
    line = second.told()
    assert line
    await first.hears(line)
    first.news.observe(RegistryAnswered(version(8), changed=True))
    assert first.told() == b""


async def test_there_and_back_is_told_each_time(workers):
    """From 1 to 2 to 1; that none should serve is news as well."""
    first, _ = workers
    lines = []
    for aspired in (version(1), version(2), version(1), None):
        first.news.observe(RegistryAnswered(aspired, changed=True))
        lines.append(first.told())
    assert all(lines)
    assert lines[0] == lines[2]
    assert len(set(lines)) == 3


async def test_what_is_no_news_is_not_told(workers):
    """An answer like the one before, or none at all."""
    first, _ = workers
    first.news.observe(RegistryAnswered(version(7), changed=False))
    first.news.observe(RegistryFailed("unreachable", "r", None, first=True))
    assert first.told() == b""


async def test_the_end_of_the_supervisor_is_heard_and_telling_it_is_no_fault(workers):
    """Whatever the event loop does at that time."""
    first, _ = workers
    first.supervisor.close()
    await asyncio.to_thread(first.ended.wait)
    first.news.observe(RegistryAnswered(version(7), changed=True))
