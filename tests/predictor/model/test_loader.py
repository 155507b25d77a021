"""Loading: our versions and other people's, and every way in which one is not fit to serve."""

import json

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
import skl2onnx
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from predictor.errors import InvalidRecord, LoadError
from predictor.model.loader import load
from predictor.model.servable import Interrupt
from tests.predictor.graphs import (
    OPSETS,
    classifier,
    converted,
    graph,
    one_input_per_column,
    regressor,
    tensor,
    with_external_data,
)
from tests.predictor.parts import servable_of, version, write_artifact

NAMES = ["mean_radius", "mean_texture"]
OURS = {
    "feature_names": NAMES,
    "class_labels": ["malignant", "benign"],
    "positive_class": "malignant",
}


def example(prediction="malignant", **probabilities):
    """A recorded answer to (1, 0): scores 1 and -1."""
    return {
        "record": {"mean_radius": 1.0, "mean_texture": 0.0},
        "prediction": prediction,
        "probabilities": probabilities or {"malignant": 0.8807971, "benign": 0.1192029},
    }


def refused(folder, model, signature=None):
    with pytest.raises(LoadError) as caught:
        servable_of(folder, model, signature)
    return caught.value


class TestOurs:
    def test_metadata_names_everything(self, tmp_path):
        """Features, classes and the positive class are what the exporter wrote into the graph."""
        model = classifier(metadata={**OURS, "recorded_examples": [example()]})
        servable = servable_of(tmp_path, model)
        assert [f.name for f in servable.signature.features] == NAMES
        assert servable.signature.class_labels == ("malignant", "benign")
        assert servable.signature.positive_class == "malignant"
        assert servable.examples[0].record == {"mean_radius": 1.0, "mean_texture": 0.0}
        assert servable.load_seconds > 0

    @pytest.mark.parametrize(
        "recorded",
        [
            example("benign"),
            example(malignant=0.88, benign=0.12),
            example(malignant=0.8807971, benign=0.1192029, other=0.0),
            {**example(), "prediction": 1},
        ],
    )
    def test_an_example_that_answers_otherwise_is_refused(self, tmp_path, recorded):
        """Another label, another probability, another class: the version never serves."""
        model = classifier(metadata={**OURS, "recorded_examples": [example(), recorded]})
        error = refused(tmp_path, model)
        assert error.stage == "examples"
        assert "recorded example 2" in error.reason

    @pytest.mark.parametrize(
        "record", [{}, {"mean_radius": 1}, {"mean_radius": "x", "mean_texture": 1}]
    )
    def test_an_example_that_is_no_record_is_refused(self, tmp_path, record):
        """The artifact contradicts itself."""
        recorded = {**example(), "record": record}
        model = classifier(metadata={**OURS, "recorded_examples": [recorded]})
        assert refused(tmp_path, model).stage == "examples"

    @pytest.mark.parametrize(
        "broken",
        [
            {"feature_names": "mean_radius"},
            {"feature_names": [1, 2]},
            {"class_labels": [1.5]},
            {"class_labels": {"a": 1}},
            {"positive_class": 1},
            {"recorded_examples": [{"prediction": "x"}]},
            {"recorded_examples": 7},
        ],
    )
    def test_broken_metadata_is_refused(self, tmp_path, broken):
        """What is there but cannot be read is not taken for nothing."""
        error = refused(tmp_path, classifier(metadata={**OURS, **broken}))
        assert (error.stage, "metadata" in error.reason) == ("signature", True)

    @pytest.mark.parametrize(
        "labels", [["malignant"], ["a", "b", "c"], ["benign", "cancer"], [0, 1]]
    )
    def test_labels_that_are_not_the_graphs_are_refused(self, tmp_path, labels):
        """Too few, too many, or none of what the model answers."""
        error = refused(tmp_path, classifier(metadata={**OURS, "class_labels": labels}))
        assert error.stage == "signature"

    def test_a_digest_tag_is_compared(self, tmp_path):
        """The file must be the one that was registered."""
        artifact = write_artifact(tmp_path).artifact
        artifact.check(None)
        artifact.check(artifact.onnx_sha256)
        with pytest.raises(LoadError, match="register it again") as caught:
            artifact.check("0" * 64)
        assert caught.value.stage == "digest"


