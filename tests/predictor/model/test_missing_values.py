"""A value that may be missing is NaN for the graph, by every door; elsewhere it is refused by its name.

The right values are scikit-learn's own, of a gradient boosting that was trained on rows with gaps.
"""

import json
import math
from struct import pack

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

from predictor.errors import LoadError
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from tests.predictor.graphs import converted, regressor, with_metadata
from tests.predictor.live import Live
from tests.predictor.parts import servable_of
from tests.predictor.protocols.open_inference.grpc.parts import called, infer

NAMES = ["age", "dose", "weight"]
OPTIONAL = ["dose", "weight"]
_random = np.random.default_rng(7)
ROWS = _random.normal(size=(200, 3)).astype(np.float32)
GAPS = ROWS.copy()
GAPS[:, 1:][_random.random((200, 2)) < 0.3] = np.nan
TARGET = (np.nan_to_num(GAPS[:, 1]) + GAPS[:, 0] > 0).astype(int)
BOOSTED = HistGradientBoostingClassifier(max_iter=10).fit(GAPS, TARGET)
PROFILES = [{"name": n, "minimum": -1.0, "median": 0.0, "maximum": 1.0} for n in NAMES]
GRAPH = with_metadata(
    converted(BOOSTED, 3, zipmap=False), feature_names=NAMES, optional_features=OPTIONAL,
    feature_profiles=PROFILES,
    background=[[None if np.isnan(v) else float(v) for v in row] for row in GAPS[:20]],
    recorded_examples=[
        {"record": {"age": 0.5, "dose": None}, "prediction": int(BOOSTED.predict([[0.5, np.nan, np.nan]])[0])}
    ],
)  # fmt: skip
COLUMNS = json.dumps([{"type": "double", "name": n, "required": n not in OPTIONAL} for n in NAMES])
RECORDS = [
    {"age": 0.25, "dose": None, "weight": 0.5},
    {"age": 0.25, "weight": 0.5},
    {"age": -0.25},
    {"age": 0.75, "dose": 0.5, "weight": 0.125},
]
TABLE = np.array([[r.get(n) for n in NAMES] for r in RECORDS], np.float64).astype(np.float32)
RIGHT = BOOSTED.predict_proba(TABLE)[:, 1]
INFER = "/v2/models/m/infer"


def close(given):
    return np.allclose(given, RIGHT, atol=1e-6)


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    await made.serve(1, GRAPH)
    yield made
    await made.close()


