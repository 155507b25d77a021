"""Which keys each route needs, over ASGI and the fast lane, while keys are added, changed and removed."""

import json
import os

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from predictor import logs
from predictor.access import Access, needs
from predictor.errors import SettingsError
from predictor.events import KeysNotRead, KeysRead
from predictor.keys import line_of
from tests.hostile.wire import post
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

API, OPERATIONS = "key-of-ward-1", "key-of-prometheus"
BODY = json.dumps(GOOD).encode()


@pytest.fixture
def files(tmp_path):
    """Two files of keys, as settings."""
    made = {"api_keys_file": tmp_path / "api", "operations_keys_file": tmp_path / "operations"}
    made["api_keys_file"].write_text(line_of("ward-1", API))
    made["operations_keys_file"].write_text(line_of("prometheus", OPERATIONS))
    return made


@pytest.fixture
async def guarded(tmp_path, files):
    made = Live(tmp_path, **files)
    await made.serve(7, OURS)
    yield made
    await made.close()


@pytest.fixture
async def on_the_wire(tmp_path, files):
    """A service with the fast lane, and its address."""
    live = Live(tmp_path, **files)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:
        yield live, address
    await live.reconciler.close()


def plain(key):
    """A request that the fast lane handles."""
    return post(BODY, f"Authorization: Bearer {key}")


