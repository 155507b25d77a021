"""`/ping`, `/version` and `/invocations` around a fake registry: what the other protocols have, these have."""

import asyncio
import json

import pytest

from tests.predictor.graphs import OURS, classifier
from tests.predictor.parts import version
from tests.predictor.protocols.mlflow_scoring.parts import COLUMNS, NAMES, Scored

ROW = {"mean_radius": 1.0, "mean_texture": 0.0}
OTHER = {"mean_radius": -1.0, "mean_texture": 0.0}


@pytest.fixture
async def live(tmp_path):
    made = Scored(tmp_path, OURS, COLUMNS, settings={"max_body_bytes": 60_000})
    await made.say(version(7))
    yield made
    await made.reconciler.close()


def is_error(answer, status, code):
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert body["message"]
    return body


async def test_one_row_and_several(live):
    """In order, and named by the version that computed them; kept by nobody."""
    one = await live.ask({"dataframe_records": [ROW]})
    several = await live.ask({"dataframe_records": [OTHER, ROW]})
    assert one.json() == {"predictions": ["malignant"]}
    assert several.json() == {"predictions": ["benign", "malignant"]}
    for answer in (one, several):
        assert (answer.headers["x-model-name"], answer.headers["x-model-version"]) == ("m", "7")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]


async def test_single_rows_share_a_call(live):
    """They join the tick's, as those of `/predict` do."""
    await asyncio.gather(*(live.ask({"inputs": [ROW]}) for _ in range(8)))
    samples = live.samples()
    assert samples["predictor_batch_rows_sum",] == 8
    assert samples["predictor_batch_rows_count",] < 8


async def test_a_large_body_is_answered_in_a_thread(live):
    rows = [ROW, OTHER] * 600
    answer = await live.ask(
        {"dataframe_split": {"columns": NAMES, "data": [[*r.values()] for r in rows]}}
    )
    assert answer.json() == {"predictions": ["malignant", "benign"] * 600}
    padded = await live.ask(json.dumps({"inputs": [ROW]}) + " " * 30_000)
    assert padded.json() == {"predictions": ["malignant"]}


async def test_each_version_reads_the_body_by_its_own_signature(live, tmp_path):
    """A body that came for one version is never the row of another."""
    await live.ask({"inputs": [ROW]})
    fetched = Scored(
        tmp_path, classifier(), [{"type": "double", "name": "a"}, {"type": "double", "name": "b"}]
    )
    live.source.files = fetched.source.files
    await live.say(version(8))
    body = is_error(await live.ask({"inputs": [ROW]}), 400, "INVALID_PARAMETER_VALUE")
    assert "missing columns: ['a', 'b']" in body["message"]
    answer = await live.ask({"inputs": [{"b": 0.0, "a": 1.0}]})
    assert answer.json() == {"predictions": ["malignant"]}
    assert answer.headers["x-model-version"] == "8"


async def test_while_nothing_serves(tmp_path):
    """503 with Retry-After: an orchestrator sends nothing here."""
    live = Scored(tmp_path)
    answers = [await live.client.get("/ping"), await live.client.get("/version")]
    answers += [await live.ask({"inputs": [ROW]}), await live.ask("x" * 20_000)]
    for answer in answers:
        is_error(answer, 503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"


async def test_ping_and_version(live):
    ping, said = await live.client.get("/ping"), await live.client.get("/version")
    assert (ping.status_code, ping.text) == (200, "\n")
    assert (said.status_code, said.text) == (200, "3.1.4")
    assert {each.headers["content-type"] for each in (ping, said)} == {"text/plain; charset=utf-8"}


async def test_a_version_that_no_mlflow_signed(tmp_path):
    live = Scored(tmp_path, mlflow_version="")
    await live.say(version(1))
    is_error(await live.client.get("/version"), 404, "ENDPOINT_NOT_FOUND")
    await live.reconciler.close()


async def test_bodies_too_large_and_methods_and_paths(live):
    """In MLflow's shape, as far as its paths go."""
    is_error(await live.ask(b" " * 70_000), 413, "BAD_REQUEST")
    for path, method, status in (
        ("/invocations", "GET", 405), ("/ping", "POST", 405), ("/invocations/x", "POST", 404),
    ):  # fmt: skip
        answer = await live.client.request(method, path)
        is_error(answer, status, "ENDPOINT_NOT_FOUND" if status == 404 else "BAD_REQUEST")
    assert (await live.client.get("/invocations")).headers["allow"] == "POST"
    beside = await live.client.get("/pings")
    assert beside.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text/plain", "Content-Type text/plain is not supported; send"),
        ("application/json; charset=latin-1", "charset latin-1 is not supported"),
        ("text/csv; header=present", "Content-Type has unknown parameters: header;"),
    ],
)
async def test_other_types_are_refused_in_plain_text(live, kind, said):
    answer = await live.ask({"inputs": [ROW]}, kind)
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith(said)


async def test_compressed_bodies_are_refused(live):
    answer = await live.ask({"inputs": [ROW]}, **{"content-encoding": "gzip"})
    assert (answer.status_code, "gzip" in answer.text) == (415, True)


async def test_requests_are_counted_by_route(live):
    await live.ask({"inputs": [ROW]})
    await live.ask({})
    await live.client.get("/ping")
    await asyncio.sleep(0)  # rows are counted once they are answered
    samples = live.samples()
    assert samples["predictor_requests_total", "200", "/invocations"] == 1
    assert samples["predictor_requests_total", "400", "/invocations"] == 1
    assert samples["predictor_requests_total", "200", "/ping"] == 1
    assert samples["predictor_predictions_total", "7", "malignant"] == 1


async def test_a_key_is_asked_for_where_rows_are(tmp_path):
    """And not where orchestrators look."""
    keys = tmp_path / "keys"
    keys.write_text("ward:" + "0" * 64 + "\n")
    live = Scored(tmp_path, OURS, COLUMNS, settings={"api_keys_file": str(keys)})
    await live.say(version(1))
    refused = await live.ask({"inputs": [ROW]}, authorization="Bearer wrong")
    is_error(refused, 401, "UNAUTHENTICATED")
    assert refused.headers["www-authenticate"] == "Bearer"
    for path in ("/ping", "/version"):
        assert (await live.client.get(path)).status_code == 200
    paths = (await live.client.get("/openapi.json")).json()["paths"]
    documented = paths["/invocations"]["post"]["responses"]["401"]["content"]["application/json"]
    (example,) = documented["examples"].values()
    assert example["value"]["error_code"] == "UNAUTHENTICATED"
    await live.reconciler.close()


async def test_what_the_model_cannot_compute(tmp_path):
    """Alone or among others: 400, with the row and the reason."""
    from tests.predictor.graphs import regressor

    live = Scored(tmp_path, regressor(op="Log"))
    await live.say(version(1))
    for rows in ([[-1.0, 0.0]], [[1.0, 0.0], [-1.0, 0.0]]):
        body = is_error(await live.ask({"inputs": rows}), 400, "BAD_REQUEST")
        assert body["message"].startswith(f"row {len(rows) - 1}: ")
        assert "no finite answer" in body["message"]
    await live.reconciler.close()
