"""The OpenAPI document describes the serving version, and its examples work unchanged."""

import asyncio
import json
import time

import pytest

from predictor.openapi.examples import Examples
from tests.predictor.graphs import NAMES, OURS, classifier, one_input_per_column, regressor
from tests.predictor.live import Live
from tests.predictor.parts import version

METHODS = {"get", "post"}
FORMS = {"dataframe_split", "dataframe_records", "instances", "inputs"}


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    yield made
    await made.client.aclose()
    await made.reconciler.close()


async def document(live):
    return (await live.client.get("/openapi.json")).json()


def references(node):
    """Every $ref below a node."""
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from references(value)
    if isinstance(node, list):
        for value in node:
            yield from references(value)


def operations(found):
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


async def test_features_are_the_serving_versions(live):
    """By name, all required, nothing else allowed."""
    await live.serve(1, OURS)
    record = (await document(live))["components"]["schemas"]["Record"]
    assert list(record["properties"]) == record["required"] == NAMES
    assert record["additionalProperties"] is False
    assert record["properties"]["mean_radius"]["type"] == "number"


async def test_classes_are_the_serving_versions(live):
    """A frontend can generate an enumeration."""
    await live.serve(1, OURS)
    schemas = (await document(live))["components"]["schemas"]
    assert schemas["ClassLabel"]["enum"] == ["malignant", "benign"]
    assert schemas["Probabilities"]["required"] == ["malignant", "benign"]


@pytest.mark.parametrize(
    "model",
    [OURS, classifier(), classifier(labels=(3, 5)), one_input_per_column(), regressor(targets=2)],
)
async def test_the_example_works_unchanged(live, model):
    """The response is 200 and equals the example of the response."""
    await live.serve(1, model)
    schemas = (await document(live))["components"]["schemas"]
    response = await live.client.post("/predict", json=schemas["Record"]["example"])
    assert response.status_code == 200
    assert response.json() == schemas["Prediction"]["example"]
    many = {"instances": [schemas["Record"]["example"]]}
    assert (await live.client.post("/predict/batch", json=many)).status_code == 200


@pytest.mark.parametrize(
    ("model", "forms"),
    [
        (OURS, {*FORMS, "csv"}),
        (regressor(targets=2), {*FORMS, "csv"}),
        (classifier(metadata={"feature_names": ["a,b", 'say "hi"']}), {*FORMS, "csv"}),
        (one_input_per_column(), FORMS),  # blank, a text is empty, which CSV cannot say
    ],
)
async def test_every_example_of_a_scoring_body_works_unchanged(live, model, forms):
    """In each form, with as many records as in `/predict/batch`."""
    await live.serve(1, model)
    found = await document(live)
    content = found["paths"]["/invocations"]["post"]["requestBody"]["content"]
    answers = {}
    for kind, media in content.items():
        for form, example in media.get("examples", {}).items():
            body = example["value"] if kind == "text/csv" else json.dumps(example["value"])
            sent = {"content": body, "headers": {"content-type": kind}}
            answer = await live.client.post("/invocations", **sent)
            assert answer.status_code == 200, answer.text
            answers[form] = answer.json()["predictions"]
    assert answers.keys() == forms
    batch = found["paths"]["/predict/batch"]["post"]["requestBody"]["content"]["application/json"]
    rows = len(batch["examples"]["several"]["value"]["instances"])
    for given in answers.values():
        assert len(given if isinstance(given, list) else next(iter(given.values()))) == rows


async def test_it_changes_with_the_version(live):
    """After a promotion it describes the new version; after a demotion none."""
    assert (await document(live))["components"]["schemas"]["Record"].get("properties") is None
    await live.serve(1, OURS)
    first = await document(live)
    assert await document(live) == first
    await live.serve(2, one_input_per_column())
    record = (await document(live))["components"]["schemas"]["Record"]
    assert {n: p["type"] for n, p in record["properties"].items()} == {
        "age": "integer", "smoker": "boolean", "dose": "number", "code": "string",
    }  # fmt: skip
    await live.say(None)
    assert (await document(live))["components"]["schemas"]["Record"].get("properties") is None


