"""A Content-Type is read as RFC 9110 has it, in linear time; what is none of its kind is 415 at every door."""

import json

import pytest

from predictor.errors import UnsupportedMedia
from predictor.http.body import MediaType, check_json, shortened
from predictor.keys import line_of
from tests.hostile.wire import post, request
from tests.predictor.graphs import GOOD, OURS
from tests.predictor.live import Live
from tests.predictor.sockets import listening

GOOD_TYPES = {
    "application/json": ("application/json", {}),
    "Application/JSON": ("application/json", {}),
    "application/json;charset=utf-8": ("application/json", {"charset": "utf-8"}),
    'application/json \t; \tCharset="UTF-8"': ("application/json", {"charset": "UTF-8"}),
    r'text/csv; a="b\"; c=\\"; d=e': ("text/csv", {"a": 'b"; c=\\', "d": "e"}),
    "text/csv; a=''x; b*0*=%00": ("text/csv", {"a": "''x", "b*0*": "%00"}),
    "text/csv;;;": ("text/csv", {}),
    "text/csv; ;header=present; ": ("text/csv", {"header": "present"}),
    'a/b; c=""': ("a/b", {"c": ""}),
}
MALFORMED = [
    "json", "/", "a/", "/b", "a/b/c", "a b/c", "a/b c", "a/b; c", "a/b; c =d", "a/b; c= d", "a/b; =d",
    'a/b; c="d', r'a/b; c="d\"', 'a/b; c="d"e', "a/b; c=d; C=e", "a/b, a/b", "a/b; c=d, a/b",
    "application/json; charset*0=a; charset*=b; charset*0=c", "\xa0a/b", "a/b;\x0bc=d", "a/b; c=\xe9", "*",
    'application/json;"' + ";" * 3700, 'application/json;"' + ";" * 30_000,
    "application/json" + "; " * 15_000 + "x", "application/json" + " " * 30_000 + "x",
    'application/json; a="' + "\\\\" * 15_000, "a/" * 15_000, "a" * 30_000,
]  # fmt: skip
# What the e-mail parser of the standard library cannot read: it raises.
CRASHES = ["application/json; charset*0=a; charset*=b", "application/json; charset*0*=%00''x"]
DOORS = [
    "/predict", "/predict/batch", "/predict/what-if", "/predict/explain", "/v2/models/m/infer", "/invocations",
    "/webhooks/mlflow",
]  # fmt: skip
BODY = json.dumps(GOOD).encode()


@pytest.mark.parametrize(("text", "expected"), GOOD_TYPES.items())
def test_a_media_type_is_read(text, expected):
    """Names in lower case, quotes taken off, empty parameters left out."""
    found = MediaType.parse(text)
    assert (found.essence, found.parameters) == expected


@pytest.mark.parametrize("text", MALFORMED, ids=shortened)
def test_what_is_none_is_refused(text):
    """Whatever it is, and however long: an error repeats little of it."""
    with pytest.raises(UnsupportedMedia) as caught:
        MediaType.parse(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "text", [None, "", *CRASHES, "application/problem+json", "application/json;;"]
)
def test_a_body_without_a_type_is_json(text):
    """As is one whose type is empty; and parameters that mean nothing change nothing."""
    check_json(text, "identity")


@pytest.fixture
async def ask(tmp_path):
    """Asks a service with keys, on a connection of its own; `None` is a connection that just closed."""
    keys, secret = tmp_path / "keys", tmp_path / "secret"
    keys.write_text(line_of("app", "k3y"))
    secret.write_text("s" * 32)
    files = {"api_keys_file": keys, "operations_keys_file": keys, "webhook_secret_file": secret}
    live = Live(tmp_path, **files)
    await live.serve(7, OURS)
    async with listening(live.app, live.service) as address:

        async def ask(sent):
            client = await address.connect()
            client.writer.write(sent)
            answers = await client.answers()
            await client.close()
            return answers[0] if answers else None

        yield ask
    await live.reconciler.close()


def sent_with(path, kind, *headers):
    length = f"Content-Length: {len(BODY)}"
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Type: {kind}", *headers, length]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + BODY


SIGNED = ("X-MLflow-Delivery-Id: 1", "X-MLflow-Timestamp: 1", "X-MLflow-Signature: v1,x")


@pytest.mark.parametrize("path", DOORS)
async def test_every_door_answers_415_to_what_is_none(ask, path):
    """A line of text, which names the type; never a 500, and never nothing."""
    for kind in ("json", *CRASHES, 'application/json;"' + ";" * 3700, "application/json, text/csv"):
        answer = await ask(sent_with(path, kind, "X-API-Key: k3y", *SIGNED))
        if kind in CRASHES:  # well-formed, whatever it means: parameters that are unknown
            assert 200 <= answer.status < 500, (kind, answer.body)
        else:
            assert (answer.status, len(answer.body) < 600) == (415, True), (kind, answer.body)
            assert b"Content-Type" in answer.body


