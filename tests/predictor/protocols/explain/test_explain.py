"""`POST /predict/explain`, through the whole application, with models as the trainer exports them."""

import asyncio
import json

import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from exporters.export import export
from exporters.metadata import Settings
from predictor.errors import Overloaded
from predictor.keys import line_of
from tests.predictor.graphs import GOOD, OURS, regressor, with_metadata
from tests.predictor.live import Live
from tests.predictor.openapi.test_document import document
from tests.predictor.protocols.explain.parts import adds_up, by_name
from tests.predictor.test_app import is_problem
from trainer.candidates import CATALOGUE
from trainer.data import load, split

EXPLAIN = "/predict/explain"


@pytest.fixture(scope="module")
def rows():
    return split(load())


@pytest.fixture(scope="module")
def exported(rows):
    """A logistic regression and a forest, on the real rows."""
    features, labels = rows.train.features, rows.train.target
    forest = Pipeline([("classify", RandomForestClassifier(10, max_depth=4, random_state=0))])
    return [
        export(
            pipeline.fit(features, labels),
            features,
            Settings(labels, "malignant"),
        ).content
        for pipeline in (CATALOGUE["logistic_regression"].build(0), forest)
    ]


@pytest.fixture
def patient(rows):
    return rows.test.features.iloc[3].to_dict()


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path, max_body_bytes=4000)
    yield made
    await made.close()


async def test_the_answer_and_why(live, exported, patient):
    """Beside the explanation stands what `/predict` says; contributions add up, the largest first."""
    for number, model in enumerate(exported, 1):
        await live.serve(number, model)
        plain = (await live.client.post("/predict", json=patient)).json()
        response = await live.client.post(EXPLAIN, json=patient)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"
        answer = response.json()
        assert adds_up(answer)
        assert by_name(answer, "value") == patient
        sizes = [abs(each["contribution"]) for each in answer["explanation"]["contributions"]]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > 0
        said = answer.pop("explanation")
        assert said["output"] == "malignant"
        assert said["baseline"]["rows"] == 50
        method = ("linear", "log_odds", 0) if number == 1 else ("permutation", "probability", 800)
        assert (said["method"], said["scale"], said["permutations"]) == method
        assert answer == plain
        assert answer["model_version"] == str(number)