@pytest.mark.parametrize(("targets", "kind"), [(1, "number"), (3, "array")])
async def test_a_regressor_answers_numbers(live, targets, kind):
    """One, or a list of them; no probability is promised."""
    await live.serve(1, regressor(targets=targets))
    schema = (await document(live))["components"]["schemas"]["Prediction"]
    assert schema["properties"]["prediction"]["type"] == kind
    assert "probability" not in schema["properties"]


@pytest.mark.parametrize("model", [None, OURS, one_input_per_column()])
async def test_the_document_is_whole(live, model):
    """OpenAPI 3.1: every reference leads somewhere, every operation has an id and its errors."""
    if model:
        await live.serve(1, model)
    found = await document(live)
    assert found["openapi"].startswith("3.1")
    assert found["info"]["title"]
    assert set(references(found)) <= {
        f"#/components/{kind}/{name}"
        for kind, named in found["components"].items()
        for name in named
    }
    ids = [operation["operationId"] for _, _, operation in operations(found)]
    assert sorted(ids) == sorted(set(ids))
    for path, method, operation in operations(found):
        assert method in METHODS, path
        assert operation["summary"]
        assert "200" in operation["responses"]
        for code, answer in operation["responses"].items():
            assert answer["description"]
            if code not in {"200", "304"}:
                kind = "json" if path.startswith("/v2") else "problem+json"
                if path in {"/ping", "/version", "/invocations"}:
                    kind = "json"
                if (path, code) == ("/invocations", "415"):
                    assert list(answer["content"]) == ["text/plain"]
                    continue
                assert list(answer["content"]) == [f"application/{kind}"]
    for path in ("/predict", "/predict/batch"):
        operation = found["paths"][path]["post"]
        assert operation["requestBody"]["required"]
        assert set(operation["responses"]) == {"200", "400", "413", "415", "422", "503"}
    explain = found["paths"]["/predict/explain"]["post"]
    assert set(explain["responses"]) == {"200", "400", "409", "413", "415", "422", "503"}
    assert "503" in found["paths"]["/ready"]["get"]["responses"]


async def test_every_route_of_the_contract_is_documented(live):
    """The response has the documented members."""
    assert set((await document(live))["paths"]) >= {
        "/predict", "/predict/batch", "/predict/what-if", "/predict/explain", "/health", "/ready", "/model", "/metrics",
        "/ops/overview",
    }  # fmt: skip


async def test_names_of_any_kind_are_described(live):
    """Quotes, dots and colons in a feature's name."""
    names = ['say "hi"', "a.b:c\\d"]
    await live.serve(1, classifier(metadata={"feature_names": names}))
    schemas = (await document(live))["components"]["schemas"]
    assert schemas["Record"]["required"] == names
    response = await live.client.post("/predict", json=schemas["Record"]["example"])
    assert response.status_code == 200


async def test_the_example_is_the_recorded_one(live):
    """Real numbers are better examples than zeros."""
    await live.serve(1, OURS)
    assert Examples(live.reconciler.serving).record == {"mean_radius": 1.0, "mean_texture": 0.0}


async def test_the_document_is_json_without_surprises(live):
    """No NaN, and readable by a strict reader."""
    await live.serve(1, OURS)
    text = (await live.client.get("/openapi.json")).text
    json.loads(text, parse_constant=pytest.fail)


async def test_every_operation_takes_and_gives_a_request_id(live):
    """In each response, errors included."""
    found = await document(live)
    for path, _, operation in operations(found):
        assert {"$ref": "#/components/parameters/X-Request-ID"} in operation["parameters"], path
        for answer in operation["responses"].values():
            assert answer["headers"]["X-Request-ID"] == {
                "$ref": "#/components/headers/X-Request-ID"
            }
    assert found["components"]["headers"]["X-Request-ID"]["required"]


