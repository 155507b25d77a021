"""Replicas on a real nats-server: polls at once, statuses, and what a lost server costs."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable

import pytest
import structlog

from demo.processes import free_port
from predictor.errors import FleetError
from predictor.events import RegistryAnswered
from predictor.model_version import ModelVersion
from tests.fleet.accounts import configured, credentials
from tests.hostile.certificates import make
from tests.nats_server import nats_server

pytest.importorskip("nats", reason="nats-py is not installed; `make environments` installs it")

from fleet.client import BUCKET
from predictor.fleet.connection import Fleet
from predictor.fleet.status import ReplicaStatus

URI = "models:/m/Production"
FAR = 30  # seconds; only a hang reaches it


class Replica:
    """A fleet's member, and the times of its polls."""

    def __init__(self, url, name="a:1", *, uri=URI, credentials=None) -> None:
        self.polls: list[float] = []
        self.reported: list[bool] = []
        self.fleet = Fleet(
            url, credentials, ReplicaStatus(name, uri),
            lambda: self.polls.append(time.monotonic()), self.reported.append,
        )  # fmt: skip


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + FAR
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def connected(*replicas: Replica):
    async with contextlib.AsyncExitStack() as stack:
        for each in replicas:
            await stack.enter_async_context(each.fleet.connected())
        await until(lambda: all(each.fleet._client for each in replicas))
        yield


@pytest.fixture
def server(tmp_path):
    with nats_server(tmp_path) as running:
        yield running


@pytest.fixture
def logged():
    """The lines of the log."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def events(lines: list[dict]) -> set[str]:
    return {line["event"] for line in lines}


async def test_one_replicas_news_reach_all_others_of_the_model(server):
    """It polls itself without a message; another model's replicas do not poll."""
    first, second, third = (Replica(server.url, f"{name}:1") for name in "abc")
    other = Replica(server.url, "d:1", uri="models:/other/Production")
    async with connected(first, second, third, other):
        first.fleet.poll_everywhere()
        assert len(first.polls) == 1
        await until(lambda: second.polls and third.polls)
        await asyncio.sleep(0.1)
    assert [len(each.polls) for each in (first, second, third, other)] == [1, 1, 1, 0]


async def test_many_messages_are_few_polls(server):
    """A sender of messages can cause five polls a second at most, and their content is not read."""
    import nats

    replica = Replica(server.url)
    async with connected(replica):
        sender = await nats.connect(server.url)
        for _ in range(2000):
            await sender.publish("hotswap.look.m", b"serve version 9 " * 100)
        await sender.flush()
        await until(lambda: len(replica.polls) >= 2)
        await sender.close()
    gaps = [after - before for before, after in zip(replica.polls, replica.polls[1:], strict=False)]
    assert all(gap > 0.15 for gap in gaps)


async def test_a_server_that_is_away_changes_nothing_and_may_come_back(tmp_path, logged):
    """At the start, and later: the service polls on schedule meanwhile, and the connection returns."""
    with nats_server(tmp_path, running=False) as server:
        first, second = Replica(server.url, "a:1"), Replica(server.url, "b:1")
        async with first.fleet.connected(), second.fleet.connected():
            first.fleet.poll_everywhere()
            assert len(first.polls) == 1
            for times in (1, 2):
                server.start()
                await until(lambda: first.fleet._client and second.fleet._client)
                first.fleet.poll_everywhere()
                await until(lambda: len(second.polls) == times)  # noqa: B023
                server.stop()
                await until(lambda: not first.fleet._client and not second.fleet._client)
                first.fleet.poll_everywhere()
    assert events(logged) == {"fleet_connected", "fleet_not_connected"}
    changes = [new for old, new in itertools.pairwise(first.reported) if new != old]
    assert (first.reported[0], changes) == (False, [True, False, True, False])


async def test_the_status_is_in_the_bucket_and_follows_changes(server):
    """Under a key of the replica's own, which expires unless it is written again."""
    import nats

    replica = Replica(server.url, "pod-a:8000")
    async with connected(replica):
        client = await nats.connect(server.url)
        bucket = None

        async def serves() -> object:
            with contextlib.suppress(Exception):
                entry = await bucket.get("models=3A=2Fm=2FProduction.pod-a=3A8000")
                return json.loads(entry.value)["desired"]

        deadline = time.monotonic() + FAR
        while bucket is None:
            assert time.monotonic() < deadline
            with contextlib.suppress(nats.js.errors.NotFoundError):
                bucket = await client.jetstream().key_value(BUCKET)
        assert (await bucket.status()).ttl == 60
        version = ModelVersion("m", "4", "models:/m/4", 0)
        replica.fleet.observe(RegistryAnswered(version, changed=True))
        while await serves() != "4":
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await client.close()