async def test_a_swap_while_answers_are_explained(live, exported, patient):
    """Each explanation is of the one version that it names, which is one of the two."""
    logistic, forest = exported
    await live.serve(1, logistic)
    expected = {"1": (await live.client.post(EXPLAIN, json=patient)).json()}
    asked = [asyncio.create_task(live.client.post(EXPLAIN, json=patient)) for _ in range(10)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    await live.serve(2, forest)
    asked += [asyncio.create_task(live.client.post(EXPLAIN, json=patient)) for _ in range(10)]
    answers = [response.json() for response in await asyncio.gather(*asked)]
    expected["2"] = answers[-1]
    assert {answer["model_version"] for answer in answers} == {"1", "2"}
    assert all(answer == expected[answer["model_version"]] for answer in answers)
    assert expected["1"]["explanation"]["method"] == "linear"
    assert expected["2"]["explanation"]["method"] == "permutation"


async def test_warnings_are_those_of_predict(live, exported, patient):
    """Of a measurement outside the training data, beside what it contributed."""
    far = {**patient, "mean_radius": 99.5}
    for number, model in enumerate(exported, 1):
        await live.serve(number, model)
        answer = (await live.client.post(EXPLAIN, json=far)).json()
        (warning,) = answer["warnings"]
        assert warning["feature"] == "mean_radius"
        assert warning["value"] == 99.5
        plain = (await live.client.post("/predict", json=far)).json()
        assert {**plain, "explanation": answer["explanation"]} == answer


async def test_a_version_that_carries_no_background(live):
    """409, and what to do about it; it goes on predicting."""
    await live.serve(1, OURS)
    problem = is_problem(await live.client.post(EXPLAIN, json=GOOD), 409)
    assert "export it with `background`" in problem["detail"]
    assert (await live.client.post("/predict", json=GOOD)).status_code == 200


async def test_answers_that_are_not_one_number(live):
    await live.serve(1, with_metadata(regressor(targets=2), background=[[1.0, 2.0]]))
    problem = is_problem(
        await live.client.post(EXPLAIN, json={"feature_0": 1, "feature_1": 2}), 409
    )
    assert "several numbers" in problem["detail"]


async def test_bodies_are_refused_as_by_predict(live):
    """The same faults, by name, with the same status."""
    is_problem(await live.client.post(EXPLAIN, json=GOOD), 503, retry_after="1")
    await live.serve(1, with_metadata(OURS, background=[[1.0, 2.0]]))
    for content in (
        b"{", b"[]", b"null", b"\xff", json.dumps(GOOD).encode() + b"}", b'{"mean_radius": 1}',
        b'{"mean_radius": 1, "mean_texture": 1e39}', b'{"mean_radius": "1", "mean_texture": null}',
        b'{"mean_radius": 1, "mean_radius": 1, "mean_texture": 2}', b"1" * 5000, b"[" * 3000,
    ):  # fmt: skip
        headers = {"Content-Type": "application/json"}
        given, plain = [
            await live.client.post(path, content=content, headers=headers)
            for path in (EXPLAIN, "/predict")
        ]
        assert 400 <= given.status_code < 500, content
        assert given.status_code == plain.status_code, content
        assert given.json() == plain.json(), content
    wrong = await live.client.post(EXPLAIN, content=b"a,b", headers={"Content-Type": "text/csv"})
    is_problem(wrong, 415)
    is_problem(await live.client.get(EXPLAIN), 405)


async def test_what_is_counted(live, exported, patient):
    """The one row that was explained, as one prediction; the mixtures are nobody's predictions."""
    await live.serve(2, exported[1])
    assert (await live.client.post(EXPLAIN, json=patient)).status_code == 200
    await asyncio.sleep(0.01)
    samples = live.samples()
    assert samples["predictor_requests_total", "200", EXPLAIN] == 1
    assert sum(v for k, v in samples.items() if k[0] == "predictor_predictions_total") == 1
    assert samples["predictor_batch_rows_sum",] == 1


async def test_explanations_are_bounded_as_batches_are(tmp_path, exported, patient):
    """What waits for a thread is counted; beyond half of it, 503 at once. Batches have the other half."""
    live = Live(tmp_path)
    await live.serve(2, exported[1])
    asked = [asyncio.create_task(live.client.post(EXPLAIN, json=patient)) for _ in range(40)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    others = await asyncio.gather(
        *(live.client.post("/predict/batch", json={"instances": [patient]}) for _ in range(16)),
        live.client.post("/predict", json=patient),
    )
    assert [answer.status_code for answer in others] == [200] * 17
    answers = await asyncio.gather(*asked)
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) <= 24
    assert is_problem(refused[0], 503)["detail"] == str(Overloaded(16, "large requests"))
    await live.reconciler.close()


async def test_it_asks_for_the_key_of_predictions(tmp_path, exported, patient):
    keys = tmp_path / "keys"
    keys.write_text(line_of("ward-1", "key-of-ward-1"))
    live = Live(tmp_path, api_keys_file=keys)
    await live.serve(1, exported[0])
    is_problem(await live.client.post(EXPLAIN, json=patient), 401)
    headers = {"Authorization": "Bearer key-of-ward-1"}
    answer = await live.client.post(EXPLAIN, json=patient, headers=headers)
    assert answer.status_code == 200
    await live.reconciler.close()


async def test_the_document_describes_the_answer(live, exported, patient):
    """Every member of a real answer, and no required one that it lacks."""
    await live.serve(2, exported[1])
    answer = (await live.client.post(EXPLAIN, json=patient)).json()
    schemas = (await document(live))["components"]["schemas"]
    for name, given in (
        ("Explained", answer),
        ("Explanation", answer["explanation"]),
        ("Contribution", answer["explanation"]["contributions"][0]),
    ):
        assert set(schemas[name]["required"]) == set(given)
        assert set(schemas[name]["properties"]) >= set(given)
