"""`POST /webhooks/mlflow`: valid and invalid deliveries, repetitions, and limits."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import uuid

import pytest
from structlog.testing import capture_logs

from predictor.errors import SettingsError
from predictor.logs import LogThrottle
from predictor.registry.webhooks import (
    DeliveryRepeated,
    DeliveryStale,
    RecentDeliveries,
    WebhookSecrets,
)
from tests.hostile.wire import request, split
from tests.predictor.live import Live
from tests.predictor.sockets import SECONDS, listening

SECRET = "correct horse battery staple"
PATH = "/webhooks/mlflow"


def notice(name="m", entity="model_version_tag"):
    """A body in the form of MLflow's server."""
    data = {"name": name, "version": "3", "key": "transition.1", "value": "{}"}
    now = "2026-11-23T19:00:00+00:00"
    return json.dumps({"entity": entity, "action": "set", "timestamp": now, "data": data}).encode()


def signed(body, *, secret=SECRET, age=0.0, identity=None):
    """MLflow's header fields, from its documentation and not from our code."""
    identity, timestamp = identity or str(uuid.uuid4()), str(int(time.time() - age))
    content = f"{identity}.{timestamp}.".encode() + body
    mac = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": identity,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }


class Counting:
    """A counted poll of the source, with a delay like a real one."""

    def __init__(self, source):
        self.count = self.inside = self.max_parallel = 0
        self._ask = source.aspired
        source.aspired = self

    async def __call__(self):
        self.count += 1
        self.inside += 1
        self.max_parallel = max(self.max_parallel, self.inside)
        await asyncio.sleep(0.003)
        self.inside -= 1
        return await self._ask()

    async def quiet(self):
        """Return when there was no poll for a while."""
        seen = -1
        while seen != self.count:
            seen = self.count
            await asyncio.sleep(0.1)


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture
async def live(tmp_path, secret_file):
    """A service that has polled once, and polls again after a delivery."""
    made = Live(tmp_path / "service", webhook_secret_file=secret_file)
    made.polls = Counting(made.source)
    made.service.poller.start()
    await made.polls.quiet()
    yield made
    made.service.poller.stop()
    await made.reconciler.close()
    await made.client.aclose()


async def deliver(live, body, headers):
    return await live.client.post(PATH, content=body, headers=headers)


def outcomes(live):
    """The number of deliveries of each outcome, without zeros."""
    family = "predictor_webhook_deliveries_total"
    return {k[1]: v for k, v in live.samples().items() if k[0] == family and v}


async def test_a_signed_delivery_causes_a_poll_at_once(live):
    """Whatever it contains, it only means that something changed."""
    body = notice()
    response = await deliver(live, body, signed(body))
    assert (response.status_code, response.json()) == (202, {"outcome": "accepted"})
    await live.polls.quiet()
    assert live.polls.count == 2
    assert outcomes(live) == {"accepted": 1}


@pytest.mark.parametrize("body", [notice("another"), notice(entity="prompt_version_tag")])
async def test_a_delivery_about_another_model_is_ignored(live, body):
    """With 200, because it is no fault of MLflow."""
    response = await deliver(live, body, signed(body))
    assert (response.status_code, response.json()) == (200, {"outcome": "ignored"})
    await live.polls.quiet()
    assert live.polls.count == 1
    assert outcomes(live) == {"ignored": 1}


BODY = notice()
NESTED, LONG, TEXT = b"[" * 60000, b" " * 65537, b"\xff{"


def good(leave_out=None, **changed):
    """The header fields of a valid delivery of BODY, with these changes."""
    fields = {
        **signed(BODY),
        **{f"X-MLflow-{name.replace('_', '-')}": v for name, v in changed.items()},
    }
    fields.pop(leave_out, None)
    return fields


def tomorrow():
    return good(Timestamp=str(int(time.time()) + 5))


def unversioned():
    return good(Signature=good()["X-MLflow-Signature"].removeprefix("v1,"))


