"""The fast lane keeps all promises of a connection, and answers as ASGI does."""

import asyncio
import json
import re
import socket
import threading
from collections import Counter

import pytest

from tests.hostile.wire import post, request
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.http.test_request_id import BROUGHT, NOT_BROUGHT
from tests.predictor.live import Live
from tests.predictor.parts import until, version
from tests.predictor.sockets import listening

BODY = json.dumps(GOOD).encode()
INFER = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 1.5]}]}
PLAIN = post(BODY)


class Gate:
    """A servable that takes too long for the loop, and answers when the test says so."""

    rows_on_loop = 0

    def __init__(self, servable):
        self._servable = servable
        self.reached = threading.Event()
        self.may_go_on = threading.Event()

    def __getattr__(self, name):
        return getattr(self._servable, name)

    def answer(self, rows):
        self.reached.set()
        assert self.may_go_on.wait(60)
        return self._servable.answer(rows)


class Lane:
    """A service with the fast lane open."""

    def __init__(self, live, address):
        self.live = live
        self.server = address.server
        self.stop = address.stop
        self.connect = address.connect
        self.by_asgi = address.asked

    async def gate(self):
        """Hold every answer from now on."""
        gate = Gate(self.live.reconciler.serving)
        self.live.reconciler._serving = gate
        return gate


@pytest.fixture
async def open_lane(tmp_path):
    """Opens it with these settings, and uvicorn's."""
    stack, made = [], []

    async def start(uvicorn=None, **settings):
        live = Live(tmp_path, **settings)
        await live.serve(7, OURS)
        made.append(live)
        door = listening(live.app, live.service, **(uvicorn or {}))
        stack.append(door)
        return Lane(live, await door.__aenter__())

    yield start
    for door in stack:
        await door.__aexit__(None, None, None)
    for live in made:
        await live.reconciler.close()


@pytest.fixture
async def lane(open_lane):
    return await open_lane()


@pytest.fixture
async def both(open_lane):
    """A connection by each way."""
    return [await Exchange.open(await open_lane(fast_lane=way)) for way in (True, False)]


class Exchange:
    """A connection of a client that looks at whole answers."""

    def __init__(self, lane, client):
        self._lane = lane
        self._client = client
        self.by_asgi = lane.by_asgi

    @classmethod
    async def open(cls, lane):
        return cls(lane, await lane.connect())

    async def again(self):
        """Another connection to the same."""
        return await self.open(self._lane)

    async def exchange(self, sent):
        """One answer as it came, but for what is another each time."""
        client = self._client
        await client.send(sent)
        while b"\r\n\r\n" not in client.raw or not client.raw.endswith(b"}"):
            client.raw += await asyncio.wait_for(client.reader.read(65536), 20)
        raw, client.raw = client.raw, b""
        return without_what_differs(raw)


def without_what_differs(raw):
    """An answer without its date, and without an id that was made for it."""
    raw = re.sub(rb"date: [^\r]+", b"date", raw)
    return re.sub(rb"x-request-id: (?!4bf92f35)[0-9a-f]{32}\r", b"x-request-id: made\r", raw)


async def reached(gate):
    assert await asyncio.to_thread(gate.reached.wait, 60)


async def counted(lane, code):
    """Wait until a request with this outcome is counted."""
    for _ in range(2000):
        if lane.live.samples().get(("predictor_requests_total", code, "/predict")):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(lane.live.samples())


async def test_a_plain_request_does_not_pass_through_asgi(lane):
    """Nor does the next one on the connection; what is not plain does, and so on in turn."""
    client = await lane.connect()
    for _ in range(3):
        assert (await client.ask(PLAIN)).status == 200
    assert lane.by_asgi == []
    assert (await client.ask(request(path="/health"))).status == 200
    assert (await client.ask(PLAIN)).status == 200
    assert lane.by_asgi == ["/health"]


