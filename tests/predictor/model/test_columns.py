"""Columns as data frames have them: booleans and whole numbers of other types, and columns too many."""

import json
from struct import pack
from typing import ClassVar

import pytest
from onnx import TensorProto, helper

from predictor.errors import LoadError
from tests.predictor.graphs import graph, one_input_per_column, regressor, tensor, with_metadata
from tests.predictor.live import Live
from tests.predictor.parts import servable_of
from tests.predictor.protocols.open_inference.grpc.parts import called, infer

INFER = "/v2/models/m/infer"
LENGTH = "Inference-Header-Content-Length"


def declared(**columns):
    """MLflow's signature with these columns, each of a type."""
    return json.dumps([{"type": each, "name": name} for name, each in columns.items()])


def summed(*inputs):
    """A graph that adds up columns of different types."""
    nodes = [
        helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.DOUBLE) for name, _ in inputs
    ]
    nodes.append(helper.make_node("Sum", [f"{name}_f" for name, _ in inputs], ["value"]))
    ports = [tensor(name, element, (None, 1)) for name, element in inputs]
    return graph(nodes, ports, [tensor("value", "double", (None, 1))])


@pytest.fixture
async def live(tmp_path):
    made = Live(tmp_path)
    yield made
    await made.close()


async def predicted(live, record):
    """What every door with names says of a record: all of them the same."""
    messages = []
    for path, body in (
        ("/predict", record),
        ("/predict/batch", {"instances": [record]}),
        ("/invocations", {"dataframe_records": [record]}),
    ):
        answer = await live.client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        (one,) = found.get("predictions", [found])
        messages.append(one["prediction"] if isinstance(one, dict) else one)
    names, values = zip(*record.items(), strict=True)
    cells = ("" if value is None else json.dumps(value) for value in values)
    text = f"{','.join(names)}\n{','.join(cells)}\n"
    csv = await live.client.post("/invocations", content=text, headers={"content-type": "text/csv"})
    assert csv.status_code == 200, csv.text
    messages += csv.json()["predictions"]
    assert len(set(messages)) == 1, messages
    return messages[0]


class TestBooleans:
    SIGNATURE = declared(a="boolean", b="double")

    @pytest.mark.parametrize(("value", "right"), [(True, 3.0), (False, 2.0), (1, 3.0), (0.0, 2.0)])
    async def test_true_is_one(self, live, value, right):
        """As `pandas.get_dummies` makes columns; 0 and 1 are taken as well, as the graph takes numbers."""
        await live.serve(1, regressor(2), self.SIGNATURE)
        assert await predicted(live, {"a": value, "b": 2.0}) == right

    @pytest.mark.parametrize("value", [0.5, 2, -1, "true", "1", None])
    async def test_nothing_else_is(self, live, value):
        """It is refused by its name."""
        await live.serve(1, regressor(2), self.SIGNATURE)
        answer = await live.client.post("/predict", json={"a": value, "b": 2.0})
        assert [e["field"] for e in answer.json()["errors"]] == ["a"]
        assert "expected true or false" in answer.json()["errors"][0]["message"]

    async def test_an_integer_takes_them_as_well(self, live):
        """Whatever number the graph takes."""
        model = summed(("a", "int64"), ("b", "double"))
        await live.serve(1, model, self.SIGNATURE)
        assert await predicted(live, {"a": True, "b": 2.0}) == 3.0

    async def test_tensors(self, live):
        """Booleans or numbers, and of those 0 and 1."""
        await live.serve(1, regressor(2), self.SIGNATURE)
        b = {"name": "b", "datatype": "FP32", "shape": [2], "data": [2.0, 2.0]}
        for datatype, data in (("BOOL", [True, False]), ("FP32", [1, 0]), ("INT8", [1, 0])):
            a = {"name": "a", "datatype": datatype, "shape": [2], "data": data}
            answer = await live.client.post(INFER, json={"inputs": [a, b]})
            assert answer.json()["outputs"][0]["data"] == [3.0, 2.0]
        for data in ([1, 0.5], [1, 2]):
            a = {"name": "a", "datatype": "FP32", "shape": [2], "data": data}
            answer = await live.client.post(INFER, json={"inputs": [a, b]})
            assert answer.json() == {
                "error": "input `a`: element 1: expected 0 or 1, for a boolean"
            }

    async def test_it_is_a_boolean_in_the_documents(self, live):
        """For generated clients."""
        await live.serve(1, regressor(2), self.SIGNATURE)
        document = (await live.client.get("/openapi.json")).json()
        record = document["components"]["schemas"]["Record"]
        assert record["properties"]["a"]["type"] == "boolean"
        features = (await live.client.get("/model")).json()["serving"]["signature"]["features"]
        assert features[0] == {"name": "a", "type": "boolean", "dtype": "float32", "required": True}


