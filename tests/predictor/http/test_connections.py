"""A connection that has ended leaves nothing behind, however it ended; and what it is owed, it gets."""

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import struct
import time
from collections import Counter

import pytest
import uvloop
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from predictor.http.connection import Connection
from tests.hostile import certificates
from tests.hostile.wire import post, request, split
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

pytestmark = pytest.mark.whole

BODY = json.dumps(GOOD).encode()
HEALTH = request(path="/health")
PLAIN = post(BODY)
BATCH = post(b'{"instances": [%b]}' % BODY, path="/predict/batch")
GARBAGE = b"\0\0"
TIMES = 3
# What a client has sent, and how many answers it reads before the connection ends.
STATES = {
    "nothing": (b"", 0),
    "half a head": (HEALTH[:20], 0),
    "half a body of the fast lane": (PLAIN[:-5], 0),
    "half a body of a batch": (post(BODY, path="/predict/batch")[:-5], 0),
    "a request that is being answered": (HEALTH, 0),
    "a plain one that is being answered": (PLAIN, 0),
    "an answer, to a large head": (request("GET", "/health", "A: " + "b" * 31_000), 1),
    "an answer of the fast lane": (PLAIN, 1),
    "a refused record": (post(b"{}"), 1),
    "a refused batch": (post(b"{}", path="/predict/batch"), 1),
    "a tensor": (post(b"{}", path="/v2/models/m/infer"), 1),
    "nothing there": (request(path="/nothing"), 1),
    "a method that is not taken": (request("DELETE"), 1),
    "a body declared too large": (request("POST", "/predict", "Content-Length: 2000000"), 1),
    "a body that was not asked for yet": (
        request("POST", "/predict", "Expect: 100-continue", "Content-Length: 2"), 0,
    ),
    "an offer to upgrade": (request("GET", "/health", "Connection: upgrade", "Upgrade: h2c"), 1),
    "requests ahead": (HEALTH * 40, 0),
    "requests ahead of the fast lane": (PLAIN * 40, 0),
    "answers that are not read": (request(path="/openapi.json") * 60, 0),
    "what is no request": (GARBAGE, 1),
    "what is no request, after one": (HEALTH + GARBAGE, 2),
    "events": (request(path="/events"), 0),
}  # fmt: skip


def reset(writer):
    """Leave without a word: what came is not read, and the other side hears of an error."""
    client = writer.get_extra_info("socket")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def leave(port, state, end, context):
    """One connection in this state, which ends so."""
    sent, answers = STATES[state]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(sent)
    raw = b""
    while len(split(raw)[0]) < answers:
        chunk = await asyncio.wait_for(reader.read(1 << 16), 20)
        assert chunk, f"closed after {raw[-300:]!r}"
        raw += chunk
    if not answers:
        await asyncio.sleep(0.01)
    if end == "close" or writer.is_closing():
        writer.close()
    elif end == "reset":
        reset(writer)
    else:  # the server's patience ends
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(reader.read(1 << 16), 20):
                pass
        writer.close()


def kept():
    """The connections and the requests that are in memory."""
    kinds = (Connection, RequestResponseCycle, Request)
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))


async def until_ended(server):
    for _ in range(2000):
        if not server.server_state.connections and not server.server_state.tasks:
            break
        await asyncio.sleep(0.01)
    assert not server.server_state.connections
    assert not server.server_state.tasks
    await asyncio.sleep(0.02)


async def what_is_left(folder, end, states, pair=None, **settings):
    """By state, what connections in it leave behind, with no garbage collector to help."""
    live = Live(folder, **settings)
    await live.serve(7, OURS)
    context = ssl.create_default_context(cafile=str(pair.certificate)) if pair else None
    config = {"ssl_certfile": pair.certificate, "ssl_keyfile": pair.key} if pair else {}
    left = {}
    async with listening(live.app, live.service, **config) as address:
        for state in states:
            await leave(address.port, state, end, context)  # what is made once is made
            await until_ended(address.server)
            gc.collect()
            gc.freeze()  # what there is now is not looked through each time
            each = [leave(address.port, state, end, context) for _ in range(TIMES)]
            await asyncio.gather(*each)
            await until_ended(address.server)
            if state == "events":  # a task group of anyio has a cycle of its own
                gc.collect()
            if found := kept():
                left[state] = dict(found)
    await live.reconciler.close()
    return left


