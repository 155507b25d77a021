"""Rows that a version is warmed up with where none was recorded, and what becomes of one that has none."""

import json

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from predictor.errors import InvalidRecord, LoadError
from predictor.model.artifact import INPUT_EXAMPLE
from predictor.model.decoder import RowDecoder
from predictor.model.graph_categories import known_categories, refuses_values
from predictor.model.loader import load
from predictor.model.servable import Interrupt
from predictor.model.signature import Feature, Outputs, Port, Signature
from predictor.model.training_ranges import FeatureProfile
from predictor.model.warm_up import example_rows, first_rows
from tests.predictor.graphs import graph, tensor
from tests.predictor.parts import servable_of, version, write_artifact

NUMBER = Feature("dose", "number", "float32", -3e38, 3e38)
WHOLE = Feature("beds", "integer", "int64", -(2**63), 2**63 - 1)
TEXT = Feature("ward", "string", "string")
FEATURES = (NUMBER, WHOLE, TEXT)
ROW = (0.5, 3, "west")
TYPES = {
    "f": FloatTensorType([None, 1]), "i": Int64TensorType([None, 1]), "O": StringTensorType([None, 1]),
}  # fmt: skip


def encoded(frame, encoder, target, last):
    """A pipeline that encodes all columns but `dose`, with one input per column."""
    columns = [name for name in frame.columns if name != "dose"]
    pipeline = make_pipeline(
        make_column_transformer((encoder, columns), remainder="passthrough"), last
    ).fit(frame, target)
    types = [(name, TYPES.get(dtype.kind, TYPES["O"])) for name, dtype in frame.dtypes.items()]
    return pipeline, to_onnx(pipeline, initial_types=types, target_opset={"": 17, "ai.onnx.ml": 3})


def codes(dtype):
    return pd.DataFrame({"ward": np.arange(30) % 3 + 1, "grade": np.arange(30) % 2 + 1}).astype(
        dtype
    )


@pytest.mark.parametrize(
    "content",
    [
        {"columns": ["beds", "ward", "dose"], "data": [[3, "west", 0.5]]},
        {"columns": ["id", "beds", "ward", "dose"], "index": [7], "data": [[1, 3, "west", 0.5]]},
        {"data": [[0.5, 3, "west"]]},
        [[0.5, 3, "west"]],
        [{"ward": "west", "dose": 0.5, "beds": 3}],
        {"dose": [0.5], "beds": [3], "ward": ["west"]},
        {"dose": [[0.5]], "beds": [[3]], "ward": [["west"]]},
        {"dose": 0.5, "beds": 3, "ward": "west"},
        {"inputs": [[0.5, 3, "west"]]},
        {"inputs": {"dose": [0.5], "beds": [3], "ward": ["west"]}},
        {"instances": [{"ward": "west", "dose": 0.5, "beds": 3}]},
    ],
)
def test_the_forms_of_an_input_example(content):
    """Frames, arrays, objects of lists, as MLflow of any version writes them."""
    given = json.dumps(content).encode()
    assert [*example_rows(given, FEATURES, RowDecoder(FEATURES))] == [ROW]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"7", b'"text"', b"[1, 2, 3]", b'{"data": 7}', b"[[[]]]", b"\xff",
        b'{"columns": 3, "data": [[1]]}', b'{"messages": [{"role": "user"}]}', b"[" * 100_000,
        b'{"columns": ["dose"], "data": [["x"]]}', b'{"inputs": {"inputs": []}}', b"{}", b"[{}]",
    ],
)  # fmt: skip
def test_an_invalid_example_is_skipped(content):
    """It is no reason to refuse a version."""
    assert [*example_rows(content, FEATURES, RowDecoder(FEATURES))] == []


class TestCategories:
    @pytest.mark.parametrize("encoder", [OneHotEncoder(sparse_output=False), OrdinalEncoder()])
    def test_an_encoders_own_are_found_through_what_leads_to_it(self, encoder):
        """Columns that are put together and taken apart again, and casts."""
        frame = pd.DataFrame({"dose": np.arange(30.0, dtype=np.float32), "ward": ["west", "east", "north"] * 10,
                              "grade": ["b", "a"] * 15})  # fmt: skip
        _, model = encoded(frame, encoder, np.arange(30.0), LinearRegression())
        ports = [Port(node.name, "tensor(string)", (None, 1)) for node in model.graph.input]
        assert known_categories(model.SerializeToString(), ports) == {1: "east", 2: "a"}

    def test_numbers_of_one_tensor(self):
        """Codes from 1, each with its column."""
        model = make_pipeline(OneHotEncoder(sparse_output=False), LinearRegression())
        array = codes(np.float32).to_numpy(copy=True)
        converted = to_onnx(model.fit(array, np.arange(30.0)), array[:1])
        port = Port("X", "tensor(float)", (None, 2))
        assert known_categories(converted.SerializeToString(), [port]) == {0: 1.0, 1: 1.0}

    def test_a_graph_that_doubles_its_columns_again_and_again(self):
        """Following it ends soon."""
        nodes = [
            helper.make_node("Concat", [f"x{i}"] * 2, [f"x{i + 1}"], axis=1) for i in range(60)
        ]
        nodes.append(helper.make_node("Identity", ["x60"], ["y"]))
        model = graph(nodes, [tensor("x0")], [tensor("y", shape=(None, None))])
        assert known_categories(model, [Port("x0", "tensor(float)", (None, 2))]) == {}

    def test_which_graphs_may_refuse_a_value(self):
        """Those with an encoder or a look-up; a chain of products fails for all rows or for none."""
        assert refuses_values(graph([helper.make_node("Gather", ["X", "i"], ["y"])], [tensor("X")], [tensor("y")],
                                    {"i": np.array([0])}))  # fmt: skip
        assert not refuses_values(
            graph([helper.make_node("Relu", ["X"], ["y"])], [tensor("X")], [tensor("y")])
        )


