"""A cache before the registry: its copies have an age, and a copy that is too old is no answer."""

import json
import re

import httpx
import pytest

from predictor.errors import RegistryUnreachable
from predictor.model_version import ModelUri
from predictor.registry.client import Reply
from predictor.registry.freshness import PollFreshness, max_age
from predictor.registry.versions import RegistryClient
from tests.predictor.parts import a_client, http, raw_server

DATE = "Sun, 29 Nov 2026 09:30:59 GMT"
FOUND = json.dumps({"model_version": {"name": "m", "version": "7"}}).encode()


class Moment:
    """A monotonic clock that a test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def moment():
    return Moment()


def reply(status=200, **fields):
    return Reply(status, b"{}", httpx.Headers({k.replace("_", "-"): v for k, v in fields.items()}))


@pytest.mark.parametrize(("poll_seconds", "seconds"), [(0.5, 10), (2, 10), (15, 45)])
def test_the_accepted_age_follows_the_interval(poll_seconds, seconds):
    """Three polls, and at least ten seconds."""
    assert max_age(poll_seconds) == seconds


@pytest.mark.parametrize("status", [200, 304, 400, 404])
def test_a_copy_that_is_too_old_counts_as_no_answer(moment, status):
    """Whatever it says: also "no such version", which would stop serving."""
    polls = PollFreshness(10, moment)
    polls.checked("url", reply(age="10"))
    with pytest.raises(RegistryUnreachable, match="a copy that is 11 s old; copies of up to 10 s"):
        polls.checked("url", reply(status, age="11"))


@pytest.mark.parametrize("age", ["", "-5", "1e9", "soon", "99.5", "٣", "²"])
def test_an_age_that_is_none_is_ignored(moment, age):
    """A header that a broken cache wrote is not a reason to stop."""
    fields = httpx.Headers([(b"age", age.encode())])
    assert PollFreshness(10, moment).checked("url", Reply(200, b"", fields)).status == 200


def test_a_date_that_stands_still_is_the_age_of_a_copy(moment):
    """Nginx sends no Age. Only its standing still counts, whatever clock wrote it."""
    polls = PollFreshness(10, moment)
    for _ in range(5):
        polls.checked("url", reply(date=DATE))
        moment.now += 2
    moment.now += 2
    with pytest.raises(RegistryUnreachable, match="12 s old"):
        polls.checked("url", reply(date=DATE))
    polls.checked("url", reply(date=DATE.replace("59", "58")))  # a clock that was set back


def test_servers_without_a_date_have_no_age(moment):
    """The header is optional."""
    polls = PollFreshness(10, moment)
    for _ in range(5):
        polls.checked("url", reply())
        moment.now += 100


async def test_a_poll_through_a_cache_that_lost_the_registry():
    """As the registry client reports it."""
    async with raw_server(http("200 OK", FOUND, "Age: 3600")) as address, a_client(address) as it:
        registry = RegistryClient(it, ModelUri.parse("models:/m/7"), max_age_seconds=10)
        with pytest.raises(RegistryUnreachable, match=f"^the registry at {address}.* 3600 s old"):
            await registry.aspired()


async def test_a_server_with_etags_sends_a_version_once():
    """`If-None-Match` with the last ETag; 304 is the same answer, and another ETag is another one."""
    heads, tag = [], '"one"'

    async def answer(head, writer):
        heads.append(head.decode())
        sent = re.search(r"if-none-match: (.*)\r\n", head.decode(), re.IGNORECASE)
        same = sent and sent[1] == tag
        status, body = ("304 Not Modified", b"") if same else ("200 OK", FOUND)
        writer.write(http(status, body, f"ETag: {tag}"))

    async with raw_server(answer) as address, a_client(address) as client:
        registry = RegistryClient(client, ModelUri.parse("models:/m/7"))
        for _ in range(3):
            assert (await registry.aspired()).version == "7"
        assert ["If-None-Match" in head for head in heads] == [False, True, True]
        tag = '"two"'
        assert (await registry.aspired()).version == "7"
        assert (await registry.aspired()).version == "7"
        assert '"two"' in heads[-1]


async def test_the_poll_after_a_change_passes_caches():
    """A webhook came, and a copy may be older than what it is about. One poll, or a fleet would overload the registry."""
    heads = []

    async def answer(head, writer):
        heads.append(head.decode())
        writer.write(http("200 OK", FOUND))

    async with raw_server(answer) as address, a_client(address) as client:
        registry = RegistryClient(client, ModelUri.parse("models:/m/7"))
        await registry.aspired()
        registry.expect_change()
        registry.expect_change()
        await registry.aspired()
        await registry.aspired()
    assert ["Cache-Control: no-cache" in head for head in heads] == [False, True, False]


async def test_a_change_during_a_poll_is_for_the_next_one():
    """That poll was sent before the change."""
    heads = []

    async def answer(head, writer):
        heads.append(head.decode())
        if len(heads) == 1:
            registry.expect_change()
        writer.write(http("200 OK", FOUND))

    async with raw_server(answer) as address, a_client(address) as client:
        registry = RegistryClient(client, ModelUri.parse("models:/m/7"))
        for _ in range(2):
            await registry.aspired()
    assert ["Cache-Control: no-cache" in head for head in heads] == [False, True]