async def post(live, path, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await live.client.post(path, content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_records(live):
    """Null and absent are one thing, alone and in a batch, and no value is out of any range for it."""
    given = [await post(live, "/predict", record) for record in RECORDS]
    assert close([each["probabilities"]["1"] for each in given])
    assert not any("warnings" in each for each in given)
    several = await post(live, "/predict/batch?warnings=true", {"instances": RECORDS})
    assert close([each["probabilities"]["1"] for each in several["predictions"]])
    assert not any("warnings" in each for each in several["predictions"])
    warned = await post(live, "/predict", {"age": 4.0, "dose": None})
    assert [each["feature"] for each in warned["warnings"]] == ["age"]
    large = await post(live, "/predict/batch", {"instances": RECORDS * 1000})
    assert np.allclose([p["probabilities"]["1"] for p in large["predictions"]], [*RIGHT] * 1000)


async def test_explanations(live):
    """The contributions add up, and what is missing is null."""
    for record, right in zip(RECORDS, RIGHT, strict=True):
        said = (await post(live, "/predict/explain", record))["explanation"]
        answer = right if said["output"] == "1" else 1 - right
        assert math.isclose(said["value"], answer, abs_tol=1e-6)
        added = sum(each["contribution"] for each in said["contributions"])
        assert math.isclose(added, said["value"] - said["baseline"]["value"], abs_tol=1e-6)
        values = {each["feature"]: each["value"] for each in said["contributions"]}
        assert values == {name: record.get(name) for name in NAMES}


async def test_tensors(live):
    """NaN in bytes, null in JSON, or no tensor of that feature."""

    def right(answer):
        return close(np.reshape(answer["outputs"][1]["data"], (-1, 2))[:, 1])

    data = [record.get(name) for record in RECORDS for name in NAMES]
    whole = {"name": "X", "datatype": "FP32", "shape": [4, 3]}
    assert right(await post(live, INFER, {"inputs": [{**whole, "data": data}]}))
    raw = TABLE.astype("<f4").tobytes()
    for datatype, dtype in (("FP32", "<f4"), ("FP64", "<f8")):
        raw = TABLE.astype(dtype).tobytes()
        marked = {**whole, "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}
        head = json.dumps({"inputs": [marked]}).encode()
        length = {"Inference-Header-Content-Length": str(len(head))}
        answer = await live.client.post(INFER, content=head + raw, headers=length)
        assert right(answer.json())
    by_name = [
        {"name": n, "datatype": "FP64", "shape": [4], "data": [r.get(n) for r in RECORDS]}
        for n in NAMES
    ]
    assert right(await post(live, INFER, {"inputs": by_name}))
    age, _, weight = by_name
    without = {
        "inputs": [{**age, "shape": [1], "data": [0.25]}, {**weight, "shape": [1], "data": [0.5]}]
    }
    answer = await post(live, INFER, without)
    assert math.isclose(answer["outputs"][1]["data"][1], RIGHT[1], abs_tol=1e-6)
    half = np.array([[0.25, np.nan, 0.5]], "<f2").tobytes()
    head = json.dumps({"inputs": [{**whole, "datatype": "FP16", "shape": [1, 3], "parameters": {"binary_data_size": 6}}]}).encode()  # fmt: skip
    answer = await live.client.post(INFER, content=head + half, headers={"Inference-Header-Content-Length": str(len(head))})  # fmt: skip
    assert math.isclose(answer.json()["outputs"][1]["data"][1], RIGHT[0], abs_tol=1e-6)


async def test_grpc(tmp_path):
    """NaN among the contents, or in the bytes."""
    async with called(tmp_path, GRAPH) as service:
        for data in (TABLE.ravel().tolist(), TABLE.astype("<f4").tobytes()):
            answer = await service.client.ask(infer(data, shape=(4, 3)))
            outputs = answer.message
            scores = (
                np.frombuffer(outputs.raw_output_contents[1], "<f4")
                if outputs.raw_output_contents
                else outputs.outputs[1].contents.fp32_contents
            )
            assert close(np.reshape(scores, (-1, 2))[:, 1])
        nan = infer([math.nan, 0.0, 0.0], shape=(1, 3))
        refused = await service.client.ask(nan)
        assert "element 0: not a finite number" in refused.detail
        metadata = await service.client.ask(pb.ModelMetadataRequest(name="m"))
        assert len(metadata.message.inputs) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", {"dataframe_records": RECORDS}),
        ("application/json", {"instances": RECORDS}),
        ("application/json", {"dataframe_split": {"columns": NAMES, "data": [[r.get(n) for n in NAMES] for r in RECORDS]}}),
        ("application/json", {"inputs": {n: [r.get(n, math.nan) for r in RECORDS] for n in NAMES}}),
        ("text/csv", "age,dose,weight\n0.25,,0.5\n0.25,NaN,0.5\n-0.25\n0.75,0.5,0.125\n"),
        ("text/csv", "weight,age,dose\n0.5,0.25,NA\n0.5,0.25,null\n,-0.25,\n0.125,0.75,0.5\n"),
    ],
)  # fmt: skip
async def test_tables(tmp_path, kind, body):
    """Null, the token NaN, an empty cell, one that pandas reads as missing, and a row that ends early."""
    live = Live(tmp_path)
    await live.serve(1, GRAPH, COLUMNS)
    content = body if isinstance(body, str) else json.dumps(body)
    sent = {"content": content, "headers": {"content-type": kind}}
    answer = await live.client.post("/invocations", **sent)
    rows = answer.json()["predictions"]
    assert [*map(int, rows)] == [*map(int, RIGHT > 0.5)]
    await live.reconciler.close()


async def test_a_column_that_is_not_there(live):
    """Is missing from every row; a table of other names is none of missing values."""
    await live.serve(2, with_metadata(GRAPH, optional_features=NAMES))
    answer = await post(
        live, "/invocations", {"dataframe_split": {"columns": ["age"], "data": [[0.5]]}}
    )
    assert answer["predictions"] == BOOSTED.predict([[0.5, np.nan, np.nan]]).tolist()
    nothing = BOOSTED.predict([[np.nan] * 3]).tolist()
    assert (await post(live, "/invocations", {"instances": [{}]}))["predictions"] == nothing
    assert (await post(live, "/predict", {}))["prediction"] == nothing[0]
    assert (await post(live, "/predict", dict.fromkeys(NAMES)))["prediction"] == nothing[0]
    for body in (
        {"dataframe_split": {"columns": ["x", "y"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["Age ", "dose"], "data": [[1, 2]]}},
    ):
        assert (await live.client.post("/invocations", json=body)).status_code == 400


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ('{"age": null}', "age", "expected a number, got null"),
        ("{}", "age", "missing"),
        ('{"age": 1, "dose": NaN}', "dose", "a missing value is null"),
        ('{"age": 1, "dose": 1e999}', "dose", "not a finite number"),
        ('{"age": 1, "dose": ""}', "dose", "expected a number, got a string"),
        ('{"age": 1, "dose": null, "dose": 2}', "dose", "given twice"),
        ('{"age": 1, "dose": null, "dose": null, "weight": 1}', "dose", "given twice"),
        ('{"age": 1, "Dose": 2}', "Dose", "unknown feature"),
    ],
)
async def test_other_values_are_refused(live, body, field, message):
    """By its name, alone and in a batch."""
    for path, text, place in (
        ("/predict", body, ""),
        ("/predict/batch", f'{{"instances": [{{"age": 1}}, {body}]}}', "instances[1]."),
    ):
        answer = await live.client.post(path, content=text)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == place + field
        assert message in answer.json()["errors"][0]["message"]


