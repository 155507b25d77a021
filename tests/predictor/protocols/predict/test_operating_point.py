"""The operating point by every route: in our own protocols, at `/model`, and in the document; no other changes."""

import pytest

from tests.predictor.graphs import GOOD, METADATA, OURS, classifier, regressor
from tests.predictor.live import Live

EVIDENCE = {"stated_sensitivity": 0.98, "found": 41, "of": 42}
ENTRY = {"class": "benign", "threshold": 0.125, **EVIDENCE}
BACKGROUND = [[0.4140625, -2.828125], [1.7265625, 0.5703125]]
PLAIN = classifier(metadata={**METADATA, "background": BACKGROUND})
WITH = classifier(metadata={**METADATA, "background": BACKGROUND, "operating_point": ENTRY})
HELD_OUT = {
    "found": 41, "positives": 42, "false_alarms": 0, "negatives": 72, "lowest_positive": 0.044,
    "sensitivity_interval_95": [0.88, 0.996],
}  # fmt: skip
ZONE = {
    "low": 0.03, "high": 0.125, "positives": 3, "of_positives": 170, "negatives": 9, "of_negatives": 285,
    "positives_below": 1,
}  # fmt: skip
MEASURED = {**ENTRY, "held_out": {**HELD_OUT, "summary": "41 of 42"}, "grey_zone": ZONE}
OTHER = {**GOOD, "mean_radius": 0.5}  # benign: 0.119 for GOOD, 0.269 for this
BELOW, ABOVE = ({"class": "benign", "threshold": 0.125, "above": above} for above in (False, True))


@pytest.fixture(params=["socket", "asgi"])
async def live(tmp_path, request):
    """With a socket, requests come by the fast lane."""
    made = Live(tmp_path)
    await made.serve(7, WITH)
    if request.param == "socket":
        async with made.on_socket():
            yield made
    else:
        yield made
    await made.close()


async def post(live, path, body):
    response = await live.client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_one_record(live):
    """The prediction is the model's own; the operating point is beside it."""
    answer = await post(live, "/predict", GOOD)
    assert (answer["prediction"], answer["operating_point"]) == ("malignant", BELOW)
    answer = await post(live, "/predict", OTHER)
    assert (answer["prediction"], answer["operating_point"]) == ("malignant", ABOVE)


async def test_several_records(live):
    """Each has its own comparison."""
    answer = await post(live, "/predict/batch", {"instances": [GOOD, OTHER, GOOD]})
    found = [each["operating_point"] for each in answer["predictions"]]
    assert found == [BELOW, ABOVE, BELOW]


async def test_an_explanation_repeats_the_prediction(live):
    """With its operating point."""
    answer = await post(live, "/predict", OTHER)
    explained = await post(live, "/predict/explain", OTHER)
    assert answer.items() <= explained.items()


async def test_other_protocols_stay_as_they_are(live):
    """Their responses have forms that clients rely on: columns of a table, tensors of the graph."""
    table = {"inputs": [[1.0, 0.0]]}
    tensors = {"inputs": [{"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 0.0]}]}
    paths = {"/invocations": table, "/v2/models/m/infer": tensors}
    found = {path: await post(live, path, body) for path, body in paths.items()}
    described = (await live.client.get("/v2/models/m")).json()
    await live.serve(8, PLAIN)
    for path, body in paths.items():
        plain = await post(live, path, body)
        plain |= {"model_version": "7"} if "model_version" in plain else {}
        assert found[path] == plain
    assert described | {"versions": ["8"]} == (await live.client.get("/v2/models/m")).json()


async def test_a_version_without_one(live):
    """The member is absent from the first prediction on, and back after a rollback."""
    await live.serve(8, PLAIN)
    assert "operating_point" not in await post(live, "/predict", GOOD)
    assert "operating_point" not in await post(live, "/predict/explain", GOOD)
    await live.serve(7, WITH)
    assert (await post(live, "/predict", GOOD))["operating_point"] == BELOW


async def test_the_state_has_the_evidence(live):
    """`/model` shows how the threshold was chosen, and null for a version without one."""
    serving = (await live.client.get("/model")).json()["serving"]
    assert serving["operating_point"] == {
        "class": "benign", "threshold": 0.125, "evidence": EVIDENCE,
    }  # fmt: skip
    await live.serve(8, regressor())
    assert (await live.client.get("/model")).json()["serving"]["operating_point"] is None


async def test_the_document_has_it_only_with_such_a_version(live):
    """A required member of each prediction, with an example of it."""
    schemas = (await live.client.get("/openapi.json")).json()["components"]["schemas"]
    for name in ("Prediction", "RowPrediction", "Explained"):
        assert "operating_point" in schemas[name]["required"]
    assert schemas["Prediction"]["example"]["operating_point"].keys() == BELOW.keys()
    assert set(schemas["OperatingPoint"]["required"]) == BELOW.keys()
    await live.serve(8, OURS)
    document = (await live.client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert "OperatingPoint" not in schemas
    for name in ("Prediction", "RowPrediction", "Explained"):
        assert "operating_point" not in schemas[name]["properties"]


async def test_the_document_has_what_the_threshold_is_worth(live):
    """The counts of held-out rows and the grey zone, where the artifact has them in the trainer's form."""
    measured = {**METADATA, "background": BACKGROUND, "operating_point": MEASURED}
    foreign = {**ENTRY, "held_out": {"found": -1}, "grey_zone": "wide"}
    for number, entry, expected in (
        (7, ENTRY, {}),
        (8, MEASURED, {"held_out": HELD_OUT, "grey_zone": ZONE}),
        (9, foreign, {}),
    ):
        await live.serve(number, classifier(metadata={**measured, "operating_point": entry}))
        schemas = (await live.client.get("/openapi.json")).json()["components"]["schemas"]
        extension = schemas["OperatingPoint"]["x-operating-point"]
        assert extension == {"class": "benign", "threshold": 0.125, **expected}
        assert schemas["Probabilities"]["x-positive-class"] == "malignant"
