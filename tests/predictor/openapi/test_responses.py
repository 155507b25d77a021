"""Every documented error is provoked and compared with its example."""

import json

import pytest

from predictor.keys import line_of
from tests.predictor.graphs import OURS
from tests.predictor.live import Live

KEY = {"X-API-Key": "k3y"}
MOST = 4096
JSON = {"Content-Type": "application/json"}
HOOK = "/webhooks/mlflow"


@pytest.fixture
async def live(tmp_path):
    keys, secret = tmp_path / "keys", tmp_path / "secret"
    keys.write_text(line_of("frontend", "k3y"))
    secret.write_text("s" * 32)
    made = Live(
        tmp_path, api_keys_file=keys, operations_keys_file=keys, webhook_secret_file=secret,
        max_body_bytes=MOST,
    )  # fmt: skip
    yield made
    await made.client.aclose()
    await made.reconciler.close()


async def examples(live):
    """(path, status, name) -> the problem document of the example."""
    document = (await live.client.get("/openapi.json", headers=KEY)).json()
    return {
        (path, int(code), name): example["value"]
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for code, answer in operation["responses"].items()
        for media, shown in answer.get("content", {}).items()
        if int(code) >= 400 and media == "application/problem+json"
        for name, example in shown["examples"].items()
    }


def shape(value):
    """The names and types of a body, however many items its lists have."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
async def test_errors_of_clients_get_the_documented_responses(live, path):
    """With the same texts; also the 422 of the serving version."""
    await live.serve(1, OURS)
    shown = await examples(live)
    record = dict(live.reconciler.serving.examples[0].record)
    wrong = dict.fromkeys(record, None)
    wrong.pop(next(iter(wrong)))
    faulty = wrong if path == "/predict" else {"instances": [record, wrong]}
    asked = {
        "malformed_body": ({**KEY, **JSON}, '{"age": 71,'),
        "unauthorized": (JSON, json.dumps(record)),
        "body_too_large": ({**KEY, **JSON}, " " * (MOST + 1)),
        "unsupported_media": ({**KEY, "Content-Type": "text/csv"}, "1,2"),
        "invalid_record": ({**KEY, **JSON}, json.dumps(faulty)),
    }
    for name, (headers, body) in asked.items():
        answer = await live.client.post(path, headers=headers, content=body)
        assert shown[path, answer.status_code, name] == answer.json(), name


async def test_nothing_serving_gets_the_documented_response(live):
    """The same form and status; the reason depends on the registry's response."""
    shown = await examples(live)
    for path, method in (("/predict", "POST"), ("/predict/batch", "POST"), ("/ready", "GET")):
        answer = await live.client.request(method, path, headers={**KEY, **JSON}, content="{}")
        example = shown[path, 503, "nothing_serving"]
        assert (answer.status_code, shape(answer.json())) == (503, shape(example))
        assert answer.headers["retry-after"]


async def test_a_refused_delivery_gets_the_documented_response(live):
    shown = await examples(live)
    signed = {"X-MLflow-Delivery-Id": "a", "X-MLflow-Timestamp": "1", "X-MLflow-Signature": "v1,x"}
    for name, headers, body in (
        ("delivery_malformed", {}, "{}"),
        ("delivery_not_signed", signed, "{}"),
        ("body_too_large", signed, " " * 70_000),
    ):
        answer = await live.client.post(HOOK, headers={**JSON, **headers}, content=body)
        assert shown[HOOK, answer.status_code, name] == answer.json()


async def test_every_refusal_has_an_example_of_its_status(live):
    """Of RFC 9457's shape, with a text that helps."""
    shown = await examples(live)
    assert len(shown) > 15
    for (_, code, _), example in shown.items():
        assert example["status"] == code
        assert set(example) >= {"type", "title", "status", "detail"}
        assert len(example["detail"]) > 10
