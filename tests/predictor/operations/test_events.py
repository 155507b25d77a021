"""`GET /events` with a real client on a real socket."""

import asyncio
import contextlib
import json
import signal
import socket
from dataclasses import dataclass

import httpx
import pytest

from demo.processes import free_port, running, start_predictor
from predictor.events import LoadStarted, RegistryFailed
from tests.predictor.graphs import OURS, classifier
from tests.predictor.live import Live
from tests.predictor.parts import version
from tests.predictor.sockets import SECONDS, listening


@dataclass
class Told:
    id: str
    name: str
    payload: dict


class Reader:
    """One stream of events, read when a test wants the next."""

    def __init__(self, response):
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self):
        """The next lines up to a blank one."""
        found = []
        async with asyncio.timeout(SECONDS):
            async for line in self._lines:
                if not line:
                    return found
                found.append(line)
        raise EOFError

    async def next(self):
        """The next event, without heartbeats."""
        fields = {}
        while "event" not in fields:
            fields = dict(line.split(": ", 1) for line in await self.block() if line[0] != ":")
        return Told(fields["id"], fields["event"], json.loads(fields["data"]))

    async def until(self, name):
        """The next event of that name, and the names of those before it."""
        names = []
        while (told := await self.next()).name != name:
            names.append(told.name)
        return told, names


@pytest.fixture
async def live(tmp_path):
    made = Live(
        tmp_path, keep_alive_seconds=1, header_seconds=0.2, body_seconds=0.2, max_header_bytes=1024
    )
    yield made
    await made.reconciler.close()
    await made.client.aclose()


@pytest.fixture
async def service(live):
    """The service on a socket; gives a client of it."""
    async with listening(live.app, live.service) as server:
        address = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=address, timeout=SECONDS) as client:
            yield client
        live.journal.close()


@contextlib.asynccontextmanager
async def stream(client, last=None, query=""):
    headers = {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", f"/events{query}", headers=headers) as response:
        reader = Reader(response)
        if response.status_code == 200:
            assert await reader.block() == ["retry: 2000"]
        yield reader


async def test_the_state_comes_first_and_then_what_happens(live, service):
    """A promotion, a rollback, a failed load, no version, an outage of the registry and its end."""
    await live.serve(3, OURS)
    async with stream(service) as reader:
        state = await reader.next()
        assert state.name == "state"
        assert state.payload["serving"]["model_version"] == "3"
        model = (await service.get("/model")).json()
        assert state.payload["desired"] == model["desired"]
        assert set(state.payload) == {*model, "at"}
        assert "signature" not in state.payload["serving"]

        await live.serve(7, classifier())
        told, before = await reader.until("swapped")
        assert before == ["registry_answered", "load_started"]
        assert told.payload["reason"] == "promoted"
        assert told.payload["serving"]["digest"].startswith("sha256:")
        assert told.payload["previous"]["model_version"] == "3"

        await live.say(version(3))
        told, _ = await reader.until("swapped")
        assert told.payload["reason"] == "rolled_back"
        assert told.payload["serving"]["model_version"] == "3"

        live.source.broken["8"] = "the disk is on fire"
        await live.say(version(8))
        told, before = await reader.until("load_failed")
        assert before == ["registry_answered", "load_started"]
        assert (told.payload["stage"], told.payload["reason"]) == ("fetch", "the disk is on fire")
        assert told.payload["serving"]["model_version"] == "3"

        live.source.down = True
        await live.reconciler.reconcile()
        await live.reconciler.reconcile()
        assert (await reader.next()).name == "registry_unreachable"
        live.source.down = False
        await live.say(version(3))
        assert (await reader.next()).name == "registry_answered"

        await live.say(None)
        told, before = await reader.until("stopped_serving")
        assert before == ["registry_names_none"]
        assert told.payload["previous"]["model_version"] == "3"


async def test_a_client_that_reconnects_gets_the_missed_events(live, service):
    """By the id of its last event; no event twice, and no state in between."""
    await live.serve(1, OURS)
    async with stream(service) as reader:
        seen = (await reader.next()).id
    await live.serve(2, OURS)
    async with stream(service, seen) as reader:
        names = [(await reader.next()).name for _ in range(3)]
    assert names == ["registry_answered", "load_started", "swapped"]


@pytest.mark.parametrize("last", ["another-process", "deadbeef-1", "too-old"])
async def test_a_client_that_missed_too_much_gets_the_state_again(live, service, last):
    """So does a client with an id of another process."""
    if last == "too-old":
        last = live.journal.id_of(1)
        for number in range(20):
            live.journal.observe(live_event(number))
    async with stream(service, last) as reader:
        assert (await reader.next()).name == "state"


def live_event(number):
    return LoadStarted(version(number))


async def test_heartbeats_fill_silence_and_no_timeout_ends_the_stream(live, service):
    """Comments, which clients ignore; for longer than the timeouts of connections and bodies."""
    async with stream(service) as reader:
        await reader.next()
        beats = [await reader.block() for _ in range(8)]  # 1.6 s
        assert beats == [[": "]] * 8
        live.journal.observe(live_event(1))
        assert (await reader.next()).name == "load_started"


async def test_proxies_do_not_buffer_events(service):
    """No cache, and no buffer of a proxy."""
    async with stream(service) as reader:
        headers = reader.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"


async def test_the_number_of_streams_is_limited(live, service):
    """503 with `Retry-After`. A client that leaves makes room at once; the gauge has the number."""
    async with stream(service), stream(service):
        assert live.samples()[("predictor_event_streams",)] == 2
        async with stream(service) as refused:
            assert refused.response.status_code == 503
            assert refused.response.headers["retry-after"] == "1"
            assert refused.response.headers["content-type"] == "application/problem+json"
    while live.samples()[("predictor_event_streams",)]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    async with stream(service) as again:
        assert again.response.status_code == 200


async def test_a_client_that_reads_nothing_is_dropped(live, service):
    """The bytes that wait for it are limited by the connection's buffer; then it has the time limit of a body."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", service.base_url.port))
    client.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    told = RegistryFailed("unreachable", "x" * 2000, None, first=True)
    sent, gauge = 0, ("predictor_event_streams",)
    while not live.samples()[gauge]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    while live.samples()[gauge]:
        for _ in range(100):
            live.journal.observe(told)
            await asyncio.sleep(0)
        sent += 100
        assert sent < 100_000  # 200 MB
        await asyncio.sleep(0.01)
    client.close()


async def test_a_client_that_only_stops_sending_has_left(live, service):
    """The response has no end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.base_url.port))
    writer.write(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readuntil(b"retry: 2000")
    writer.write_eof()
    assert b"swapped" not in await asyncio.wait_for(reader.read(), SECONDS)
    while live.samples()[("predictor_event_streams",)]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    writer.close()


async def test_the_end_of_the_service_ends_a_stream(live, service):
    """Whole, so that a client knows that nothing was cut off."""
    async with stream(service) as reader:
        await reader.next()
        live.journal.close()
        with pytest.raises(EOFError):
            await reader.next()
    response = await service.get("/events")
    assert (response.status_code, response.json()["detail"]) == (
        503, "the service stops; ask another replica",
    )  # fmt: skip


async def test_a_stream_is_counted_from_its_start(live, service):
    """Its duration is that of its start."""
    async with stream(service) as reader:
        await reader.next()
        await reader.block()
        samples = live.samples()
        assert samples["predictor_requests_total", "200", "/events"] == 1
    while live.samples()[("predictor_event_streams",)]:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    samples = live.samples()
    assert samples["predictor_requests_total", "200", "/events"] == 1
    assert samples["predictor_request_duration_seconds_sum", "/events"] < 0.2


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_only_get_and_head(service, method):
    """Like all operators' routes."""
    response = await service.request(method, "/events")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.whole)])
