"""HEAD wherever GET answers: the same status and header fields, and no body."""

import asyncio
import json

import pytest

from predictor.keys import line_of
from tests.hostile.wire import request, split
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

UNDOCUMENTED = ["/", "/docs", "/openapi.json", "/web/page.css", "/web/docs/swagger-ui-bundle.js"]
DIFFER = {"date", "x-request-id"}
# Whose bodies say something that is another each time, and may be of another length.
CHANGING = {"/model", "/metrics"}


@pytest.fixture
async def address(tmp_path):
    live = Live(tmp_path)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as listens:
        listens.live = live
        yield listens
    await live.reconciler.close()


async def documented(client):
    """Every path with a GET, of the model and the version that serve."""
    answer = await client.ask(request(path="/openapi.json"))
    paths = json.loads(answer.body)["paths"]
    assert not any("head" in operations for operations in paths.values())
    return [
        path.replace("{model}", "m").replace("{version}", "7")
        for path, operations in paths.items()
        if "get" in operations
    ]


async def head_of(client, path, *headers):
    """The status and the fields of an answer to HEAD; the next answer shows that no body followed."""
    await client.send(request("HEAD", path, *headers))
    while b"\r\n\r\n" not in client.raw:
        client.raw += await asyncio.wait_for(client.reader.read(1 << 16), 20)
    head, _, client.raw = client.raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert (await client.ask(request())).status == 200
    fields = [line.partition(": ") for line in lines]
    return int(first.split()[1]), {name: value for name, _, value in fields}


async def test_head_is_get_without_a_body(address):
    """Of every route, also unknown ones and ones that say 503; and the connection goes on."""
    client = await address.connect()
    paths = [path for path in await documented(client) if path != "/events"]
    assert {"/health", "/ready", "/ping", "/version", "/metrics", "/model", "/v2"} <= set(paths)
    paths += [*UNDOCUMENTED, "/nothing", "/v2/models/other", "/web/other"]
    statuses = set()
    for serving in (True, False):
        for path in paths:
            got = await client.ask(request(path=path))
            status, fields = await head_of(client, path)
            statuses.add(status)
            ignored = DIFFER | ({"content-length"} if path in CHANGING else set())
            assert status == got.status, path
            assert {k: v for k, v in fields.items() if k not in ignored} == {
                k: v for k, v in got.headers.items() if k not in ignored
            }, path
            assert fields["content-length"], path
        if serving:
            await address.live.say(None)
    assert {200, 404, 503} <= statuses


async def test_a_stream_ends_with_its_head(address):
    """HEAD of the events is no stream without end, and takes no place among the readers."""
    client = await address.connect()
    for _ in range(5):  # two may read at a time
        status, fields = await head_of(client, "/events")
        assert (status, fields["content-type"]) == (200, "text/event-stream; charset=utf-8")


async def test_what_a_client_has_is_not_sent_again(address):
    """The fields of a condition count as they do for GET."""
    client = await address.connect()
    _, fields = await head_of(client, "/openapi.json")
    status, _ = await head_of(client, "/openapi.json", f"If-None-Match: {fields['etag']}")
    assert status == 304


async def test_the_methods_that_a_route_takes(address):
    """Allow names HEAD where it names GET; where GET is not taken, HEAD is not."""
    client = await address.connect()
    for path, allowed in (("/health", "GET, HEAD"), ("/predict", "POST"), ("/", "GET, HEAD")):
        answer = await client.ask(request("DELETE", path))
        assert (answer.status, answer.headers["allow"]) == (405, allowed)
        assert allowed in json.loads(answer.body)["detail"]
    status, fields = await head_of(client, "/predict")
    assert (status, fields["allow"]) == (405, "POST")


async def test_it_is_counted_as_its_route(address):
    """Under the route's own name."""
    client = await address.connect()
    for _ in range(3):
        assert (await head_of(client, "/ready"))[0] == 200
    assert address.live.samples()["predictor_requests_total", "200", "/ready"] == 3


async def test_the_keys_are_those_of_get(tmp_path):
    """Neither more open nor less."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("ops", "k3y"))
    live = Live(tmp_path, api_keys_file=keys, operations_keys_file=keys)
    async with listening(live.app, live.service) as listens:
        client = await listens.connect()
        for path in ("/metrics", "/model", "/events", "/v2", "/v2/models/m"):
            assert (await head_of(client, path))[0] == 401
        for path in ("/metrics", "/model", "/events", "/v2"):
            assert (await head_of(client, path, "X-API-Key: k3y"))[0] == 200
        assert (await head_of(client, "/health"))[0] == 200
    await live.reconciler.close()


def test_the_reader_of_this_test_would_see_a_body():
    """What follows a head is read as an answer, and fails where it is none."""
    with pytest.raises((ValueError, AssertionError)):
        split(b'{"status":"ok"}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
