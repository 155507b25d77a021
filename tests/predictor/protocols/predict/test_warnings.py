"""An answer to a record outside the training data says so, by every door; and nobody sees a patient."""

import json
from http import HTTPStatus

import pytest

from tests.predictor.graphs import GOOD, METADATA, OURS, classifier, regressor
from tests.predictor.live import Live

# No bound, median or background value is in any body that a test sends.
PROFILES = [
    {"name": "mean_radius", "description": "how large", "minimum": -1.25, "maximum": 2.125},
    {"name": "mean_texture", "minimum": -3.0625, "median": 0.71875, "maximum": 3.0},
]
BACKGROUND = [[0.4140625, -2.828125], [1.7265625, 0.5703125]]
KNOWING = classifier(metadata={**METADATA, "feature_profiles": PROFILES, "background": BACKGROUND})
FAR = {"mean_radius": 2.5, "mean_texture": -4}
TOLD = [
    {
        "feature": "mean_radius", "value": 2.5, "minimum": -1.25, "maximum": 2.125,
        "message": "mean_radius is 2.5, outside the range of the training data, -1.25 to 2.125",
    },
    {
        "feature": "mean_texture", "value": -4.0, "minimum": -3.0625, "maximum": 3.0,
        "message": "mean_texture is -4, outside the range of the training data, -3.0625 to 3",
    },
]  # fmt: skip


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    await made.serve(7, KNOWING)
    yield made
    await made.close()


async def test_a_record_within_is_answered_as_ever(live):
    """Not with an empty list."""
    answer = (await live.client.post("/predict", json=GOOD)).json()
    assert set(answer) == {
        "prediction", "probability", "probabilities", "model_name", "model_version",
    }  # fmt: skip


async def test_a_record_outside_is_answered_and_warned_of(live):
    """With the feature, the value and the range of each."""
    response = await live.client.post("/predict", json=FAR)
    assert response.status_code == HTTPStatus.OK
    answer = response.json()
    assert answer["warnings"] == TOLD
    assert (answer["prediction"], answer["model_version"]) == ("malignant", "7")
    near = {**GOOD, "mean_texture": 3.0000001}
    assert "warnings" not in (await live.client.post("/predict", json=near)).json()
    beyond = {**GOOD, "mean_texture": 3.0000003}
    (warning,) = (await live.client.post("/predict", json=beyond)).json()["warnings"]
    assert warning["value"] == 3.0000002


async def test_a_large_body_is_warned_of_as_well(live):
    """It is read in a thread."""
    body = json.dumps(FAR) + " " * 20_000
    headers = {"Content-Type": "application/json"}
    answer = await live.client.post("/predict", content=body, headers=headers)
    assert answer.json()["warnings"] == TOLD


async def test_a_batch_has_warnings_when_it_asks(live):
    """Each prediction its own, after hundreds of others, too."""
    rows = {"instances": [GOOD, FAR, *[GOOD] * 600, FAR]}
    asked = await live.client.post("/predict/batch?warnings=true", json=rows)
    predictions = asked.json()["predictions"]
    assert {n: each["warnings"] for n, each in enumerate(predictions) if "warnings" in each} == {
        1: TOLD, 602: TOLD,
    }  # fmt: skip
    for query in ("", "?warnings=false", "?warning=true"):
        plain = await live.client.post(f"/predict/batch{query}", json=rows)
        assert b"warnings" not in plain.content
        without = [{k: v for k, v in each.items() if k != "warnings"} for each in predictions]
        assert plain.json()["predictions"] == without


@pytest.mark.parametrize("query", ["1", "yes", "True", "", "true&warnings=true", "null"])
async def test_another_word_than_true_or_false_is_refused_by_name(live, query):
    """Before the body is read."""
    response = await live.client.post(f"/predict/batch?warnings={query}", content=b"{")
    assert response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    (fault,) = response.json()["errors"]
    assert (fault["field"], "query" in fault["message"]) == ("warnings", True)


@pytest.mark.parametrize("model", [OURS, regressor()])
async def test_a_version_that_says_nothing_of_its_training_warns_of_nothing(live, model):
    """Nobody knows what is far."""
    await live.serve(8, model)
    names = GOOD if model is OURS else ("feature_0", "feature_1")
    record = dict.fromkeys(names, 1e9)
    assert "warnings" not in (await live.client.post("/predict", json=record)).json()
    batch = {"instances": [record]}
    answer = await live.client.post("/predict/batch?warnings=true", json=batch)
    assert "warnings" not in answer.json()["predictions"][0]


async def test_the_document_says_what_a_warning_is(live):
    """And no answer has to have one."""
    found = (await live.client.get("/openapi.json")).json()
    schemas = found["components"]["schemas"]
    assert set(schemas["OutOfRange"]["required"]) == set(TOLD[0])
    prediction = schemas["Prediction"]
    assert prediction["properties"]["warnings"]["items"] == {
        "$ref": "#/components/schemas/OutOfRange"
    }
    assert "warnings" not in prediction["required"]
    (asked,) = (
        each
        for each in found["paths"]["/predict/batch"]["post"]["parameters"]
        if each.get("name") == "warnings"
    )
    assert (asked["in"], asked["schema"]) == ("query", {"type": "boolean", "default": False})


async def test_the_background_never_leaves_the_service(live):
    """No answer of any route has a value of it. Ranges and medians are told, on purpose."""
    paths = (await live.client.get("/openapi.json")).json()["paths"]
    answers = []
    for path, operations in paths.items():
        for method in operations:
            if path == "/events":  # never ends
                continue
            place = path.replace("{", "").replace("}", "")
            for body in (GOOD, FAR, {"instances": [FAR]}, {}):
                sent = {"json": body} if method == "post" else {}
                answers.append(await live.client.request(method, place, **sent))
    pages = ("/", "/docs", "/openapi.json", "/metrics", "/model")
    answers += [await live.client.get(path) for path in pages]
    said = "\n".join(answer.text + str(answer.headers) for answer in answers)
    assert sum(answer.status_code == HTTPStatus.OK for answer in answers) > 8
    assert "2.125" in said
    for value in (value for row in BACKGROUND for value in row):
        assert str(value) not in said
    assert all(str(value) not in repr(live.reconciler.serving) for value in BACKGROUND[0])