def test_sigterm_ends_a_stream_at_once(tmp_path, workers):
    """Completely, long before the shutdown timeout. With several workers, each event has the worker's number."""
    settings = {
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "PREDICTOR_SHUTDOWN_SECONDS": "60",
        "PREDICTOR_WORKERS": str(workers),
    }
    with running(start_predictor(tmp_path, free_port(), settings)) as child:
        with httpx.stream("GET", f"{child.url}/events", timeout=SECONDS) as response:
            lines = response.iter_lines()
            data = next(line for line in lines if line.startswith("data: "))
            child.process.send_signal(signal.SIGTERM)
            rest = list(lines)  # raises where it was cut off
        assert child.process.wait(SECONDS) == 0
    state = json.loads(data.removeprefix("data: "))
    assert state["serving"] is None
    assert state.get("worker") in ({None} if workers == 1 else {0, 1})
    assert rest[0].startswith("id: ")


async def test_the_history_comes_before_the_state_if_it_is_asked_for(live, service):
    """As many events as are kept, then the state once, then what happens."""
    await live.serve(7, OURS)
    async with stream(service, query="?history=true") as reader:
        state, names = await reader.until("state")
        assert names == ["registry_answered", "load_started", "swapped"]
        assert state.payload["serving"]["model_version"] == "7"
        await live.say(None)
        _, names = await reader.until("stopped_serving")
        assert "state" not in names
    for number in range(20):
        await live.serve(number + 8, OURS)
    async with stream(service, query="?history=true") as reader:
        _, names = await reader.until("state")
        assert len(names) == 16
    async with stream(service, last=state.id, query="?history=true") as reader:
        _, names = await reader.until("state")  # they are no longer kept
        assert names == []


async def test_before_anything_happened_there_is_no_history(service):
    async with stream(service, query="?history=true") as reader:
        assert (await reader.next()).name == "state"
