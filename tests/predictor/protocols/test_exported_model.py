"""A model of numbers, booleans and texts, some missing, that `exporters` made: every route predicts as its library."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from exporters.export import export
from exporters.mlflow_model import signature_of
from tests.predictor.live import Live

_random = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "größe (cm²)": _random.normal(50, 12, 200),
        "beds": _random.integers(0, 9, 200),
        "insured": _random.random(200) > 0.5,
        "ward": _random.choice(["north", "süd", "west"], 200).astype(object),
        "city": _random.choice(["Ulm", "Kiel"], 200).astype(object),
    }
)
TARGET = np.where((FRAME["beds"] > 4) | (FRAME["ward"] == "süd"), "böse", "gut")
FRAME.loc[::9, "größe (cm²)"] = np.nan
FRAME.loc[::7, "ward"] = np.nan
ROWS = FRAME.head(20)
RECORDS = [
    {name: None if pd.isna(value) else value for name, value in row.items()}
    for row in ROWS.astype(object).to_dict("records")
]


def model_of(final):
    """One that imputes and encodes."""
    encode = OneHotEncoder(handle_unknown="ignore")
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["größe (cm²)", "beds"]),
            ("passthrough", ["insured"]),
            (make_pipeline(SimpleImputer(strategy="most_frequent"), encode), ["ward"]),
            (encode, ["city"]),
        ),
        final,
    )


MODEL = model_of(LogisticRegression()).fit(FRAME, TARGET)
EXPORT = export(MODEL, FRAME)
COLUMNS = json.dumps(signature_of(EXPORT).inputs.to_dict())
RIGHT = MODEL.predict_proba(ROWS)[:, 1]


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    await made.serve(1, EXPORT.content, COLUMNS)
    yield made
    await made.close()


def close(given):
    return np.allclose(given, RIGHT, atol=1e-5)


async def post(live, path, body, **headers):
    content = body if isinstance(body, str) else json.dumps(body)
    answer = await live.client.post(path, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_records_alone_in_a_batch_and_by_the_fast_lane(live):
    alone = [await post(live, "/predict", record) for record in RECORDS]
    assert close([each["probabilities"]["gut"] for each in alone])
    assert [each["prediction"] for each in alone] == MODEL.predict(ROWS).tolist()
    batch = await post(live, "/predict/batch", {"instances": RECORDS})
    assert close([each["probabilities"]["gut"] for each in batch["predictions"]])
    without = [{k: v for k, v in record.items() if v is not None} for record in RECORDS]
    async with live.on_socket():
        quick = [await post(live, "/predict", record) for record in without]
    assert close([each["probabilities"]["gut"] for each in quick])


async def test_tables_and_csv(live):
    split = {"columns": list(ROWS), "data": [list(record.values()) for record in RECORDS]}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": RECORDS},
        {"inputs": {name: [record[name] for record in RECORDS] for name in ROWS}},
    ):
        answer = await post(live, "/invocations", body)
        assert answer["predictions"] == MODEL.predict(ROWS).tolist()
    answer = await post(
        live, "/invocations", ROWS.to_csv(index=False), **{"content-type": "text/csv"}
    )
    assert answer["predictions"] == MODEL.predict(ROWS).tolist()


async def test_tensors(live):
    datatypes = {"größe (cm²)": "FP64", "beds": "INT64", "insured": "BOOL"}
    inputs = [
        {
            "name": name,
            "datatype": datatypes.get(name, "BYTES"),
            "shape": [len(RECORDS)],
            "data": [record[name] for record in RECORDS],
        }
        for name in ROWS
    ]
    answer = await post(live, "/v2/models/m/infer", {"inputs": inputs})
    assert close(np.reshape(answer["outputs"][1]["data"], (-1, 2))[:, 1])
    one = [
        {**each, "shape": [1], "data": each["data"][1:2]}
        for each in inputs
        if each["name"] != "ward"
    ]
    answer = await post(live, "/v2/models/m/infer", {"inputs": one})
    row = FRAME.iloc[[1]].assign(ward=np.nan).astype({"ward": object})
    expected = MODEL.predict_proba(row)[0, 1]
    assert np.isclose(answer["outputs"][1]["data"][1], expected, atol=1e-5)


async def test_explanations_of_texts_and_missing_values_add_up(live):
    for record, right in zip(RECORDS[:8], RIGHT, strict=False):
        explained = (await post(live, "/predict/explain", record))["explanation"]
        added = sum(each["contribution"] for each in explained["contributions"])
        assert np.isclose(added, explained["value"] - explained["baseline"]["value"], atol=1e-5)
        value = explained["value"] if explained["output"] == "gut" else 1 - explained["value"]
        assert np.isclose(value, right, atol=1e-5)
        values = {each["feature"]: each["value"] for each in explained["contributions"]}
        assert values == record


async def test_documents_say_what_may_be_missing(live):
    schema = (await live.client.get("/openapi.json")).json()["components"]["schemas"]["Record"]
    assert schema["required"] == ["beds", "insured", "city"]
    assert schema["properties"]["ward"]["type"] == ["string", "null"]
    metadata = (await live.client.get("/v2/models/m")).json()
    assert metadata["parameters"] == {"may_be_missing": ["größe (cm²)", "ward"]}


@pytest.mark.parametrize("field", ["beds", "insured", "city"])
async def test_what_was_never_missing_is_refused_by_name(live, field):
    for record in (
        {**RECORDS[1], field: None},
        {k: v for k, v in RECORDS[1].items() if k != field},
    ):
        answer = await live.client.post("/predict", json=record)
        assert answer.status_code == 422
        assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_a_number_out_of_range_is_warned_about_and_a_text_has_no_range(live):
    answer = await post(live, "/predict", {**RECORDS[1], "größe (cm²)": 1e6, "ward": "east"})
    assert [each["feature"] for each in answer["warnings"]] == ["größe (cm²)"]


async def test_a_regressor_of_the_same_columns(tmp_path):
    model = model_of(Ridge()).fit(FRAME, FRAME["beds"] * 2.5)
    made = export(model, FRAME)
    live = Live(tmp_path)
    await live.serve(1, made.content, json.dumps(signature_of(made).inputs.to_dict()))
    batch = await post(live, "/predict/batch", {"instances": RECORDS})
    assert np.allclose(
        [each["prediction"] for each in batch["predictions"]], model.predict(ROWS), atol=1e-4
    )
    await live.close()


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
async def test_the_text_that_stands_for_a_missing_value_is_refused(live, path):
    """The library would read it as a category."""
    record = {**RECORDS[1], "ward": "nan"}
    body = {"instances": [record]} if path.endswith("batch") else record
    answer = await live.client.post(path, json=body)
    assert answer.status_code == 422
    assert "send null" in answer.json()["errors"][0]["message"]
    same = await live.client.post("/predict", json={**RECORDS[1], "city": "nan", "ward": "nano"})
    assert same.status_code == 200


async def test_a_code_that_the_model_knows_as_a_whole_number_takes_no_fraction(tmp_path):
    """An encoder in a graph of floats would read 2.5 as 2."""
    frame = pd.DataFrame({"code": np.arange(60) % 3, "size": np.arange(60.0)})
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["code"])), Ridge()
    ).fit(frame, frame["code"])
    made = export(model, frame)
    live = Live(tmp_path)
    await live.serve(1, made.content, json.dumps(signature_of(made).inputs.to_dict()))
    right = model.predict(frame.iloc[[2]])[0]
    for whole in (2, 2.0):
        answer = await post(live, "/predict", {"code": whole, "size": 1.5})
        assert np.isclose(answer["prediction"], right, atol=1e-5)
    whole = [
        {"name": n, "datatype": "FP64", "shape": [1], "data": [v]}
        for n, v in (("code", 2.0), ("size", 1.5))
    ]
    answer = await post(live, "/v2/models/m/infer", {"inputs": whole})
    assert np.isclose(answer["outputs"][0]["data"][0], right, atol=1e-5)
    table = {"dataframe_records": [{"code": 2.5, "size": 1.5}]}
    half = [{**whole[0], "data": [2.5]}, whole[1]]
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 2], "data": [2.5, 1.5]}
    for path, body, code in (
        ("/predict", {"code": 2.5, "size": 1.5}, 422),
        ("/predict/batch", {"instances": [{"code": 2.5, "size": 1.5}]}, 422),
        ("/invocations", table, 400),
        ("/v2/models/m/infer", {"inputs": half}, 400),
        ("/v2/models/m/infer", {"inputs": [tensor]}, 400),
    ):
        refused = await live.client.post(path, json=body)
        assert refused.status_code == code, (path, refused.text)
    await live.close()