class TestOtherPeoples:
    def test_a_classifier_without_a_signature(self, tmp_path):
        """Columns are numbered, classes are read from the graph, answers are ONNX Runtime's own."""
        servable = servable_of(tmp_path, classifier())
        rows = [(float(a), float(b)) for a, b in np.random.default_rng(0).normal(size=(20, 2))]
        direct = ort.InferenceSession(classifier()).run(None, {"X": np.array(rows, np.float32)})
        answers = servable.answer(rows)
        assert [a.prediction for a in answers] == direct[0].tolist()
        assert [list(a.probabilities.values()) for a in answers] == direct[1].tolist()
        assert [a.probability for a in answers] == direct[1].max(axis=1).tolist()

    def test_a_regressor(self, tmp_path):
        """One number, and no probability."""
        answer = servable_of(tmp_path, regressor()).answer([(1.0, 2.5)])[0]
        assert (answer.prediction, bool(answer.probabilities)) == (3.5, False)

    def test_a_regressor_of_several_numbers(self, tmp_path):
        """All of them, in order."""
        answers = servable_of(tmp_path, regressor(targets=3)).answer([(1.0, 1.0), (0.0, 1.0)])
        assert [a.prediction for a in answers] == [[2.0, 4.0, 6.0], [1.0, 2.0, 3.0]]

    def test_scikit_learns_own_regressor(self, tmp_path):
        """As skl2onnx exports it."""
        rows = np.arange(12.0).reshape(6, 2)
        model = converted(LinearRegression().fit(rows, rows[:, 0]), 2)
        answer = servable_of(tmp_path, model).answer([(3.0, 4.0)])[0]
        assert answer.prediction == pytest.approx(3.0, abs=1e-5)

    def test_one_input_per_column(self, tmp_path):
        """Integers, booleans, doubles and strings, posted by name."""
        servable = servable_of(tmp_path, one_input_per_column())
        assert [(f.name, f.type) for f in servable.signature.features] == [
            ("age", "integer"), ("smoker", "boolean"), ("dose", "number"), ("code", "string"),
        ]  # fmt: skip
        body = b'{"code": "B", "age": 40, "dose": 0.5, "smoker": true}'
        row = servable.decoder.record(body)
        assert servable.answer([row])[0].prediction == 241.5

    def test_a_label_alone(self, tmp_path):
        """A graph that gives no scores answers with its label."""
        node = helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0)
        model = graph([node], [tensor("X", shape=(None, 3))], [tensor("label", "int64", (None,))])
        answers = servable_of(tmp_path, model).answer([(1.0, 3.0, 2.0), (9.0, 0.0, 0.0)])
        assert [a.prediction for a in answers] == [1, 0]
        assert not answers[0].probabilities

    def test_a_blank_row_without_a_finite_answer(self, tmp_path):
        """It is no row that anyone sends: real rows keep their probabilities."""
        nodes = [
            helper.make_node("ReduceSum", ["X"], ["sum"], keepdims=1),
            helper.make_node("Div", ["X", "sum"], ["probabilities"]),
            helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0),
        ]
        outputs = [tensor("label", "int64", (None,)), tensor("probabilities")]
        metadata = {"class_labels": [0, 1]}
        servable = servable_of(tmp_path, graph(nodes, [tensor("X")], outputs, metadata=metadata))
        (answer,) = servable.answer([(1.0, 3.0)])
        assert (answer.prediction, answer.probabilities) == (1, {"0": 0.25, "1": 0.75})
        assert isinstance(servable.answer([(0.0, 0.0)])[0], InvalidRecord)

    @pytest.mark.parametrize("zipmap", [True, False])
    def test_categories_that_a_blank_is_none_of(self, tmp_path, zipmap):
        """An encoder that refuses what it does not know is served, and an unknown one is named."""
        frame = pd.DataFrame({"city": ["Oslo", "Bern"] * 10, "age": np.arange(20.0)})
        encoder = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
        pipeline = make_pipeline(encoder, LogisticRegression())
        pipeline.fit(frame, np.where(frame["city"] == "Oslo", "north", "south"))
        model = skl2onnx.convert_sklearn(
            pipeline,
            initial_types=[
                ("city", StringTensorType([None, 1])), ("age", FloatTensorType([None, 1])),
            ],
            options={id(pipeline): {"zipmap": zipmap}},
            target_opset=OPSETS,
        ).SerializeToString()  # fmt: skip
        servable = servable_of(tmp_path, model)
        oslo, unknown, bern = servable.answer([("Oslo", 1.0), ("Rome", 1.0), ("Bern", 2.0)])
        assert (oslo.prediction, bern.prediction) == ("north", "south")
        assert isinstance(unknown, InvalidRecord)
        expected = pipeline.predict_proba(pd.DataFrame({"city": ["Oslo"], "age": [1.0]}))[0]
        assert list(oslo.probabilities.values()) == pytest.approx(list(expected), abs=1e-5)

    def test_a_boolean_label(self, tmp_path):
        """True is true on the wire."""
        nodes = [
            helper.make_node("Greater", ["X", "zero"], ["both"]),
            helper.make_node("Slice", ["both", "zero_i", "one", "one"], ["label"]),
        ]
        constants = {"zero": np.float32(0), "zero_i": np.array([0]), "one": np.array([1])}
        model = graph(nodes, [tensor("X")], [tensor("label", "bool", (None, 1))], constants)
        answers = servable_of(tmp_path, model).answer([(1.0, 0.0), (-1.0, 0.0)])
        assert [a.prediction for a in answers] in ([True, False], [True])

    def test_a_batch_dimension_of_one(self, tmp_path):
        """Many rows are run one by one."""
        model = classifier(rows=1)
        answers = servable_of(tmp_path, model).answer([(1.0, 0.0), (-1.0, 0.0), (2.0, 0.0)])
        assert [a.prediction for a in answers] == ["malignant", "benign", "malignant"]

    def test_external_data(self, tmp_path):
        """Weights in a file of their own are found beside the graph."""
        files = {"weights.bin": np.array([1, 2], np.float32).tobytes()}
        fetched = write_artifact(tmp_path, with_external_data(), **files)
        assert load(version(1), fetched, Interrupt()).answer([(1.0, 1.0)])[0].prediction == 3.0

    def test_names_from_mlflow(self, tmp_path):
        """A model logged with a data frame is asked by its column names."""
        signature = json.dumps([{"type": "double", "name": n} for n in ("a b", 'say "hi"')])
        servable = servable_of(tmp_path, classifier(), signature)
        row = servable.decoder.record(b'{"a b": 1, "say \\"hi\\"": 0}')
        assert servable.answer([row])[0].prediction == "malignant"