def test_the_likeliest_row_comes_first():
    """The example, medians, categories, ones."""
    features = (NUMBER, WHOLE)
    frame = codes(np.float32).set_axis(["dose", "beds"], axis=1)
    model = make_pipeline(OneHotEncoder(sparse_output=False), LinearRegression())
    array = frame.to_numpy(copy=True)
    converted = to_onnx(model.fit(array, np.arange(30.0)), array[:1]).SerializeToString()
    signature = Signature(features, (Port("X", "tensor(float)", (None, 2)),), Outputs(value="y"))
    profiles = [FeatureProfile("dose", minimum=0, median=2.5, maximum=9), FeatureProfile("beds")]
    rows = first_rows(signature, RowDecoder(features), profiles, converted, b"[[7.5, 2]]")
    assert [*rows] == [(7.5, 2), (2.5, 0), (1.0, 1), (1.0, 1)]


class TestLoading:
    @pytest.mark.parametrize("dtype", [np.float32, np.int64])
    @pytest.mark.parametrize("last", [LogisticRegression(), LinearRegression()])
    def test_codes_without_zero(self, tmp_path, dtype, last):
        """The row that proves the version has codes that its encoder knows."""
        frame, target = codes(dtype), (np.arange(30) % 2)
        pipeline, model = encoded(frame, OneHotEncoder(sparse_output=False), target, last)
        servable = servable_of(tmp_path, model.SerializeToString())
        assert not servable.signature.outputs.unverified
        good, unknown = servable.answer([(2, 1), (9, 1)])
        one = pd.DataFrame({"ward": [2], "grade": [1]}).astype(dtype)
        assert good.prediction == pytest.approx(pipeline.predict(one)[0], abs=1e-5)
        assert isinstance(unknown, InvalidRecord)

    def refusing(self):
        """A graph of one float table whose first number must be 10 or 11: 2.5 and 4.5 are its answers."""
        nodes = [
            helper.make_node("Slice", ["X", "zero", "one", "one"], ["first"]),
            helper.make_node("Sub", ["first", "ten"], ["code"]),
            helper.make_node("Cast", ["code"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["known", "index"], ["y"]),
        ]
        constants = {"zero": np.array([0]), "one": np.array([1]), "ten": np.array([10], np.float32),
                     "known": np.array([2.5, 4.5], np.float32)}  # fmt: skip
        return graph(nodes, [tensor("X")], [tensor("y", shape=(None, 1))], constants)

    def test_a_refusal_of_a_row_of_ours_proves_nothing(self, tmp_path):
        """A table of floats whose graph knows neither 0 nor 1 is served; each answer shows."""
        servable = servable_of(tmp_path, self.refusing())
        assert servable.signature.outputs.unverified
        good, unknown = servable.answer([(11.0, 0.0), (0.0, 0.0)])
        assert good.prediction == 4.5
        assert isinstance(unknown, InvalidRecord)

    def test_the_input_example_proves_it(self, tmp_path):
        """A row from the version's author; one that the graph refuses is no reason to refuse the version."""
        for example, unverified in (([[10.0, 1.0]], False), ([[0.0, 0.0]], True), ({"a": 1}, True)):
            content = json.dumps(example).encode()
            fetched = write_artifact(tmp_path, self.refusing(), **{INPUT_EXAMPLE: content})
            servable = load(version(1), fetched, Interrupt())
            assert servable.signature.outputs.unverified is unverified

    def test_a_graph_that_no_value_can_help_is_refused(self, tmp_path):
        """Its shapes do not fit: that is no matter of categories."""
        node = helper.make_node("MatMul", ["X", "w"], ["y"])
        shapes = [tensor("X", shape=(None, None))], [tensor("y", shape=(None, 2))]
        model = graph([node], *shapes, {"w": np.zeros((3, 2), np.float32)})
        signature = json.dumps([{"type": "double", "name": n} for n in "ab"])
        with pytest.raises(LoadError, match="dimension mismatch") as caught:
            servable_of(tmp_path, model, signature)
        assert caught.value.stage == "warm_up"