async def test_each_key_is_authorised_for_its_own_routes(guarded):
    """In either header. The other kind of key, a wrong one and no key get 401 with advice."""
    asked = [
        ("POST", "/predict", API),
        ("POST", "/predict/batch", API),
        ("POST", "/predict/what-if", API),
    ]
    asked += [("GET", path, OPERATIONS) for path in ("/metrics", "/model", "/ops/overview")]
    several = {"instances": [GOOD]}
    bodies = {"/predict": GOOD, "/predict/batch": several, "/predict/what-if": several}
    for method, path, key in asked:
        body = json.dumps(bodies.get(path, {}))
        for headers in (bearer(key), {"X-API-Key": key}, {"authorization": f"bearer  {key} "}):
            answer = await guarded.client.request(method, path, content=body, headers=headers)
            assert answer.status_code == 200, path
        other = OPERATIONS if key == API else API
        for headers in (
            {}, bearer(other), bearer(key + "x"), bearer(key[:-1]), bearer(""), {"X-API-Key": ""},
            {"Authorization": key}, {"Authorization": f"Basic {key}"}, {"X-API-Key": "ward-1"},
            {"Cookie": f"key={key}"},
        ):  # fmt: skip
            answer = await guarded.client.request(method, path, content=body, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
            assert "Authorization: Bearer KEY" in answer.json()["detail"]
            assert not {"ward-1", "prometheus"} & set(answer.text.split('"'))
        answer = await guarded.client.request(method, f"{path}?key={key}", content=body)
        assert answer.status_code == 401


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


async def test_open_routes_need_no_key(guarded):
    """Health checks, and pages without data."""
    for path in (
        "/",
        "/web/page.js",
        "/docs",
        "/web/docs/docs.js",
        "/ops",
        "/web/ops/ops.js",
        "/openapi.json",
        "/health",
        "/ready",
        "/v2/health/live",
        "/v2/health/ready",
    ):
        assert (await guarded.client.get(path)).status_code == 200


async def test_a_request_without_a_key_is_refused_before_its_body_is_read(guarded):
    """The type, size and content of the body do not matter."""
    for body, headers in ((b"{", {}), (b"x" * 2000, {"content-type": "text/plain"})):
        answer = await guarded.client.post("/predict", content=body, headers=headers)
        assert answer.status_code == 401
    samples = guarded.samples()
    assert samples["predictor_requests_total", "401", "/predict"] == 2
    assert samples["predictor_batch_rows_count",] == 0


def test_a_route_missing_in_the_table_needs_a_key():
    """A new route is closed until it is added to the table."""
    assert needs("/v2/models/{model}/infer") == needs("/invocations") == "api_keys_file"
    assert needs("/metrics\n") == needs("/health/") == needs("/web/{name}/x") == "api_keys_file"
    assert needs("/events") == "operations_keys_file"
    assert needs("/webhooks/mlflow") is None


async def test_every_route_is_guarded(tmp_path, files):
    """Every route of the application, with each of its methods, unless it is in the table of open routes."""
    live = Live(tmp_path, **files)
    live.api.include_router(added("/added/{name}"))
    seen = set()
    for route in iter_route_contexts(live.api.routes):
        seen.add(route.path)
        for method in route.methods if needs(route.path) else ():
            answer = await live.client.request(method, route.path.replace("{name}", "x"))
            assert answer.status_code == 401, (method, route.path)
    assert {
        "/predict",
        "/predict/batch",
        "/predict/what-if",
        "/metrics",
        "/model",
        "/docs",
        "/added/{name}",
    } <= seen


async def test_a_part_of_a_path_does_not_match_a_route(tmp_path, files):
    """Such as a prefix, or the part before a line break."""
    live = Live(tmp_path, **files)
    live.api.include_router(added("/health"), prefix="/v2")
    for path in ("/v2/health", "/metrics%0A", "/health%0A", "/predict%0A"):
        for key in (API, OPERATIONS):
            answers = [
                await live.client.request(m, path, headers=bearer(key)) for m in ("GET", "POST")
            ]
            assert {answer.status_code for answer in answers} <= {401, 405}, path


def added(path):
    router = APIRouter()

    @router.api_route(path, methods=["GET", "POST"])
    async def secret():
        return "secret"

    return router


async def test_a_head_is_let_in_once_and_then_known(on_the_wire):
    """The fast lane handles only requests with a valid key."""
    live, address = on_the_wire
    client = await address.connect()
    for _ in range(3):
        assert (await client.ask(plain(API))).status == 200
    assert (await client.ask(post(BODY, f"X-API-Key: {API}"))).status == 200
    assert address.asked == []
    for key in ("wrong", OPERATIONS, API + "x", API[:-1]):
        for _ in range(2):
            assert (await client.ask(plain(key))).status == 401
    assert (await client.ask(post(BODY))).status == 401
    twice = post(BODY, f"X-API-Key: {API}", "X-API-Key: wrong")
    assert [(await client.ask(twice)).status for _ in range(2)] == [200, 200]
    assert address.asked == ["/predict"] * 11
    assert (await client.ask(plain(API))).status == 200
    assert len(address.asked) == 11
    assert live.samples()["predictor_requests_total", "401", "/predict"] == 9


async def test_no_head_with_a_key_is_compared_byte_by_byte(on_the_wire, tmp_path):
    """It is looked up by its hash. A connection only remembers a head without a key."""
    _, address = on_the_wire
    client = await address.connect()
    assert (await client.ask(plain(API))).status == 200
    (connection,) = address.server.server_state.connections
    assert connection._head == b""
    live = Live(tmp_path)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:
        client = await address.connect()
        assert (await client.ask(plain(API))).status == 200
        (connection,) = address.server.server_state.connections
        assert connection._head != b""
        await client.close()
    await live.reconciler.close()


async def test_a_removed_key_stops_working(on_the_wire, files):
    """Also on open connections; a new key works there."""
    live, address = on_the_wire
    client, half = await address.connect(), await address.connect()
    assert (await client.ask(plain(API))).status == 200
    assert (await half.ask(plain(API))).status == 200
    await half.send(plain(API)[:-5])
    files["api_keys_file"].write_text(line_of("ward-1", "next"))
    await live.service.access.reload()
    assert (await client.ask(plain(API))).status == 401
    assert (await half.ask(plain(API)[-5:])).status == 401
    assert (await client.ask(plain("next"))).status == 200
    assert len(address.asked) == 2
    assert live.events[-1] == KeysRead("PREDICTOR_API_KEYS_FILE", 1)


async def test_an_event_stream_ends_when_its_key_is_removed(on_the_wire, files):
    """It continues if another key is removed."""
    live, address = on_the_wire
    client = await address.connect()
    await client.send(
        f"GET /events HTTP/1.1\r\nHost: x\r\nX-API-Key: {OPERATIONS}\r\n\r\n".encode()
    )
    await client.reader.readuntil(b"event: state")
    files["api_keys_file"].write_text(line_of("ward-1", "next"))
    await live.service.access.reload()
    await live.say(None)
    await client.reader.readuntil(b"event: stopped_serving")
    files["operations_keys_file"].write_text(line_of("prometheus", "next"))
    await live.service.access.reload()
    assert (await client.reader.readuntil(b"\r\n0\r\n\r\n")).count(b"event:") == 0


async def test_a_file_that_becomes_invalid_changes_no_keys(on_the_wire, files):
    """The previous keys stay valid. Each failed reload is counted; the failure is logged once, and so is its end."""
    live, address = on_the_wire
    before = files["api_keys_file"].read_text()
    files["api_keys_file"].write_text("nonsense")
    client = await address.connect()
    for looks in (1, 2, 3):
        await live.service.access.reload()
        assert live.samples()["predictor_key_file_failures_total",] == looks
    assert (await client.ask(plain(API))).status == 200
    assert (await client.ask(plain("nonsense"))).status == 401
    files["api_keys_file"].write_text(before)
    await live.service.access.reload()
    told = [event for event in live.events if isinstance(event, KeysNotRead | KeysRead)]
    assert [getattr(event, "first", None) for event in told] == [True, False, False, None]
    assert "line 1 " in told[0].reason
    assert "nonsense" not in told[0].reason


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
async def test_a_hanging_file_does_not_stop_the_other_from_being_read(on_the_wire, files):
    """A pipe, for example: the service does not wait for its writer."""
    live, _ = on_the_wire
    files["api_keys_file"].unlink()
    os.mkfifo(files["api_keys_file"])
    files["operations_keys_file"].write_text(line_of("prometheus", "next"))
    await live.service.access.reload()
    assert live.service.access.allows("/metrics", [(b"x-api-key", b"next")])
    assert not live.service.access.allows("/metrics", [(b"x-api-key", OPERATIONS.encode())])
    (fault,) = [event for event in live.events if isinstance(event, KeysNotRead)]
    assert "not a regular file" in fault.reason


@pytest.mark.parametrize(
    "field", ["X-API-Key:", "Authorization: Bearer", "Authorization: Bearer  "]
)
async def test_an_empty_key_is_not_valid(on_the_wire, field):
    """Whatever the file contains."""
    _, address = on_the_wire
    client = await address.connect()
    head = f"GET /metrics HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"
    assert (await client.ask(head.encode())).status == 401


async def test_the_address_in_the_log_is_that_of_the_connection(on_the_wire):
    """Such a key could come in any header."""
    _, address = on_the_wire
    client = await address.connect()
    with capture_logs() as lines:
        said = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: Jane Doe\r\n\r\n"
        assert (await client.ask(said)).status == 401
    assert [line["client"] for line in lines] == ["127.0.0.1"]


async def test_one_kind_of_keys_can_be_required_alone(tmp_path, files):
    """The other routes stay open."""
    live = Live(tmp_path, api_keys_file=files["api_keys_file"])
    assert (await live.client.get("/metrics")).status_code == 200
    assert (await live.client.post("/predict", json=GOOD)).status_code == 401
    live = Live(tmp_path, operations_keys_file=files["operations_keys_file"])
    assert (await live.client.get("/metrics")).status_code == 401
    assert (await live.client.post("/predict", json=GOOD)).status_code == 503


async def test_the_log_names_the_refused_client_and_never_its_key(tmp_path, files):
    """One line for many refusals, with their number, so that a flood does not fill the disk."""
    live = Live(tmp_path, **files)
    with capture_logs() as lines:
        for _ in range(50):
            await live.client.post("/predict", json=GOOD, headers=bearer("s3cret"))
        live.service.access._refusals._quiet_until = 0
        await live.client.get("/model")
    assert lines == [
        {
            "event": "key_refused", "log_level": "warning", "endpoint": endpoint, "key": key,
            "client": "127.0.0.1", "requests": requests,
        }
        for endpoint, key, requests in (("/predict", "unknown", 1), ("/model", "none", 50))
    ]  # fmt: skip


async def test_the_log_of_a_request_names_its_key(tmp_path, files):
    """By its name, which is not secret."""
    live = Live(tmp_path, **files)
    router = APIRouter()

    @router.get("/logged")
    async def logged():
        return get_contextvars()

    live.api.include_router(router)
    answer = await live.client.get("/logged", headers=bearer(API))
    assert answer.json()["asked_by"] == "ward-1"


async def test_the_log_reports_changes_and_faults_of_key_files(tmp_path, files):
    """Once when it becomes invalid, and once when it is valid again; never its content."""
    access = Access.of(Live(tmp_path, **files).service.settings, logs.write)
    file = files["api_keys_file"]
    with capture_logs() as lines:
        for content in ("x", "x", line_of("ward-2", API)):
            file.write_text(content)
            await access.reload()
    told = [(line["event"], line["log_level"], line["variable"]) for line in lines]
    assert told == [
        (event, level, "PREDICTOR_API_KEYS_FILE")
        for event, level in (
            ("keys_not_read", "error"), ("keys_not_read", "debug"), ("keys_read", "info")
        )
    ]  # fmt: skip
    assert "ward-2" not in str(lines)


async def test_the_document_says_which_key_each_route_needs(guarded):
    """A recorded example, which may be a patient's, is only for clients with an API key."""
    document = (await guarded.client.get("/openapi.json")).json()
    paths = document["paths"]
    assert paths["/predict"]["post"]["security"] == [{"api_key": []}]
    assert paths["/metrics"]["get"]["security"] == [{"operations_key": []}]
    assert "security" not in paths["/health"]["get"]
    assert paths["/model"]["get"]["responses"]["401"]["description"]
    assert "401" not in paths["/ready"]["get"]["responses"]
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"
    told = (await guarded.client.get("/openapi.json", headers=bearer(API))).json()
    shown = [each["components"]["schemas"]["Record"]["example"] for each in (document, told)]
    recorded = guarded.reconciler.serving.examples[0].record
    assert shown == [dict.fromkeys(recorded, 0.0), recorded]
    with_operations_key = await guarded.client.get("/openapi.json", headers=bearer(OPERATIONS))
    assert with_operations_key.json() == document


async def test_without_keys_the_document_requires_none(tmp_path):
    live = Live(tmp_path)
    document = (await live.client.get("/openapi.json")).json()
    assert "securitySchemes" not in document["components"]
    assert "401" not in json.dumps(document["paths"])


def test_a_file_that_cannot_be_used_names_its_variable(tmp_path, files):
    """Before anything starts."""
    files["operations_keys_file"].write_text("plain")
    with pytest.raises(SettingsError, match=r"^PREDICTOR_OPERATIONS_KEYS_FILE: .*line 1 "):
        Live(tmp_path, **files)