@pytest.mark.parametrize(
    "sent",
    [
        post(BODY, "Content-Encoding: identity"),
        post(BODY, "Expect: 100-continue"),
        post(BODY, "Connection: close"),
        post(BODY, "Connection: keep-alive, x"),
        post(BODY, "Connection: Upgrade", "Upgrade: h2c"),
        post(BODY, "Upgrade: h2c"),
        post(BODY, "Proxy-Connection: close"),
        post(BODY, "Cookie: a", "Cookie: b"),
        post(BODY, "X-Long: " + "x" * 5000),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        request("POST", "/predict", "Transfer-Encoding: chunked")
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY),
        post(BODY, "Content-Type: text/plain").replace(b"Content-Type: application/json\r\n", b""),
        post(BODY).replace(b"/predict ", b"/predict/explain "),
        post(b'{"instances": [%b]}' % BODY, path="/predict/what-if"),
        post(BODY, path="/predict/batch?warnings=yes"),
        post(BODY, path="/v2/models/other/infer"),
        post(BODY, "Content-Type: text/plain", path="/invocations").replace(b"Content-Type: application/json\r\n", b""),
        post(b""),
    ],
)  # fmt: skip
async def test_what_is_not_plain_goes_to_the_stock_path(lane, sent):
    """Every time: also when the same head comes again."""
    for _ in range(2):
        client = await lane.connect()
        await client.send(sent)
        await client.answers()
        await client.close()
    assert len(lane.by_asgi) == 2


@pytest.mark.parametrize(
    "sent",
    [
        PLAIN,
        post(BODY, path="/predict?x=1"),
        post(BODY + b" " * 200_000),
        post(BODY, path="/predict/batch"),
        post(b'{"instances": [%b, %b]}' % (BODY, BODY), path="/predict/batch?warnings=true"),
        post(json.dumps(INFER).encode(), path="/v2/models/m/infer"),
        post(json.dumps(INFER).encode(), path="/v2/models/m/versions/7/infer"),
        post(json.dumps(INFER).encode(), path="/v2/models/%6D/versions/8/infer"),
        post(b'{"dataframe_records": [%b]}' % BODY, path="/invocations"),
        post(BODY, path="/invocations"),
        post(BODY, "Connection: Keep-Alive"),
        post(BODY, "X-Request-ID: 7", "Accept: */*", "User-Agent: x", "Cookie: a=b"),
        post(b" " + BODY),
        post(b"{"),
        post(b"{}"),
        post(b"[]"),
        post(b'{"mean_radius": 1e999}'),
        post(b'{"mean_radius": 1, "mean_radius": 1}'),
        post(json.dumps({**GOOD, "mean_radius": 3e38, "mean_texture": None}).encode()),
        post(b"\xff\xfe"),
        post(b"[" * 10_000),
    ],
)
async def test_the_answer_is_the_same_by_every_way(open_lane, sent):
    """Byte for byte, but for the date: the good ones, the faults, and that nothing serves."""
    said = []
    for way in (True, False):
        lane = await open_lane(fast_lane=way)
        client = await Exchange.open(lane)
        raw = []
        for _ in range(2):
            raw.append(await client.exchange(sent))
            await lane.live.say(None)
        said.append(raw)
        samples = lane.live.samples()
        said[-1].append({k: v for k, v in samples.items() if "requests_total" in k[0]})
        assert len(lane.by_asgi) == (0 if way else 2)
    assert said[0] == said[1]
    assert b" 503 " in said[0][1]


async def test_the_id_is_the_same_by_every_way(both):
    """What a request brings is in its answer, byte for byte; what is no id is replaced, by both."""
    for lines, expected in [*BROUGHT, *((each, "made") for each in NOT_BROUGHT)]:
        sent = post(BODY, *lines)
        fast, stock = [[await each.exchange(sent), await each.exchange(sent)] for each in both]
        assert fast == stock, lines
        assert fast[0] == fast[1]
        assert f"\r\nx-request-id: {expected}\r\n".encode() in fast[0], lines
    assert len(both[0].by_asgi) < len(both[1].by_asgi)


async def test_a_fault_of_ours_is_500_by_every_way(open_lane):
    """In the same bytes; the log has the traceback."""

    class Broken:
        model_version = version(7)

        def __getattr__(self, name):
            raise ZeroDivisionError("secret")

    said = []
    for way in (True, False):
        lane = await open_lane(fast_lane=way)
        lane.live.reconciler._serving = Broken()
        answer = await (await lane.connect()).ask(PLAIN)
        said.append((answer.status, answer.body, answer.headers.keys()))
    assert said[0] == said[1]
    assert said[0][0] == 500