class TestUnfit:
    @pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100, b"<html>404</html>"])
    def test_garbage(self, tmp_path, content):
        """What ONNX Runtime cannot load is said in one line."""
        error = refused(tmp_path, content)
        assert error.stage == "session"
        assert "\n" not in error.reason

    def test_missing_external_data(self, tmp_path):
        """A graph without its weights."""
        assert refused(tmp_path, with_external_data()).stage == "session"

    def test_classes_that_nothing_lists_are_not_guessed_against_the_evidence(self, tmp_path):
        """Labels 1 and 2 beside two columns: which is whose is asked, not assumed."""
        nodes = [
            helper.make_node("Softmax", ["X"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["X"], ["index"], axis=1, keepdims=0),
            helper.make_node("Add", ["index", "one"], ["label"]),
        ]
        outputs = [tensor("label", "int64", (None,)), tensor("probabilities")]
        model = graph(nodes, [tensor("X")], outputs, {"one": np.array([1])})
        assert "class_labels" in refused(tmp_path, model).reason

    def test_classes_that_nothing_lists_are_numbered(self, tmp_path):
        """An argmax over a softmax, as other frameworks export it."""
        nodes = [
            helper.make_node("Softmax", ["X"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["X"], ["label"], axis=1, keepdims=0),
        ]
        outputs = [tensor("label", "int64", (None,)), tensor("probabilities")]
        servable = servable_of(tmp_path, graph(nodes, [tensor("X")], outputs))
        answer = servable.answer([(0.0, 9.0)])[0]
        assert (answer.prediction, list(answer.probabilities)) == (1, ["0", "1"])

    def test_an_answer_for_a_whole_batch(self, tmp_path):
        """A graph that sums its rows away cannot answer each of them."""
        node = helper.make_node("ReduceSum", ["X"], ["y"], keepdims=1)
        model = graph([node], [tensor("X")], [tensor("y", shape=(1, 1))])
        assert refused(tmp_path, model).stage == "warm_up"

    def test_a_scalar_answer(self, tmp_path):
        """Not even one row is answered as a row."""
        node = helper.make_node("ReduceSum", ["X"], ["y"], keepdims=0)
        assert (
            refused(tmp_path, graph([node], [tensor("X")], [tensor("y", shape=())])).stage
            == "warm_up"
        )

    def test_a_graph_that_cannot_run(self, tmp_path):
        """A reshape that fits no row is found before anybody asks."""
        node = helper.make_node("Reshape", ["X", "to"], ["y"])
        outputs = [tensor("y", shape=(None, 7))]
        model = graph([node], [tensor("X")], outputs, {"to": np.array([1, 7])})
        assert refused(tmp_path, model).stage == "warm_up"

    def test_an_input_that_is_not_served(self, tmp_path):
        """Images are somebody else's job."""
        node = helper.make_node("Identity", ["X"], ["y"])
        shape = (None, 3, 8, 8)
        model = graph([node], [tensor("X", shape=shape)], [tensor("y", shape=shape)])
        assert "dimensions" in refused(tmp_path, model).reason

    def test_a_signature_that_disagrees(self, tmp_path):
        """Three columns said, two taken."""
        signature = json.dumps([{"type": "double", "name": n} for n in "abc"])
        assert refused(tmp_path, classifier(), signature).stage == "signature"

    def test_a_damaged_signature(self, tmp_path):
        """Not taken for a missing one."""
        assert refused(tmp_path, classifier(), "{").stage == "signature"

    def test_a_sequence_output(self, tmp_path):
        """Neither a label nor a number."""
        node = helper.make_node("SplitToSequence", ["X"], ["y"], axis=1)
        output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
        assert refused(tmp_path, graph([node], [tensor("X")], [output])).stage == "signature"
