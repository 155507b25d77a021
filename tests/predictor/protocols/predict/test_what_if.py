"""`POST /predict/what-if`: predictions for values that somebody tries out are nobody's."""

import asyncio

import pytest

from predictor.errors import Overloaded
from tests.predictor.graphs import GOOD, OURS, with_metadata
from tests.predictor.live import Live
from tests.predictor.test_app import is_problem

WHAT_IF = "/predict/what-if"
RADIUS = {
    "name": "mean_radius", "edges": [0.5, 1.5], "counts": [3, 4, 2], "minimum": 0.25, "maximum": 2,
}  # fmt: skip
BINS = {"features": [RADIUS, {"name": "mean_texture", "edges": [], "counts": [9]}]}
PROFILES = [{"name": name, "minimum": 0, "median": 1, "maximum": 2} for name in GOOD]
MODEL = with_metadata(
    OURS, feature_profiles=PROFILES, training_bins=BINS, background=[[0, 0], [1, 1], [2, 0]]
)
SEVERAL = {"instances": [GOOD, {**GOOD, "mean_texture": 9}]}


@pytest.fixture(params=[True, False])
async def live(tmp_path, request):
    """With the fast lane and without."""
    made = Live(tmp_path, fast_lane=request.param, drift_features=200)
    await made.serve(7, MODEL)
    async with made.on_socket():
        yield made
    await made.close()


async def test_it_answers_as_a_batch_with_warnings_does(live):
    """The same bytes; faults, too, by name."""
    answer = await live.client.post(WHAT_IF, json=SEVERAL)
    batch = await live.client.post("/predict/batch?warnings=true", json=SEVERAL)
    assert answer.content == batch.content
    assert answer.headers["cache-control"] == "no-store"
    assert [len(each.get("warnings", ())) for each in answer.json()["predictions"]] == [0, 1]
    for wrong in ({}, {"instances": []}, {"instances": [GOOD, {"mean_radius": 1}]}, GOOD, []):
        given, plain = [
            await live.client.post(path, json=wrong) for path in (WHAT_IF, "/predict/batch")
        ]
        assert is_problem(given, plain.status_code) == plain.json()


async def test_only_its_request_is_counted(live):
    """Neither a prediction, nor a row of a call, nor one for drift: by either route."""
    before = live.samples()
    assert (await live.client.post(WHAT_IF, json=SEVERAL)).status_code == 200
    assert (await live.client.post("/predict/explain?what_if=true", json=GOOD)).status_code == 200
    await asyncio.sleep(0.05)
    after = live.samples()
    moved = {key for key in after if after[key] != before.get(key, 0)}
    about_requests = ("predictor_request", "predictor_event_loop_lag", "process_", "python_")
    assert not [key for key in moved if not key[0].startswith(about_requests)]
    assert after["predictor_requests_total", "200", WHAT_IF] == 1
    assert (await live.client.post("/predict/explain?what_if=false", json=GOOD)).status_code == 200
    await asyncio.sleep(0.05)
    total = sum(v for k, v in live.samples().items() if k[0] == "predictor_predictions_total")
    assert total == 1


@pytest.mark.parametrize("query", ["1", "yes", "True", "", "true&what_if=true"])
async def test_another_word_than_true_or_false_is_refused_by_name(live, query):
    """Before the body is read: a mistyped word must not make a prediction of it."""
    response = await live.client.post(f"/predict/explain?what_if={query}", content=b"{")
    (fault,) = is_problem(response, 422)["errors"]
    assert (fault["field"], "query" in fault["message"]) == ("what_if", True)


async def test_it_leaves_half_of_the_places_to_others(tmp_path):
    """Who tries out thousands of values keeps nobody from a prediction."""
    live = Live(tmp_path)
    await live.serve(1, MODEL)
    asked = [asyncio.create_task(live.client.post(WHAT_IF, json=SEVERAL)) for _ in range(40)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert (await live.client.post("/predict/batch", json=SEVERAL)).status_code == 200
    refused = [each for each in await asyncio.gather(*asked) if each.status_code != 200]
    assert len(refused) <= 24
    for each in refused:
        assert is_problem(each, 503, retry_after="1")["detail"] == str(
            Overloaded(16, "large requests")
        )
    await live.close()


async def test_the_document_describes_it(live):
    """Its bodies are those of `/predict/batch`."""
    paths = (await live.client.get("/openapi.json")).json()["paths"]
    one, batch = (paths[path]["post"] for path in (WHAT_IF, "/predict/batch"))
    assert one["requestBody"] == batch["requestBody"]
    assert one["responses"]["200"] == batch["responses"]["200"]
    (flag,) = [
        each
        for each in paths["/predict/explain"]["post"]["parameters"]
        if each.get("name") == "what_if"
    ]
    assert (flag["in"], flag["schema"]) == ("query", {"type": "boolean", "default": False})
