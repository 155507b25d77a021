"""Pages of other origins: which may ask, what they may read, and that nobody else notices."""

import json

import pytest

from predictor.keys import line_of
from tests.hostile.wire import post
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

OURS_TOO, OTHERS = "https://app.example", "https://evil.example"
BODY = json.dumps(GOOD).encode()


@pytest.fixture
async def asked(tmp_path):
    """A service that one origin may ask, with keys; and a way to ask it on one connection."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("app", "k3y"))
    live = Live(tmp_path, cors_origins=f"{OURS_TOO},http://localhost:3000", api_keys_file=keys)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:
        client = await address.connect()
        yield live, address, client
    await live.reconciler.close()


def preflight(origin, method="POST", headers="authorization,content-type"):
    lines = ["OPTIONS /predict HTTP/1.1", "Host: x", f"Origin: {origin}"]
    lines += [
        f"Access-Control-Request-Method: {method}",
        f"Access-Control-Request-Headers: {headers}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


async def test_a_page_that_may_ask_may_do_so_from_outside_a_private_network(asked):
    """Browsers ask that in a preflight; for other origins the answer is that they may not ask at all."""
    _, _, client = asked
    field = b"\r\nAccess-Control-Request-Private-Network: true\r\n\r\n"
    for origin, status in ((OURS_TOO, 204), (OTHERS, 400)):
        told = await client.ask(preflight(origin).replace(b"\r\n\r\n", field))
        assert told.status == status
        if status == 204:
            assert told.headers["access-control-allow-private-network"] == "true"
        else:
            assert "access-control-allow-origin" not in told.headers
    assert "access-control-allow-private-network" not in grants(
        await client.ask(preflight(OURS_TOO))
    )


def grants(answer):
    return {
        name: value for name, value in answer.headers.items() if name.startswith("access-control")
    }


async def test_a_page_that_may_ask_is_let_in(asked):
    """Its preflight without a key, its request with one; and it may read what clients need."""
    _, address, client = asked
    told = await client.ask(preflight(OURS_TOO, headers="x-api-key,traceparent"))
    assert (told.status, told.body) == (204, b"")
    assert told.headers["access-control-allow-origin"] == OURS_TOO
    assert "access-control-allow-credentials" not in told.headers
    for _ in range(2):
        answer = await client.ask(post(BODY, f"Origin: {OURS_TOO}", "X-API-Key: k3y"))
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == OURS_TOO
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"].lower()
    assert address.asked == ["/predict"]  # the preflight: predictions take the fast lane
    assert grants(await client.ask(post(BODY, "X-API-Key: k3y"))) == {}
    with_cookie = post(BODY, f"Origin: {OURS_TOO}", "X-API-Key: k3y", "Cookie: a=b")
    assert grants(await client.ask(with_cookie)) == grants(answer)
    assert len(address.asked) == 1


async def test_a_page_that_is_refused_can_read_why(asked):
    """An error without the header would be a riddle in the browser's console."""
    _, _, client = asked
    answer = await client.ask(post(BODY, f"Origin: {OURS_TOO}"))
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == OURS_TOO
    answer = await client.ask(post(b"{}", f"Origin: {OURS_TOO}", "X-API-Key: k3y"))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (422, OURS_TOO)


async def test_other_origins_methods_and_headers_are_refused(asked):
    """In the one shape of errors; a browser keeps the answer from the page."""
    _, _, client = asked
    refused = [preflight(origin) for origin in (OTHERS, "null", OURS_TOO + ".evil.example")]
    refused += [preflight(OURS_TOO, "DELETE"), preflight(OURS_TOO, headers="x-other")]
    for request in refused:
        answer = await client.ask(request)
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert answer.headers.get("access-control-allow-origin") in (None, OURS_TOO)
        assert "Disallowed CORS" in answer.json()["detail"]
    answer = await client.ask(post(BODY, f"Origin: {OTHERS}", "X-API-Key: k3y"))
    assert "access-control-allow-origin" not in answer.headers


async def test_preflights_are_counted_by_themselves(asked):
    """Not as predictions, and not among the paths that nobody knows."""
    live, _, client = asked
    for origin in (OURS_TOO, OURS_TOO, OTHERS):
        await client.ask(preflight(origin))
    samples = live.samples()
    assert samples["predictor_requests_total", "204", "preflight"] == 2
    assert samples["predictor_requests_total", "400", "preflight"] == 1
    assert not any(key[-1] == "other" for key in samples if key[0] == "predictor_requests_total")


async def test_by_default_no_page_of_another_origin_may_ask(tmp_path):
    """No header lets it read an answer, and a preflight is an unknown method."""
    live = Live(tmp_path)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:
        client = await address.connect()
        answer = await client.ask(preflight(OURS_TOO))
        assert (answer.status, grants(answer)) == (405, {})
        answer = await client.ask(post(BODY, f"Origin: {OURS_TOO}"))
        assert (answer.status, grants(answer)) == (200, {})
    await live.reconciler.close()


async def test_answers_say_how_they_may_be_treated(asked):
    """Each is of the type that it says; what is about a patient or the service is kept nowhere."""
    _, _, client = asked
    for request in (
        post(BODY, "X-API-Key: k3y"),
        post(json.dumps({"instances": [GOOD]}).encode(), "X-API-Key: k3y", path="/predict/batch"),
        *(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in ("/metrics", "/ready")),
    ):
        answer = await client.ask(request)
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/model", "/openapi.json"):
        answer = await client.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.headers["cache-control"] == "private, no-cache"
    for path in ("/", "/docs", "/web/page.js", "/web/docs/docs.js", "/nothing"):
        answer = await client.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert answer.headers["x-content-type-options"] == "nosniff"