class TestWholeNumbers:
    @pytest.mark.parametrize(
        ("text", "right"),
        [("3.0", 3), ("1e3", 1000), ("-0.0", 0), ("3", 3), ("12e-1", None), ("1.5", None),
         ("2147483648.0", None), ("9007199254740993.0", None), ("9007199254740993", 9007199254740993)],
    )  # fmt: skip
    @pytest.mark.parametrize("element", ["int32", "int64"])
    async def test_a_float_without_a_fraction_is_an_integer(self, live, element, text, right):
        """A frame with a gap makes floats of a column; what may have been rounded is no integer."""
        if element == "int64" and text == "2147483648.0":
            right = 2147483648
        if element == "int32" and text == "9007199254740993":
            right = None
        await live.serve(1, summed(("a", element), ("b", "double")))
        record = f'{{"a": {text}, "b": 0}}'
        sent = {
            "/predict": record,
            "/predict/batch": f'{{"instances": [{record}]}}',
            "/invocations": f'{{"instances": [{record}]}}',
        }
        for path, body in sent.items():
            answer = await live.client.post(path, content=body)
            assert answer.status_code == (
                200 if right is not None else 400 if "inv" in path else 422
            )
            if right is None:
                assert "a" in answer.text
            else:
                found = answer.json()
                (one,) = found.get("predictions", [found])
                messages = one["prediction"] if isinstance(one, dict) else one
                assert messages == float(right)