@pytest.mark.parametrize(
    ("body", "headers", "status", "outcome"),
    [
        (BODY, lambda: signed(BODY, secret="another"), 403, "bad_signature"),
        (BODY, lambda: signed(BODY + b" "), 403, "bad_signature"),
        (BODY, lambda: good(Delivery_Id="another"), 403, "bad_signature"),
        (BODY, tomorrow, 403, "bad_signature"),
        (BODY, unversioned, 403, "bad_signature"),
        (BODY, lambda: good(Signature="v1,"), 403, "bad_signature"),
        (BODY, lambda: good(Signature="v1,\u00fc".encode()), 403, "bad_signature"),
        (BODY, lambda: good("X-MLflow-Signature"), 403, "bad_signature"),
        (BODY, lambda: good("X-MLflow-Delivery-Id"), 400, "malformed"),
        (BODY, lambda: good(Delivery_Id="x" * 129), 400, "malformed"),
        (BODY, lambda: good("X-MLflow-Timestamp"), 400, "malformed"),
        (BODY, lambda: good(Timestamp="1e9"), 400, "malformed"),
        (BODY, lambda: good(Timestamp="-5"), 400, "malformed"),
        (BODY, lambda: good(Timestamp="9" * 13), 400, "malformed"),
        (BODY, lambda: signed(BODY, age=400), 403, "stale"),
        (BODY, lambda: signed(BODY, age=-400), 403, "stale"),
        (b"[]", lambda: signed(b"[]"), 400, "malformed"),
        (TEXT, lambda: signed(TEXT), 400, "malformed"),
        (NESTED, lambda: signed(NESTED), 400, "malformed"),
        (BODY, lambda: {**good(), "Content-Type": "text/plain"}, 415, "malformed"),
        (BODY, lambda: {**good(), "Content-Encoding": "gzip"}, 415, "malformed"),
        (LONG, lambda: signed(LONG), 413, "malformed"),
    ],
)
async def test_an_invalid_delivery_changes_nothing(live, body, headers, status, outcome):
    """It gets an error in the usual form and is counted; there is no poll."""
    response = await deliver(live, body, headers())
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    await live.polls.quiet()
    assert live.polls.count == 1
    assert outcomes(live) == {outcome: 1}


async def test_a_delivery_counts_once(live):
    """409, after which MLflow does not try again. An earlier forged delivery with the same id does not count."""
    headers = signed(BODY, identity="one")
    forged = signed(BODY, secret="another", identity="one")
    codes = [
        (await deliver(live, BODY, each)).status_code
        for each in (forged, headers, headers, signed(BODY, identity="one"))
    ]
    assert codes == [403, 202, 409, 409]
    await live.polls.quiet()
    assert live.polls.count == 2
    assert outcomes(live) == {"bad_signature": 1, "accepted": 1, "repeated": 2}


@pytest.mark.whole
async def test_a_flood_starts_no_two_polls_at_a_time(live):
    """Two thousand valid deliveries on ten connections: few polls, one after the other."""
    flood = [
        b"".join(
            request("POST", PATH, *map(": ".join, signed(BODY).items()), body=BODY)
            for _ in range(200)
        )
        for _ in range(10)
    ]
    async with listening(live.app, live.service) as server:
        statuses = await asyncio.gather(*(sent(server, requests) for requests in flood))
    assert statuses == [[202] * 200] * 10
    await live.polls.quiet()
    print(f"2,000 deliveries led to {live.polls.count - 1} polls")
    assert live.polls.max_parallel == 1
    assert live.polls.count < 1000
    assert outcomes(live) == {"accepted": 2000}


async def sent(server, requests):
    connection = await server.connect()
    connection.writer.write(requests)
    raw, statuses = b"", []
    while len(statuses) < 200:
        raw += await asyncio.wait_for(connection.reader.read(1 << 20), SECONDS)
        answers, raw = split(raw)
        statuses += [answer.status for answer in answers]
    await connection.close()
    return statuses


async def test_a_flood_of_refused_ones_does_not_fill_the_log(live):
    """One line about the start of the flood, without its content."""
    body = notice("MARKED")
    with capture_logs() as lines:
        for _ in range(50):
            await deliver(live, body, signed(body, secret="another"))
    (line,) = [line for line in lines if line["event"] == "webhook_refused"]
    assert (line["outcome"], line["deliveries"]) == ("bad_signature", 1)
    assert "MARKED" not in str(lines)