async def test_without_jetstream_messages_still_cause_polls(tmp_path, logged):
    """Only the statuses are missing, and one line of the log says so."""
    with nats_server(tmp_path, jetstream=False) as server:
        first, second = Replica(server.url, "a:1"), Replica(server.url, "b:1")
        async with connected(first, second):
            first.fleet.poll_everywhere()
            await until(lambda: second.polls)
            await until(lambda: "fleet_status_not_written" in events(logged))


async def test_credentials_are_read_again_for_each_connection(tmp_path, logged):
    """A wrong password is refused and reported; the repaired file is used without a restart."""
    file = tmp_path / "credentials"
    file.write_text("hotswap:wrong\n")
    with nats_server(tmp_path, "--user", "hotswap", "--pass", "right") as server:
        replica = Replica(server.url, credentials=file)
        async with replica.fleet.connected():
            await until(lambda: "fleet_not_connected" in events(logged))
            assert "Authorization Violation" in logged[0]["reason"]
            file.write_text("hotswap:right\n")
            await until(lambda: replica.fleet._client)


async def test_a_token_signs_in(tmp_path):
    """A file without a colon."""
    file = tmp_path / "token"
    file.write_text("a-token\n")
    with nats_server(tmp_path, "--auth", "a-token") as server:
        async with connected(Replica(server.url, credentials=file)):
            pass


async def test_a_creds_file_signs_in_with_a_jwt(tmp_path, logged):
    """At a server with an operator, which takes nothing else: messages arrive, and the status is written."""
    file, creds = tmp_path / "token", tmp_path / "user.creds"
    file.write_text("a-token\n")
    config, account = configured(tmp_path)
    creds.write_text(credentials(account))
    with nats_server(tmp_path, "--config", str(config)) as server:
        first, second = (Replica(server.url, f"{name}:1", credentials=creds) for name in "ab")
        other = Replica(server.url, "c:1", credentials=file)
        async with other.fleet.connected(), connected(first, second):
            first.fleet.poll_everywhere()
            await until(lambda: second.polls)
            await until(lambda: "fleet_not_connected" in events(logged))
            await asyncio.sleep(0.5)
    assert not other.polls
    assert "fleet_status_not_written" not in events(logged)


async def test_credentials_never_go_to_a_server_without_tls(tmp_path, logged):
    """If the URL asks for TLS, also if somebody in between removes the server's offer of it."""
    file = tmp_path / "credentials"
    file.write_text("hotswap:secret\n")
    received = []

    async def server(reader, writer):
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576}\r\n')
        received.append(await reader.read(4096))
        writer.close()

    port = free_port()
    async with await asyncio.start_server(server, "127.0.0.1", port):
        replica = Replica(f"tls://127.0.0.1:{port}", credentials=file)
        async with replica.fleet.connected():
            await until(lambda: received)
    assert received[0] == b""
    assert "does not offer TLS" in logged[0]["reason"]


async def test_tls_with_a_trusted_authority(tmp_path, monkeypatch):
    """SSL_CERT_FILE names it, as for every other connection."""
    pair = make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
    options = ["--tls", "--tlscert", str(pair.certificate), "--tlskey", str(pair.key)]
    with nats_server(tmp_path, *options) as server:
        async with connected(Replica(f"tls://127.0.0.1:{server.port}")):
            pass


async def test_the_statuses_of_the_models_replicas_are_read(server):
    """Sorted by name; those of another model, and bytes that are no status, are left out."""
    import nats

    first, second = Replica(server.url, "b:1"), Replica(server.url, "a:1")
    other = Replica(server.url, "c:1", uri="models:/other/Production")
    three = ModelVersion("m", "3", "", 0)
    async with connected(first, second, other):
        second.fleet.observe(RegistryAnswered(three, changed=True))
        sender = await nats.connect(server.url)
        bucket = await sender.jetstream().key_value(BUCKET)
        prefix = first.fleet._key.partition(".")[0]
        await bucket.put(f"{prefix}.broken", b"[1")
        await sender.close()

        async def found():
            statuses, more = await first.fleet.replicas()
            assert not more
            return [(each["replica"], each["desired"]) for each in statuses]

        deadline = time.monotonic() + FAR
        while await found() != [("a:1", "3"), ("b:1", None)]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_without_a_connection_the_statuses_cannot_be_read(tmp_path):
    with nats_server(tmp_path, running=False) as server:
        replica = Replica(server.url)
        async with replica.fleet.connected():
            with pytest.raises(FleetError, match="there is no connection"):
                await replica.fleet.replicas()