async def test_a_body_in_parts_is_plain(lane):
    """Many clients send the head, and then the body; some are slow."""
    head, body = PLAIN.split(b"\r\n\r\n")
    client = await lane.connect()
    assert (await client.ask(head + b"\r\n\r\n", body)).status == 200
    assert (await client.ask(head + b"\r\n\r\n" + body[:9], body[9:20], body[20:])).status == 200
    assert (await client.ask(PLAIN)).status == 200
    assert lane.by_asgi == []
    assert (await client.ask(head[:30], head[30:] + b"\r\n\r\n" + body)).status == 200
    assert lane.by_asgi == ["/predict"]


async def test_half_a_head_is_not_taken_for_one(lane):
    """Cut within its length, it would be a head, too: of a request that nobody sent."""
    cut = PLAIN.index(b"Content-Length: ") + len(b"Content-Length: 4")
    assert PLAIN[cut - 1 :].startswith(b"41\r\n")
    client = await lane.connect()
    assert (await client.ask(PLAIN[:cut], PLAIN[cut:])).status == 200
    await client.send(PLAIN[:cut] + b"\r\n\r\n", b"nope")
    await client.send(PLAIN)
    assert [answer.status for answer in await client.answers(2)] == [400, 200]


async def test_a_body_that_does_not_come_is_408(open_lane):
    """As by the stock path, and counted as it is."""
    for way in (True, False):
        lane = await open_lane(fast_lane=way, body_seconds=0.2)
        client = await lane.connect()
        await client.send(PLAIN[:-5])
        (answer,) = await client.answers()
        assert answer.status == 408
        assert await client.closed()
        await counted(lane, "408")


@pytest.mark.parametrize("half", [False, True])
async def test_a_client_that_leaves_within_its_body_is_counted(open_lane, half):
    """The same by both ways."""
    for way in (True, False):
        lane = await open_lane(fast_lane=way)
        client = await lane.connect()
        await client.send(PLAIN[:-5])
        if half:
            client.writer.write_eof()
        else:
            await client.close()
        await counted(lane, "400")


async def test_an_idle_connection_ends(open_lane):
    """After the time that is set, counted from the last answer; one that asks goes on."""
    lane = await open_lane(uvicorn={"timeout_keep_alive": 0.6})
    client = await lane.connect()
    for _ in range(8):
        assert (await client.ask(PLAIN)).status == 200
        await asyncio.sleep(0.1)
    assert await client.closed()
    assert lane.by_asgi == []


async def test_an_answer_that_takes_longer_than_a_connection_may_idle_is_given(open_lane):
    """It is not idle meanwhile."""
    lane = await open_lane(uvicorn={"timeout_keep_alive": 0.1})
    client = await lane.connect()
    assert (await client.ask(PLAIN)).status == 200
    gate = await lane.gate()
    await client.send(PLAIN)
    await reached(gate)
    await asyncio.sleep(0.3)
    gate.may_go_on.set()
    assert [answer.status for answer in await client.answers()] == [200]


async def test_a_connection_without_a_request_ends(open_lane):
    """A first request has as long as any head."""
    lane = await open_lane(header_seconds=0.2)
    assert await (await lane.connect()).closed()


async def test_answers_come_in_the_order_of_the_requests(lane):
    """Whatever is sent ahead, in one packet or in several."""
    gate = await lane.gate()
    client = await lane.connect()
    await client.send(PLAIN)
    await reached(gate)
    await client.send(request(path="/health") + PLAIN, PLAIN, request(path="/nothing"))
    gate.may_go_on.set()
    assert [answer.status for answer in await client.answers(5)] == [200, 200, 200, 200, 404]
    assert lane.by_asgi == ["/health", "/predict", "/predict", "/nothing"]
    assert (await client.ask(PLAIN)).status == 200
    assert len(lane.by_asgi) == 4


async def test_two_requests_in_one_packet_are_answered(lane):
    """By the stock path, in order."""
    client = await lane.connect()
    await client.send(PLAIN + request(path="/health"))
    assert [json.loads(a.body).get("status") for a in await client.answers(2)] == [None, "ok"]