async def test_without_a_secret_there_is_no_endpoint(tmp_path):
    """404, and not in the document."""
    live = Live(tmp_path)
    response = await live.client.post(PATH, content=BODY, headers=good())
    assert response.status_code == 404
    assert PATH not in (await live.client.get("/openapi.json")).json()["paths"]
    await live.client.aclose()


async def test_the_document_describes_it(live):
    """Its header fields and all status codes."""
    operation = (await live.client.get("/openapi.json")).json()["paths"][PATH]["post"]
    own = [each["name"] for each in operation["parameters"] if "$ref" not in each]
    assert set(own) == set(good()) - {"Content-Type"}
    assert set(operation["responses"]) == {"200", "202", "400", "403", "409", "413", "415"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_only_post(live, method):
    """405."""
    response = await live.client.request(method, PATH)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


class TestSecrets:
    async def test_each_line_is_one(self, live, secret_file):
        """During a change both are valid; no restart is needed."""
        assert (await deliver(live, BODY, signed(BODY, secret="new"))).status_code == 403
        secret_file.write_text(f"{SECRET}\r\n\n  new  \n")
        secrets = live.service.deliveries._secrets
        secrets._reread_after = 0
        assert (await deliver(live, BODY, signed(BODY, secret="new"))).status_code == 202
        assert (await deliver(live, BODY, signed(BODY))).status_code == 202

    async def test_a_file_that_breaks_changes_nothing(self, secret_file):
        """The previous secrets stay valid; one log line."""
        secrets = WebhookSecrets(secret_file)
        with capture_logs() as lines:
            for content in ("", "", None, "new\n# a comment", "new"):
                if content is None:
                    secret_file.unlink()
                else:
                    secret_file.write_text(content)
                secrets._reread_after = 0
                found = await secrets.latest()
                assert found == ((b"new",) if content == "new" else (SECRET.encode(),))
        assert [line["event"] for line in lines] == [
            *["webhook_secret_not_read"] * 3, "webhook_secret_read",
        ]  # fmt: skip
        assert SECRET not in str(lines)

    async def test_the_file_is_not_read_for_every_delivery(self, secret_file):
        """Once a second at most, also during a flood."""
        secrets = WebhookSecrets(secret_file)
        await secrets.latest()
        secret_file.unlink()
        assert await secrets.latest() == (SECRET.encode(),)

    @pytest.mark.parametrize("content", [None, b"", b" \n\t\n", b"x" * 70_000])
    def test_an_unusable_secret_file_is_a_wrong_setting(self, tmp_path, content):
        """The service does not start."""
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError, match="PREDICTOR_WEBHOOK_SECRET_FILE: "):
            WebhookSecrets(path)


class TestSeen:
    def test_an_id_is_forgotten_when_its_delivery_would_be_stale(self):
        """Ids of five minutes are kept."""
        seen = RecentDeliveries(300)
        seen.check("a", 1000, 1000)
        with pytest.raises(DeliveryRepeated):
            seen.check("a", 1000, 1300)
        with pytest.raises(DeliveryStale):
            seen.check("a", 1000, 1301)
        seen.check("b", 1302, 1302)
        assert len(seen._ids) == len(seen._oldest_first) == 1

    def test_an_id_forgotten_for_lack_of_memory_is_refused_if_it_comes_again(self):
        """Deliveries as old as a forgotten id are refused; newer ones are accepted."""
        seen = RecentDeliveries(300, max_ids=2)
        for at, identity in enumerate("abc", 1000):
            seen.check(identity, at, 1010)
        for identity in "ad":
            with pytest.raises(DeliveryStale):
                seen.check(identity, 1000, 1010)
        seen.check("e", 1003, 1010)
        with pytest.raises(DeliveryRepeated):
            seen.check("e", 1003, 1010)
        assert len(seen._ids) == len(seen._oldest_first) == 2


def test_repeated_refusals_are_logged_rarely():
    """The first time at once, later with their number."""
    now = [0.0]
    seldom = LogThrottle(10, lambda: now[0])
    said = []
    for at in (0, 1, 2, 10, 11, 25):
        now[0] = at
        said.append(seldom.hit())
    assert said == [1, 0, 0, 3, 0, 2]