class TestIgnoredColumns:
    SIGNATURE = declared(
        PassengerId="long",
        age="long",
        smoker="boolean",
        dose="double",
        code="string",
        note="string",
    )
    RECORD: ClassVar = {"age": 1, "smoker": True, "dose": 0.5, "code": "A"}

    @pytest.mark.parametrize(
        "more", [{}, {"PassengerId": 7}, {"PassengerId": None, "note": "a: b"}, {"note": 1e300}]
    )
    async def test_they_may_be_sent(self, live, more):
        """Or left out, or be null, or of another type: they are not looked at."""
        await live.serve(1, one_input_per_column(), self.SIGNATURE)
        assert await predicted(live, {**more, **self.RECORD}) == 102.5
        explained = await live.client.post("/predict/explain", json={**more, **self.RECORD})
        assert explained.status_code == 409  # there is no background, but the record is one

    @pytest.mark.parametrize(
        ("more", "field"),
        [('"PassengerId": {}', "PassengerId"), ('"note": [1]', "note"), ('"other": 1', "other"),
         ('"note": 1, "note": 1', "note"), ('"note": null, "age": 2', "age")],
    )  # fmt: skip
    async def test_other_values_are_refused(self, live, more, field):
        """What is no value, other names, and names given twice."""
        await live.serve(1, one_input_per_column(), self.SIGNATURE)
        body = f"{{{more}, {json.dumps(self.RECORD)[1:]}"
        answer = await live.client.post("/predict", content=body)
        assert [each["field"] for each in answer.json()["errors"]] == [field]

    async def test_tensors(self, live):
        """An input of that name is ignored, too."""
        await live.serve(1, one_input_per_column(), self.SIGNATURE)
        inputs = [
            {"name": "PassengerId", "datatype": "INT64", "shape": [1], "data": [7]},
            {"name": "age", "datatype": "INT64", "shape": [1, 1], "data": [1]},
            {"name": "smoker", "datatype": "BOOL", "shape": [1, 1], "data": [True]},
            {"name": "dose", "datatype": "FP64", "shape": [1, 1], "data": [0.5]},
            {"name": "code", "datatype": "BYTES", "shape": [1, 1], "data": ["A"]},
        ]
        answer = await live.client.post(INFER, json={"inputs": inputs})
        assert answer.json()["outputs"][0]["data"] == [102.5]
        answer = await live.client.post(INFER, json={"inputs": inputs[:1]})
        assert "`age` is missing" in answer.json()["error"]

    async def test_documents_list_the_ignored_columns(self, live):
        """In OpenAPI, at `/model` and in the protocol's metadata."""
        await live.serve(1, one_input_per_column(), self.SIGNATURE)
        record = (await live.client.get("/openapi.json")).json()["components"]["schemas"]["Record"]
        assert record["required"] == ["age", "smoker", "dose", "code"]
        assert "Ignored by this version" in record["properties"]["PassengerId"]["description"]
        signature = (await live.client.get("/model")).json()["serving"]["signature"]
        assert signature["ignored"] == ["PassengerId", "note"]
        metadata = (await live.client.get("/v2/models/m")).json()
        assert metadata["parameters"] == {"ignored": ["PassengerId", "note"]}

    def test_only_names_say_which_columns_are_taken(self, tmp_path):
        """One tensor without names of its own has as many columns as the signature, or none is guessed."""
        three = declared(id="long", a="double", b="double")
        with pytest.raises(LoadError, match="takes 2 columns, the signature has 3"):
            servable_of(tmp_path, regressor(2), three)
        named = with_metadata(regressor(2), feature_names=["a", "b"])
        assert servable_of(tmp_path, named, three).signature.ignored == ("id",)
        with pytest.raises(LoadError, match="name different columns"):
            servable_of(tmp_path, with_metadata(regressor(2), feature_names=["b", "a"]), three)