async def test_a_client_that_has_sent_its_last_is_answered(lane):
    """And then the connection ends."""
    gate = await lane.gate()
    client = await lane.connect()
    await client.send(PLAIN)
    await reached(gate)
    client.writer.write_eof()
    await asyncio.sleep(0.05)
    gate.may_go_on.set()
    assert [answer.status for answer in await client.answers()] == [200]
    assert await client.closed()


async def test_a_client_that_disconnects_does_not_affect_others(lane):
    """Its answer goes nowhere; the others get theirs."""
    gate = await lane.gate()
    gone, here = await lane.connect(), await lane.connect()
    await gone.send(PLAIN)
    await here.send(PLAIN)
    await reached(gate)
    gone.writer.transport.abort()
    await asyncio.sleep(0.05)
    gate.may_go_on.set()
    assert [answer.status for answer in await here.answers()] == [200]


async def test_a_stop_answers_what_is_under_way(lane):
    """Says that it is the last, and ends the connection; an idle one just ends."""
    idle, client, ahead = [await lane.connect() for _ in range(3)]
    assert (await idle.ask(PLAIN)).status == 200
    gate = await lane.gate()
    await client.send(PLAIN)
    await ahead.send(PLAIN)
    await reached(gate)
    await ahead.send(PLAIN)
    lane.stop()
    assert await idle.closed()
    gate.may_go_on.set()
    (answer,) = await client.answers()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await client.closed()
    first, last = await ahead.answers(2)
    assert (first.status, last.status) == (200, 200)
    assert ("connection" in first.headers, last.headers["connection"]) == (False, "close")


async def test_a_request_that_comes_while_stopping_is_answered(lane):
    """It was on its way already."""
    client = await lane.connect()
    assert (await client.ask(PLAIN)).status == 200
    lane.stop()
    await asyncio.sleep(0.15)
    answer = await client.ask(PLAIN)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_body_that_is_half_here_when_a_stop_comes_is_waited_for(lane):
    """And answered."""
    client = await lane.connect()
    await client.send(PLAIN[:-5])
    lane.stop()
    await asyncio.sleep(0.15)
    answer = await client.ask(PLAIN[-5:])
    assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_client_that_does_not_read_is_not_written_to(lane):
    """Its requests wait for it by the stock path."""
    client = await lane.connect()
    assert (await client.ask(PLAIN)).status == 200
    (connection,) = lane.server.server_state.connections
    connection.pause_writing()
    await client.send(PLAIN)
    assert lane.by_asgi == ["/predict"]
    assert client.raw == b""
    connection.resume_writing()
    assert [answer.status for answer in await client.answers()] == [200]


async def test_a_response_that_fills_the_buffer_is_the_last_one_before_the_client_reads(lane):
    """Else each further request would add a response to the memory."""
    client = await lane.connect()
    client.writer.transport.pause_reading()
    batch = post(json.dumps({"instances": [GOOD] * 300}).encode(), path="/predict/batch")
    await client.send(batch)
    (connection,) = lane.server.server_state.connections
    # The kernel would keep megabytes for the client.
    sender = connection.transport.get_extra_info("socket")
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    state, sent = lane.server.server_state, 1
    while not connection.flow.write_paused:
        await until(lambda sent=sent: state.total_requests == sent)
        await client.send(batch)
        sent += 1
    for _ in range(3):
        await client.send(batch)
    assert lane.by_asgi == ["/predict/batch"]
    assert state.total_requests <= sent
    client.writer.transport.resume_reading()
    assert [answer.status for answer in await client.answers(sent + 3)] == [200] * (sent + 3)


async def test_a_slow_model_leaves_the_loop_to_others(lane):
    """Its rows are computed in a thread; `/health` and other routes are answered meanwhile."""
    gate = await lane.gate()
    slow, other = await lane.connect(), await lane.connect()
    await slow.send(PLAIN)
    await reached(gate)
    for path in ("/health", "/metrics", "/model"):
        assert (await other.ask(request(path=path))).status == 200
    gate.may_go_on.set()
    assert [answer.status for answer in await slow.answers()] == [200]
    assert "/predict" not in lane.by_asgi