PROFILES = [
    {
        "name": "mean_radius", "group": "mean", "description": "distance from centre to edge",
        "unit": "µm", "minimum": 6.981, "median": 13.37, "maximum": 28.11,
    },
    {
        "name": "mean_texture", "group": "texture", "description": None, "unit": None,
        "minimum": 9.71, "median": 18.84, "maximum": 39.28,
    },
]  # fmt: skip


async def test_the_order_of_features_is_told_where_javascript_would_lose_it(live):
    await live.serve(1, classifier(metadata={"feature_names": ["b", "2018"]}))
    assert (await document(live))["components"]["schemas"]["Record"]["x-order"] == ["b", "2018"]
    await live.serve(2, classifier(metadata={"feature_names": ["b", "a"]}))
    assert "x-order" not in (await document(live))["components"]["schemas"]["Record"]


async def test_features_are_described(live):
    """Groups in order, descriptions, units, and training ranges, which are not limits."""
    metadata = {"feature_names": NAMES, "feature_profiles": PROFILES}
    await live.serve(1, classifier(metadata=metadata))
    record = (await document(live))["components"]["schemas"]["Record"]
    assert record["x-groups"] == [
        {"name": "mean", "features": ["mean_radius"]},
        {"name": "texture", "features": ["mean_texture"]},
    ]
    radius = record["properties"]["mean_radius"]
    assert (radius["x-group"], radius["x-unit"]) == ("mean", "µm")
    assert radius["x-training-range"] == {"minimum": 6.981, "median": 13.37, "maximum": 28.11}
    assert radius["maximum"] > 1e38
    assert radius["description"] == (
        "Distance from centre to edge. Group: mean. Unit: µm. In the training data: minimum 6.981, "
        "median 13.37, maximum 28.11. Finite, and within the range of float32."
    )
    beyond = await live.client.post("/predict", json={"mean_radius": 99.0, "mean_texture": 1.0})
    assert beyond.status_code == 200


async def test_the_model_is_described_to_the_last_member(live):
    """The body of `/model` has exactly the members of its schema."""
    await live.serve(1, OURS)
    live.source.broken["2"] = "no such file"
    await live.say(version(2))
    schemas = (await document(live))["components"]["schemas"]

    def check(schema, value, place):
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema and isinstance(value, dict):
            schema = schemas[schema["anyOf"][0]["$ref"].rpartition("/")[2]]
        if "properties" in schema:
            assert set(value) == set(schema["properties"]), place
            for name, each in value.items():
                check(schema["properties"][name], each, f"{place}.{name}")

    answer = (await live.client.get("/model")).json()
    assert answer["last_failure"]
    check(schemas["Model"], answer, "model")


async def test_the_document_names_the_version(live):
    await live.serve(7, OURS)
    info = (await document(live))["info"]
    assert (info["x-model-name"], info["x-model-version"]) == ("m", "7")
    assert "Version 7 of `m` serves now." in info["description"]


async def test_a_large_document_is_written_once_and_beside_the_event_loop(live):
    """Simultaneous requests wait for the same document; other requests are answered meanwhile."""
    await live.serve(1, regressor(10_000))
    asking = [asyncio.create_task(live.client.get("/openapi.json")) for _ in range(5)]
    began, longest, ticks = time.perf_counter(), 0.0, 0
    while not all(each.done() for each in asking):
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        longest, ticks = max(longest, time.perf_counter() - before), ticks + 1
    took = time.perf_counter() - began
    print(f"\n{took * 1e3:.0f} ms, the loop held for {longest * 1e3:.0f} ms at most")
    (content,) = {each.result().content for each in asking}
    assert len(json.loads(content)["components"]["schemas"]["Record"]["properties"]) == 10_000
    assert ticks > 20
    before = time.perf_counter()
    assert (await live.client.get("/openapi.json")).content == content
    assert time.perf_counter() - before < max(1.0, took)