@pytest.fixture
def no_collector():
    """What it froze stays frozen, as what `tests/conftest.py` froze must."""
    gc.disable()
    yield
    gc.enable()


# Both event loops: the one that serves, and the one where that is not to be had.
WAYS = pytest.mark.parametrize(
    ("run", "fast_lane"), [(uvloop.run, True), (uvloop.run, False), (asyncio.run, True)]
)


@WAYS
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.usefixtures("no_collector")
def test_a_lost_connection_leaves_nothing(tmp_path, run, end, fast_lane):
    """No timer, task or reference, in whatever state it was lost: not for 75 seconds, not at all."""
    assert run(what_is_left(tmp_path, end, STATES, fast_lane=fast_lane)) == {}


@WAYS
@pytest.mark.usefixtures("no_collector")
def test_a_connection_that_the_server_ends_leaves_nothing(tmp_path, run, fast_lane):
    """A head or a body that is late, an idle one, and one that is refused."""
    states = [
        "nothing", "half a head", "half a body of the fast lane", "half a body of a batch",
        "an answer, to a large head", "an answer of the fast lane", "what is no request, after one",
    ]  # fmt: skip
    patience = {"header_seconds": 0.1, "body_seconds": 0.1, "keep_alive_seconds": 1}
    left = what_is_left(tmp_path, "wait", states, fast_lane=fast_lane, **patience)
    assert run(left) == {}


@pytest.mark.parametrize("run", [uvloop.run, asyncio.run])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.usefixtures("no_collector")
def test_a_lost_connection_of_tls_leaves_nothing(tmp_path, run, end):
    """The same, encrypted."""
    pair = certificates.make(tmp_path)
    states = [state for state in STATES if state != "answers that are not read"]
    assert run(what_is_left(tmp_path, end, states, pair)) == {}


OWED = {
    "a good one": (HEALTH + GARBAGE, [200, 400]),
    "a plain one": (PLAIN + GARBAGE, [200, 400]),
    "a batch": (BATCH + GARBAGE, [200, 400]),
    "two": (HEALTH + PLAIN + GARBAGE, [200, 200, 400]),
    "many": (PLAIN * 10 + HEALTH * 10 + GARBAGE, [200] * 20 + [400]),
    "one of another kind of fault": (PLAIN + request().replace(b"Host", b"A"), [200, 400]),
    "half a body": (HEALTH + PLAIN[:-5], [200]),
    "two, and half a body": (PLAIN * 2 + PLAIN[:-5], [200, 200]),
    "half a head": (HEALTH + HEALTH[:20], [200]),
}  # fmt: skip

_OFTEN = {"a good one", "a plain one"}


@WAYS
@pytest.mark.parametrize("fin", [True, False])
def test_what_is_owed_is_answered_before_the_refusal(tmp_path, run, fast_lane, fin):
    """Good requests, then what is none, then the end, in one packet: every time, every answer."""

    async def all_of_it():
        live = Live(tmp_path, fast_lane=fast_lane, body_seconds=0.3, header_seconds=0.3)
        await live.serve(7, OURS)
        got = {state: [] for state in OWED}
        async with listening(live.app, live.service) as address:
            for state, (sent, _) in OWED.items():
                for _ in range(200 if fin and state in _OFTEN else 3):
                    got[state].append(await asyncio.to_thread(ask, address.port, sent))
        await live.reconciler.close()
        return got

    def ask(port, sent):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            client.sendall(sent)
            if fin:
                client.shutdown(socket.SHUT_WR)  # sends what is held back, and the end with it
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            raw = b""
            while chunk := client.recv(1 << 16):
                raw += chunk
        responses, rest = split(raw)
        assert not rest
        return [response.status for response in responses]

    for state, statuses in run(all_of_it()).items():
        expected = OWED[state][1]
        if not fin and state.endswith(("half a body", "half a head")):
            expected = [*expected, 408]
        assert Counter(map(tuple, statuses)) == {tuple(expected): len(statuses)}, state