class TestUnknownFields:
    NAMES = ("mean_radius", "mean_texture")

    async def served(self, tmp_path, *optional, ignore=True):
        live = Live(tmp_path, extra_fields="ignore" if ignore else "refuse")
        named = with_metadata(
            regressor(2), feature_names=self.NAMES, optional_features=optional,
            background=[[0.0, 1.0], [1.0, 0.0]],
        )  # fmt: skip
        await live.serve(1, named)
        return live

    async def test_they_are_ignored_where_a_setting_says_so(self, tmp_path):
        """Whatever they hold, in a record, in several, and in one that is explained."""
        live = await self.served(tmp_path)
        record = {"patient_id": {"a": [1]}, "mean_radius": 1, "mean_texture": 2, "note": "x:y"}
        assert await predicted(live, {"patient_id": 7, "mean_radius": 1, "mean_texture": 2}) == 3.0
        for path in ("/predict", "/predict/explain"):
            assert (await live.client.post(path, json=record)).json()["prediction"] == 3.0
        several = await live.client.post("/predict/batch", json={"instances": [record] * 5000})
        assert len(several.json()["predictions"]) == 5000
        schema = (await live.client.get("/openapi.json")).json()["components"]["schemas"]["Record"]
        assert schema["additionalProperties"] is True
        await live.reconciler.close()

    @pytest.mark.parametrize(
        ("record", "fields"),
        [
            ('{"mean_radius": 1, "mean texture": 2}', ["mean_texture"]),
            ('{"mean_radius": 1, "mean_radius": 1, "mean_texture": 2, "x": 1}', ["mean_radius"]),
            ('{"mean_radius": 1, "x": 1}', ["mean_texture"]),
        ],
    )
    async def test_a_required_feature_is_still_missed(self, tmp_path, record, fields):
        """And one that is given twice is refused."""
        live = await self.served(tmp_path)
        answer = await live.client.post("/predict", content=record)
        assert [e["field"] for e in answer.json()["errors"]][:1] == fields
        await live.reconciler.close()

    @pytest.mark.parametrize(
        "record", [{"mean_radius": 1, "mean texture": 2}, {"Mean-Radius": 1}, {"a": 1, "b": 2}]
    )
    async def test_a_misspelt_one_is_not_taken_for_a_missing_one(self, tmp_path, record):
        """That would be a wrong answer without a word."""
        live = await self.served(tmp_path, *self.NAMES)
        answer = await live.client.post("/predict", json=record)
        assert answer.status_code == 422
        assert {e["message"] for e in answer.json()["errors"]} == {"unknown feature"}
        await live.reconciler.close()

    async def test_they_are_refused_elsewhere(self, tmp_path):
        """By their names; one sentence says what was probably meant."""
        live = await self.served(tmp_path, ignore=False)
        answer = await live.client.post("/predict", json={"mean radius": 1, "mean_texture": 2})
        assert [e["field"] for e in answer.json()["errors"]] == ["mean_radius", "mean radius"]
        assert answer.json()["detail"] == (
            "2 fault(s) in the body; the names differ only in spelling: send `mean_radius`, not `mean radius`"
        )
        for path, body in (
            ("/predict", {"features": [1, 2]}), ("/predict", [1, 2]), ("/predict/batch", [[1, 2]]),
            ("/predict/batch", {"instances": [[1, 2]]}), ("/predict/batch", {"inputs": [[1, 2]]}),
        ):  # fmt: skip
            answer = await live.client.post(path, json=body)
            assert answer.status_code == 422
            assert "lists of values go to /invocations" in answer.json()["detail"]
        body = {"inputs": [{"mean radius": 1, "mean_texture": 2}]}
        answer = await live.client.post("/invocations", json=body)
        assert "send 'mean_radius', not 'mean radius'" in answer.json()["message"]
        tensor = {"name": "mean radius", "datatype": "FP32", "shape": [1], "data": [1.0]}
        answer = await live.client.post(INFER, json={"inputs": [tensor]})
        assert "send `mean_radius`" in answer.json()["error"]
        await live.reconciler.close()


@pytest.mark.parametrize(("text", "status"), [("3.4028235e38", 200), ("3.4028236e38", 422)])
async def test_the_largest_float32_as_java_prints_it(live, text, status):
    """It is a little more than it is; what rounds to it is taken, by every door."""
    await live.serve(1, summed(("a", "float"), ("b", "double")))
    record = f'{{"a": -{text}, "b": 0}}'
    for path, body in (
        ("/predict", record),
        ("/predict/batch", f'{{"instances": [{record}]}}'),
        ("/invocations", f'{{"inputs": [{record}]}}'),
        (INFER, f'{{"inputs": [{{"name": "a", "datatype": "FP32", "shape": [1], "data": [-{text}]}}, {{"name": "b", "datatype": "FP64", "shape": [1], "data": [0]}}]}}'),
    ):  # fmt: skip
        answer = await live.client.post(path, content=body)
        ours = path.startswith("/predict")
        assert answer.status_code == (status if ours or status == 200 else 400)
        if status == 200:
            assert "3.4028234663852886e38" in answer.text.replace("e+", "e")


async def test_the_largest_float32_over_grpc(tmp_path):
    """As a float64 that rounds to it."""
    async with called(tmp_path) as service:
        for value, ok in ((3.4028235e38, True), (3.4028236e38, False)):
            raw = pack("<2d", value, 0.0)
            answer = await service.client.ask(infer(raw, datatype="FP64"))
            assert (answer.code.name == "OK") is ok