async def test_every_answer_is_counted(lane):
    """As uvicorn counts, and as ops do; each has the server's own headers."""
    client = await lane.connect()
    for _ in range(5):
        assert (await client.ask(PLAIN)).headers["date"]
    assert (await client.ask(post(b"{"))).status == 400
    assert lane.server.server_state.total_requests == 6
    samples = lane.live.samples()
    assert samples["predictor_requests_total", "200", "/predict"] == 5
    assert samples["predictor_requests_total", "400", "/predict"] == 1
    assert samples["predictor_request_duration_seconds_count", "/predict"] == 6


async def test_a_full_queue_is_503(open_lane):
    """Which takes little time: the request does not pass through ASGI."""
    lane = await open_lane(max_queued_rows=1)
    gate = await lane.gate()
    clients = [await lane.connect() for _ in range(40)]  # more than there are threads
    for client in clients:
        await client.send(PLAIN)
    await reached(gate)
    gate.may_go_on.set()
    statuses = Counter([(await client.answers())[0].status for client in clients])
    assert statuses.keys() == {200, 503}
    assert lane.by_asgi == []


async def test_heads_that_never_come_again_take_no_memory(lane):
    """What is remembered of them is bounded, and they are answered all the same."""
    client = await lane.connect()
    for number in range(600):
        client.writer.write(post(BODY, f"X-Number: {number}"))
        assert [answer.status for answer in await client.answers()] == [200]
    assert 0 < len(lane.live.service.lane.heads) <= 512
    assert lane.by_asgi == []


async def test_an_id_is_no_part_of_what_is_remembered(lane):
    """However many there are, the head is the same; each request has its own in its answer."""
    client = await lane.connect()
    for number in range(20):
        trace = f"traceparent: 00-{number + 1:032x}-00f067aa0ba902b7-01"
        lines = [f"X-Request-ID: {number}", trace, f"tracestate: a={number}"]
        for some in (lines, lines[1:], lines[::-1], [lines[0]], []):
            answer = await client.ask(post(BODY, *some))
            name = answer.headers["x-request-id"]
            assert name == (f"{number}" if lines[0] in some else name)
            assert name == (f"{number + 1:032x}" if some == lines[1:] else name)
    assert len(lane.live.service.lane.heads) == 1
    assert lane.by_asgi == []


async def test_a_head_that_is_odd_around_its_id_goes_to_the_stock_path(both):
    """What is cut out of a head must leave one that means the same: a line that goes on does not."""
    odd = [
        ["X-Request-ID: 7", " 8"],
        ["X-Request-ID: 7\n"],
        ["A: b\nX-Request-ID: 7"],
        ["X-Request-ID : 7"],
        ["X-Request-ID: 7"] * 4,
        ["X-Request-ID: 7", *(f"A{n}: b" for n in range(96))],
        ["X-Request-ID: 7", *(f"A{n}: b" for n in range(97))],
    ]
    for lines in odd:
        fast, stock = [await (await each.again()).exchange(post(BODY, *lines)) for each in both]
        assert fast == stock, lines
    assert len(both[0].by_asgi) == len(both[1].by_asgi) > 0


async def test_the_largest_head_is_the_same_by_every_way(open_lane):
    """The lane takes none that the stock path refuses, with its ids or without."""
    both = [await open_lane(fast_lane=way, max_header_bytes=1024) for way in (True, False)]
    for size in range(700, 1000, 20):
        sent = post(BODY, f"A: {'b' * size}", "X-Request-ID: 7")
        fast, stock = [await (await Exchange.open(each)).exchange(sent) for each in both]
        assert fast == stock, size
    assert 0 < len(both[0].by_asgi) < len(both[1].by_asgi)


async def test_many_clients_at_once_get_their_own_answers(lane):
    """Coalesced, and by both ways."""
    expected = {}
    client = await lane.connect()
    values = range(1, 30)
    for value in values:
        body = json.dumps({**GOOD, "mean_radius": value}).encode()
        expected[value] = (await client.ask(post(body))).json()
    clients = {value: await lane.connect() for value in values}
    for value, each in clients.items():
        body = json.dumps({**GOOD, "mean_radius": value}).encode()
        each.writer.write(post(body, *(["Expect: x"] if value % 3 == 0 else [])))
    for value, each in clients.items():
        (answer,) = await each.answers()
        assert answer.json()["prediction"] == expected[value]["prediction"]
        assert answer.json()["probability"] == pytest.approx(expected[value]["probability"])