# What a client sends before the event loop stalls, and during the stall.
STALLED = {
    "nothing": (b"", HEALTH),
    "nothing, then a plain request": (b"", PLAIN),
    "half a head": (HEALTH[:20], HEALTH[20:]),
    "half a body": (BATCH[:-5], BATCH[-5:]),
    "half a body of the fast lane": (PLAIN[:-5], PLAIN[-5:]),
    "a request": (HEALTH, HEALTH),
    "a plain request": (PLAIN, PLAIN),
}


@WAYS
@pytest.mark.parametrize("stops", [False, True], ids=["serves", "stops"])
def test_a_stall_of_the_server_loses_no_request(tmp_path, run, fast_lane, stops):
    """The server reads what arrived in time before a limit of time closes the connection."""

    async def statuses():
        limits = {"body_seconds": 0.5, "header_seconds": 0.5, "keep_alive_seconds": 1}
        live = Live(tmp_path, fast_lane=fast_lane, **limits)
        await live.serve(7, OURS)
        async with listening(live.app, live.service) as address:
            clients = {}
            for state, (before, _) in STALLED.items():
                clients[state] = socket.create_connection(("127.0.0.1", address.port), timeout=20)
                clients[state].sendall(before)
            await asyncio.sleep(0.05)
            if stops:
                address.stop()
                await asyncio.sleep(0.01)
            in_time = await stall(clients, address.server.server_state.connections)
            got = {
                state: await asyncio.to_thread(read_all, client)
                for state, client in clients.items()
            }
        await live.reconciler.close()
        return got if in_time else None

    async def stall(clients, connections):
        """Send, and block the loop past all limits, while it handles another socket.

        False if a limit ended before the stall: the machine was too busy for this test.
        """
        ours, others = socket.socketpair()
        loop = asyncio.get_running_loop()
        blocked = loop.create_future()

        def block():
            loop.remove_reader(ours)
            in_time = len(connections) == len(clients)
            for state, client in clients.items() if in_time else ():
                client.sendall(STALLED[state][1])
            time.sleep(1.2)
            blocked.set_result(in_time)

        with ours, others:
            loop.add_reader(ours, block)
            others.send(b"1")
            return await blocked

    def read_all(client):
        raw = b""
        with client, contextlib.suppress(ConnectionError):
            while chunk := client.recv(1 << 16):
                raw += chunk
        responses, _ = split(raw)
        return [response.status for response in responses]

    got = None
    while got is None:
        got = run(statuses())
    requests = {state: b"".join(sent).count(b"HTTP/1.1") for state, sent in STALLED.items()}
    assert got == {state: [200] * count for state, count in requests.items()}


HTTP_10 = HEALTH.replace(b"HTTP/1.1", b"HTTP/1.0")
REFUSED_BODY = request("POST", "/predict", "Content-Length: 2000000")


def replies(raw):
    """The status of each response, and whether there is nothing else."""
    responses, rest = split(raw)
    return [response.status for response in responses], rest


@WAYS
def test_a_client_that_sends_on_after_the_last_response_can_read_it(tmp_path, run, fast_lane):
    """A server that closes while there are unread bytes resets the connection, and destroys the response."""
    last = {
        "close": (request("GET", "/health", "Connection: close"), [200]),
        "HTTP/1.0": (HTTP_10, [200]),
        "garbage": (PLAIN + GARBAGE, [200, 400]),
        "a refused body": (REFUSED_BODY, [413]),
        "a body that is not awaited": (
            request("POST", "/nothing", "Content-Length: 2000000", "Expect: 100-continue"), [404],
        ),
    }  # fmt: skip

    async def ask(address, sent):
        reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
        writer.transport.pause_reading()
        for part in (sent, *[b"x" * 1000] * 5):
            writer.write(part)
            await asyncio.sleep(0.02)
        writer.transport.resume_reading()
        raw = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return replies(raw)

    async def all_of_them():
        live = Live(tmp_path, fast_lane=fast_lane, body_seconds=1)
        await live.serve(7, OURS)
        async with listening(live.app, live.service) as address:
            got = {name: await ask(address, sent) for name, (sent, _) in last.items()}
        await live.reconciler.close()
        return got

    assert run(all_of_them()) == {name: (statuses, b"") for name, (_, statuses) in last.items()}