async def test_infinity_is_no_missing_value(live):
    """Neither in bytes nor in a table."""
    raw = pack("<3f", 1, math.inf, 1)
    head = json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}]}).encode()  # fmt: skip
    answer = await live.client.post(INFER, content=head + raw, headers={"Inference-Header-Content-Length": str(len(head))})  # fmt: skip
    assert "element 1: not a finite number" in answer.json()["error"]
    for value in ("Infinity", '"inf"', "1e400"):
        body = f'{{"instances": [{{"age": 1, "dose": {value}}}]}}'
        assert (await live.client.post("/invocations", content=body)).status_code == 400


async def test_documents_list_the_optional_features(live):
    """OpenAPI, `/model` and the protocol's metadata."""
    schema = (await live.client.get("/openapi.json")).json()["components"]["schemas"]["Record"]
    assert schema["required"] == ["age"]
    assert [schema["properties"][n]["type"] for n in NAMES] == ["number", *[["number", "null"]] * 2]
    assert "2 of which may be missing" in schema["description"]
    signature = (await live.client.get("/model")).json()["serving"]["signature"]
    assert [each["required"] for each in signature["features"]] == [True, False, False]
    metadata = (await live.client.get("/v2/models/m")).json()
    assert metadata["parameters"] == {"may_be_missing": OPTIONAL}


def test_mlflow_or_the_metadata_makes_a_feature_optional(tmp_path):
    """MLflow's signature as well as the metadata; but nothing is NaN where the graph takes no floats."""
    plain = converted(BOOSTED, 3, zipmap=False)
    assert servable_of(tmp_path, plain, COLUMNS).signature.may_be_missing == tuple(OPTIONAL)
    assert servable_of(tmp_path, plain).signature.may_be_missing == ()
    unnamed = json.dumps(
        [{"type": "double"}, {"type": "double", "optional": True}, {"type": "double"}]
    )
    assert servable_of(tmp_path, plain, unnamed).signature.may_be_missing == ("feature_1",)
    with pytest.raises(LoadError, match="optional_features are not its features: x"):
        servable_of(tmp_path, with_metadata(plain, optional_features=["x"]), COLUMNS)


async def test_a_model_without_an_answer_for_a_missing_value_refuses_it(tmp_path):
    """A linear one, say: NaN in, NaN out, which is no answer, also where it should be explained."""
    linear = LinearRegression().fit(ROWS, ROWS.sum(axis=1))
    live = Live(tmp_path)
    graph = with_metadata(
        converted(linear, 3),
        feature_names=NAMES,
        optional_features=NAMES,
        background=ROWS[:5].tolist(),
    )
    await live.serve(1, graph)
    for path in ("/predict", "/predict/explain"):
        answer = await live.client.post(path, json={"age": 1.0})
        assert answer.status_code == 422
        assert "no finite answer" in answer.text
        assert (await live.client.post(path, json=dict.fromkeys(NAMES, 1.0))).status_code == 200
    await live.reconciler.close()


async def test_rows_of_nothing_are_bounded(tmp_path):
    """A megabyte of `{}` would be a hundred megabytes of rows."""
    live = Live(tmp_path)
    names = [f"f{i}" for i in range(30)]
    await live.serve(1, with_metadata(regressor(30), feature_names=names, optional_features=names))
    body = b'{"instances": [' + b"{}," * 340_000 + b"{}]}"
    answer = await live.client.post("/predict/batch", content=body)
    assert answer.status_code == 413
    assert "send fewer rows at a time" in answer.json()["detail"]
    narrow = {"name": "f0", "datatype": "BOOL", "shape": [60_000], "data": []}
    narrow |= {"datatype": "UINT8", "parameters": {"binary_data_size": 60_000}}
    del narrow["data"]
    head = json.dumps({"inputs": [narrow]}).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    answer = await live.client.post(INFER, content=head + b"\0" * 60_000, headers=length)
    assert answer.status_code == 413
    await live.reconciler.close()