@pytest.mark.parametrize("path", [door for door in DOORS if door != "/webhooks/mlflow"])
async def test_without_a_key_nothing_else_is_looked_at(ask, path):
    """401, whatever else is wrong with a request: a type, an encoding, a length, a body, a query."""
    wrong = [
        sent_with(path, "json"), *(sent_with(path, kind) for kind in CRASHES),
        sent_with(path, 'application/json;"' + ";" * 3700),
        sent_with(path, "text/csv", "Content-Encoding: gzip"),
        sent_with(path, "application/json", "Inference-Header-Content-Length: x"),
        sent_with(path, "application/json", "Authorization: Basic x", "If-None-Match: x"),
        sent_with(path + "?warnings=maybe", "application/json"),
        request("POST", path, "Content-Length: 99999999"),
        request("POST", path, "Expect: 100-continue", "Content-Length: 99"),
        request("POST", path, "Transfer-Encoding: chunked") + b"5\r\nnone!\r\n0\r\n\r\n",
        post(b"{" * 10_000, path=path), post(b"", path=path),
        sent_with(path.replace("/m/", "/another/"), "application/json"),
    ]  # fmt: skip
    for each in wrong:
        answer = await ask(each)
        assert answer is not None, each[:200]
        assert answer.status == 401, (each[:200], answer.body)
        again = await ask(each.replace(b"\r\n", b"\r\nX-API-Key: guess\r\n", 1))
        assert again.status == 401, (each[:200], again.body)


FIELDS = [
    "Accept", "Accept-Encoding", "Access-Control-Request-Method", "Authorization", "Connection", "Content-Encoding",
    "Cookie", "Expect", "Forwarded", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range",
    "Inference-Header-Content-Length", "Last-Event-ID", "Origin", "Range", "traceparent", "tracestate", "Upgrade",
    "X-API-Key", "X-MLflow-Delivery-Id", "X-MLflow-Signature", "X-MLflow-Timestamp", "X-Request-ID",
]  # fmt: skip
ODD = [
    "", "\xff\xfe", "[", "[::1", "%00%ff%", '"' * 4000, '"a",' * 7000, ", " * 15_000 + "x", "9" * 30_000, "-1", "²",
    "Sun, 06 Nov 1994 08:49:37 +99999999", "Sun, " * 6000, "(" * 30_000, ":" * 30_000, "a=b; " * 6000, "00-" * 9000,
]  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/predict", "/v2/models/m/infer", "/webhooks/mlflow", "/openapi.json", "/nothing"]
)
async def test_no_header_field_makes_it_fail(ask, path):
    """Whatever is in it, and however long: there is an answer, and it is no fault of ours."""
    method = "GET" if path == "/openapi.json" else "POST"
    for field in FIELDS:
        for odd in ODD:
            key = () if field == "X-API-Key" else ("X-API-Key: k3y",)
            answer = await ask(request(method, path, *key, f"{field}: {odd}", body=BODY))
            assert answer is not None, (field, odd[:50])
            assert answer.status < 500, (field, odd[:50], answer.body)


@pytest.mark.parametrize("path", DOORS)
async def test_a_length_may_begin_with_thousands_of_zeros(ask, path):
    """It is the number that it says, and no fault of ours."""
    key = ("X-API-Key: k3y", *SIGNED)
    for number in (2, 99_999_999):
        length = f"Content-Length: {'0' * 20_000}{number}"
        answer = await ask(request("POST", path, *key, length) + b"{}")
        usual = await ask(request("POST", path, *key, f"Content-Length: {number}") + b"{}")
        assert 400 <= answer.status < 500
        assert (answer.status, answer.body) == (usual.status, usual.body)


async def test_a_host_that_is_no_host_is_not_read(ask):
    """The path of an error is that of the request, whatever `Host` says."""
    for host in ("[", "[::1", "x:y", "a/b?c#d", "", "\xff"):
        answer = await ask(f"GET /nothing HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        assert answer.status == 404
        assert "there is nothing at /nothing;" in json.loads(answer.body)["detail"]
    answer = await ask(request(path="/" + "a" * 8000))
    assert (answer.status, len(answer.body) < 600) == (404, True)


async def test_a_body_that_is_too_large_names_the_setting(ask):
    """At every door, declared or streamed; the webhook's bound is no setting."""
    for path in DOORS:
        chunks = b"%x\r\n%b\r\n" % (2**21, b" " * 2**21)
        head = request("POST", path, "X-API-Key: k3y", *SIGNED, "Transfer-Encoding: chunked")
        for sent in (
            request("POST", path, "X-API-Key: k3y", *SIGNED, "Content-Length: 99999999"),
            head + chunks,
        ):
            answer = await ask(sent)
            assert answer.status == 413, path
            named = "PREDICTOR_MAX_BODY_BYTES" in answer.body.decode()
            assert named == (path != "/webhooks/mlflow"), answer.body