@WAYS
def test_a_body_that_stalls_is_given_up_after_its_time_however_large(tmp_path, run, fast_lane):
    """A large one that stalled first is answered before a small one that stalled later."""
    large = post(json.dumps({"instances": [GOOD] * 5000}).encode(), path="/predict/batch")[:-5]

    async def order():
        live = Live(tmp_path, fast_lane=fast_lane, body_seconds=1)
        await live.serve(7, OURS)
        ended = []

        async def stall(address, name, sent):
            reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
            writer.write(sent)
            raw = await asyncio.wait_for(reader.read(), 20)
            ended.append((name, *replies(raw)))
            writer.close()

        async with listening(live.app, live.service) as address:
            first = asyncio.create_task(stall(address, "large", large))
            await asyncio.sleep(0.5)
            await stall(address, "small", PLAIN[:-5])
            await first
        await live.reconciler.close()
        return ended

    assert len(large) > 1 << 17
    assert run(order()) == [("large", [408], b""), ("small", [408], b"")]


@WAYS
def test_a_refused_request_whose_body_stalls_is_counted_once(tmp_path, run, fast_lane):
    """It has its response; a second one would belong to no request."""

    async def counted():
        live = Live(tmp_path, fast_lane=fast_lane, body_seconds=0.2)
        await live.serve(7, OURS)
        async with listening(live.app, live.service) as address:
            reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
            writer.write(REFUSED_BODY + b"{")
            raw = await asyncio.wait_for(reader.read(), 20)
            writer.close()
            await until_ended(address.server)
        await live.reconciler.close()
        samples = live.samples()
        names = [key for key in samples if key[0] == "predictor_requests_total"]
        return replies(raw), sorted(key[1:] for key in names if samples[key])

    assert run(counted()) == (([413], b""), [("413", "/predict")])


def test_a_client_of_tls_that_finishes_while_its_requests_wait_causes_no_warning(tmp_path, caplog):
    """Asyncio warns of connections that stay half open with TLS, where nothing can be half open."""
    pair = certificates.make(tmp_path)
    context = ssl.create_default_context(cafile=str(pair.certificate))

    async def ask():
        live = Live(tmp_path)
        await live.serve(7, OURS)
        config = {"ssl_certfile": pair.certificate, "ssl_keyfile": pair.key}
        async with listening(live.app, live.service, **config) as address:
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", address.port, ssl=context)
                writer.write(HEALTH * 2000)
                writer.close()
                await until_ended(address.server)
        await live.reconciler.close()

    asyncio.run(ask())
    assert "eof_received" not in caplog.text


def test_a_refusal_behind_an_offer_to_upgrade_keeps_its_status(tmp_path):
    """An ignored offer changes nothing for the requests behind it."""
    offer = request("GET", "/health", "Connection: upgrade", "Upgrade: h2c")
    refused = {
        405: request("CONNECT", "a:1"),
        414: request(path="/" + "a" * 9000),
        431: request("GET", "/health", *(f"A{n}: b" for n in range(120))),
    }

    async def statuses():
        live = Live(tmp_path)
        await live.serve(7, OURS)
        got = []
        async with listening(live.app, live.service) as address:
            for sent in refused.values():
                reader, writer = await asyncio.open_connection("127.0.0.1", address.port)
                writer.write(offer + sent)
                got.append(replies(await asyncio.wait_for(reader.read(), 20)))
                writer.close()
        await live.reconciler.close()
        return got

    assert asyncio.run(statuses()) == [([200, status], b"") for status in refused]
