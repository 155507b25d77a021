"""Names and types from the graph, its metadata and MLflow's signature, which must agree."""

import json

import numpy as np
import pandas as pd
import pytest
from skl2onnx import to_onnx
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from predictor.errors import LoadError
from predictor.model.graph_outputs import read_outputs
from predictor.model.graph_signature import MlflowSignature, read_features
from predictor.model.signature import Port

NOTHING = MlflowSignature()


def port(name="X", kind="float", shape=(None, 2)):
    return Port(name, kind if "(" in kind else f"tensor({kind})", shape)


def columns(*names, types=()):
    return MlflowSignature(columns=names, types=types)


def names(*arguments):
    return [feature.name for feature in read_features(*arguments)]


class TestOneTensor:
    def test_metadata_names_the_columns(self):
        """Our exporter's feature_names, in their order."""
        assert names([port()], ["b", "a"], NOTHING) == ["b", "a"]

    def test_mlflow_names_the_columns(self):
        """The signature of a model logged with a data frame."""
        assert names([port()], None, columns("b", "a")) == ["b", "a"]

    def test_both_may_name_them_alike(self):
        """Two sources that agree are one."""
        assert names([port()], ["b", "a"], columns("b", "a")) == ["b", "a"]

    def test_columns_without_names_are_numbered(self):
        """A graph without names gets numbered ones; a single column is called as its input."""
        assert names([port()], None, NOTHING) == ["feature_0", "feature_1"]
        assert names([port("age", shape=(None, 1))], None, NOTHING) == ["age"]
        assert names([port("age", shape=(None,))], None, NOTHING) == ["age"]

    @pytest.mark.parametrize("shape", [(None, None), ()])
    def test_the_signature_says_how_wide_a_graph_is_that_does_not(self, shape):
        """A dimension that varies, or a graph without any shape, is settled by names or a width."""
        assert names([port(shape=shape)], None, columns("a", "b", "c")) == ["a", "b", "c"]
        assert len(names([port(shape=shape)], None, MlflowSignature(width=4))) == 4

    def test_an_unknown_width_is_refused(self):
        """Guessing is refused, with what to do."""
        with pytest.raises(LoadError, match="log the model with a signature"):
            read_features([port(shape=(None, None))], None, NOTHING)

    @pytest.mark.parametrize(
        ("feature_names", "declared"),
        [
            (["a", "b"], columns("b", "a")),
            (["a", "b"], columns("a", "c")),
            (["a"], NOTHING),
            (["a", "b", "c"], NOTHING),
            (None, columns("a")),
            (None, MlflowSignature(width=3)),
            (["a", "b"], MlflowSignature(width=3)),
            (["a", "a"], NOTHING),
        ],
    )
    def test_disagreement_is_refused(self, feature_names, declared):
        """Another order, another name, another number of columns, one name twice."""
        with pytest.raises(LoadError) as caught:
            read_features([port()], feature_names, declared)
        assert caught.value.stage == "signature"

    @pytest.mark.parametrize("shape", [(None, 2, 2), (8, 2)])
    def test_a_shape_that_is_not_rows_is_refused(self, shape):
        """Images and fixed batches are somebody else's job."""
        with pytest.raises(LoadError, match="'X'"):
            read_features([port(shape=shape)], None, NOTHING)

    def test_a_batch_dimension_of_one_is_taken(self):
        """It is fed row by row."""
        assert names([port(shape=(1, 2))], None, NOTHING) == ["feature_0", "feature_1"]


class TestOneInputPerColumn:
    def test_inputs_name_their_columns(self):
        """Strings, integers, booleans and floats, each with its JSON type and range."""
        ports = [
            port("s", "string", (None, 1)), port("i", "int8", (None, 1)),
            port("b", "bool", (None, 1)), port("f", "float16", (None, 1)),
        ]  # fmt: skip
        features = read_features(ports, None, NOTHING)
        assert [(f.name, f.type, f.minimum, f.maximum) for f in features[:3]] == [
            ("s", "string", None, None), ("i", "integer", -128, 127), ("b", "boolean", None, None),
        ]  # fmt: skip

    @pytest.mark.parametrize(("element", "dtype"), [("float16", np.float16), ("float", np.float32)])
    def test_numbers_that_round_to_a_finite_one_fit(self, element, dtype):
        """Java prints the largest float32 as 3.4028235e38, which is a little more than it is."""
        (feature,) = read_features([port("f", element, (None, 1))], None, NOTHING)
        most = feature.maximum
        assert feature.minimum == -most
        with np.errstate(over="ignore"):
            assert dtype(most) == np.finfo(dtype).max
            assert dtype(np.nextafter(most, np.inf)) == np.inf
        assert element == "float16" or float("3.4028235e38") <= most

    def test_wide_inputs_number_their_columns(self):
        """Mixed widths keep their order."""
        ports = [port("num", shape=(None, 2)), port("city", "string", (None, 1))]
        features = read_features(ports, None, NOTHING)
        assert [(f.name, f.dtype) for f in features] == [
            ("num_0", "float32"), ("num_1", "float32"), ("city", "string"),
        ]  # fmt: skip

    def test_sanitised_names_get_their_own_back(self):
        """skl2onnx replaces what its tools do not like; people post the names that they know."""
        ports = [port("mean_radius", shape=(None, 1)), port("area__cm_", shape=(None, 1))]
        declared = columns("area (cm)", "mean radius")
        assert names(ports, None, declared) == ["mean radius", "area (cm)"]

    def test_names_that_only_differ_in_what_is_replaced(self):
        """Names that match exactly need no replacing."""
        ports = [port("a b", shape=(None, 1)), port("a_b", shape=(None, 1))]
        assert names(ports, None, columns("a_b", "a b")) == ["a b", "a_b"]

    def test_names_that_begin_with_a_digit(self):
        """They are identifiers with an underscore before them, in any order."""
        ports = [port(n, shape=(None, 1)) for n in ("_2ndFlrSF", "LotArea", "_1stFlrSF")]
        declared = columns("1stFlrSF", "2ndFlrSF", "LotArea")
        assert names(ports, None, declared) == ["2ndFlrSF", "LotArea", "1stFlrSF"]

    @pytest.mark.parametrize(
        "given",
        [
            ("a b", "a_b", "a.b", "a-b"), ("_1st", "1st", "1st1", "x"), ("a+b", "a b", "größe", "1"),
            ("x", "x 1", "x1", "x_1"), ("年齢", "年 齢", "年_齢", "weight (kg)"),
        ],
    )  # fmt: skip
    def test_names_that_are_renamed_alike_go_by_position(self, given):
        """As scikit-learn's exporter names them: the first keeps the name, the others get numbers."""
        frame = pd.DataFrame(np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]], columns=[*given])
        model = make_pipeline(StandardScaler(), LinearRegression()).fit(frame, np.arange(6))
        inputs = [port(p.name, shape=(None, 1)) for p in to_onnx(model, frame[:1]).graph.input]
        assert [each.name for each in inputs] != [*given]
        assert names(inputs, None, columns(*given)) == [*given]

    def test_names_of_the_other_exporter(self):
        """Those of onnxmltools, which replaces letters that are not ASCII too."""
        ports = [port(n, shape=(None, 1)) for n in ("gr__e", "gr__e1")]
        assert names(ports, None, columns("größe", "gr__e")) == ["größe", "gr__e"]

    def test_names_renamed_alike_in_another_order_are_refused(self):
        """Which of them is a_b1 is not guessed."""
        ports = [port(n, shape=(None, 1)) for n in ("a_b1", "a_b", "c")]
        with pytest.raises(LoadError, match="differ in a_b1"):
            read_features(ports, None, columns("a b", "a_b", "c"))

    @pytest.mark.parametrize(
        ("kinds", "types", "fit"),
        [
            (("float", "string"), ("double", "string"), True),
            (("float", "string"), ("string", "double"), False),
            (("float", "int64"), ("float", "long"), True),
            (("int64", "float"), ("float", "long"), False),
            (("float", "bool"), ("double", "boolean"), True),
            (("bool", "float"), ("double", "boolean"), False),
        ],
    )
    def test_names_renamed_alike_go_by_position_only_where_types_agree(self, kinds, types, fit):
        """Else the signature has them in another order than the graph, and values would be swapped."""
        ports = [port(n, k, (None, 1)) for n, k in zip(("a_b", "a_b1"), kinds, strict=True)]
        declared = columns("a b", "a_b", types=types)
        if fit:
            assert names(ports, None, declared) == ["a b", "a_b"]
            return
        with pytest.raises(LoadError, match="differ in a_b1"):
            read_features(ports, None, declared)

    @pytest.mark.parametrize("given", [("a b", "a.b", "c"), ("a b", "a_b", "c")])
    @pytest.mark.parametrize("second", ["a_b_", "c"])
    def test_names_that_cannot_be_told_apart_are_refused(self, second, given):
        """Two columns that an export may both have called a_b are not guessed, if one is ignored."""
        ports = [port("a_b", shape=(None, 1)), port(second, shape=(None, 1))]
        with pytest.raises(LoadError):
            read_features(ports, None, columns(*given))

    def test_columns_that_the_graph_does_not_take_are_left_out(self):
        """Such as a number of the row that an estimator drops."""
        ports = [port("b", shape=(None, 1)), port("a", shape=(None, 1))]
        assert names(ports, None, columns("id", "a", "b", "c")) == ["b", "a"]
        assert names(ports[:1], None, columns("id", "b")) == ["b"]
        sanitised = [port("area__cm_", shape=(None, 1)), port("a", shape=(None, 1))]
        assert names(sanitised, None, columns("id", "a", "area (cm)")) == ["area (cm)", "a"]

    @pytest.mark.parametrize(
        ("feature_names", "declared"),
        [
            (None, columns("a")),
            (None, columns("a", "c")),
            (None, MlflowSignature(width=3)),
            (["a", "c"], NOTHING),
        ],
    )
    def test_disagreement_is_refused(self, feature_names, declared):
        """A column that is missing, or too many, or called otherwise."""
        ports = [port("a", shape=(None, 1)), port("b", shape=(None, 1))]
        with pytest.raises(LoadError) as caught:
            read_features(ports, feature_names, declared)
        assert caught.value.stage == "signature"

    @pytest.mark.parametrize("shape", [(None, None), ()])
    def test_an_input_of_unknown_width_is_refused(self, shape):
        """Nothing could say where one input's columns end and the next one's start."""
        with pytest.raises(LoadError, match="number of columns of input 'a'"):
            read_features([port("a", shape=shape), port("b", shape=(None, 1))], None, NOTHING)

    def test_a_graph_without_inputs_is_refused(self):
        """A constant is no model."""
        with pytest.raises(LoadError, match="takes no input"):
            read_features([], None, NOTHING)


class TestMlflowSignature:
    @pytest.mark.parametrize(
        ("inputs", "expected"),
        [
            (None, NOTHING),
            ([], NOTHING),
            (
                [{"type": "double", "name": "a"}, {"type": "string", "name": "b"}],
                columns("a", "b", types=("double", "string")),
            ),
            ([{"type": "double", "name": 0}], columns("0", types=("double",))),
            (
                [{"type": "double"}, {"type": "double"}],
                MlflowSignature(width=2, types=("double", "double")),
            ),
            (
                [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 30]}}],
                MlflowSignature(width=30),
            ),
            (
                [{"type": "tensor", "name": "X", "tensor-spec": {"dtype": "x", "shape": [-1, 30]}}],
                MlflowSignature(width=30),
            ),
            ([{"type": "tensor", "tensor-spec": {"dtype": "x", "shape": [-1, -1]}}], NOTHING),
            ([{"type": "tensor", "tensor-spec": {"dtype": "x", "shape": [-1]}}], NOTHING),
            (
                [
                    {
                        "type": "tensor",
                        "name": "n",
                        "tensor-spec": {"dtype": "x", "shape": [-1, 2]},
                    },
                    {"type": "tensor", "name": "c", "tensor-spec": {"dtype": "x", "shape": [-1]}},
                ],
                columns("n_0", "n_1", "c"),
            ),
        ],
    )
    def test_signatures_of_mlflow_are_read(self, inputs, expected):
        """Columns, tensors with a name or without, several tensors, nothing at all."""
        signature = None if inputs is None else {"inputs": json.dumps(inputs)}
        assert MlflowSignature.read({"signature": signature}) == expected
        assert MlflowSignature.read({}) == NOTHING

    @pytest.mark.parametrize(
        "mlmodel",
        [
            {"signature": "text"}, {"signature": {"inputs": "{"}}, {"signature": {"inputs": 7}},
            {"signature": {"inputs": "[1]"}}, {"signature": {"inputs": '{"a": 1}'}},
            {"signature": {"inputs": '[{"type": "tensor"}]'}}, {"signature": {"inputs": ["x"]}},
            {"signature": {"inputs": '[{"name": "a"}]'}},
            {"signature": {"inputs": '[{"type": "tensor", "tensor-spec": {"shape": 3}}]'}},
        ],
    )  # fmt: skip
    def test_a_damaged_signature_is_refused(self, mlmodel):
        """What is there but cannot be read is not taken for nothing."""
        with pytest.raises(LoadError, match="signature is not readable"):
            MlflowSignature.read(mlmodel)


class TestOutputs:
    @pytest.mark.parametrize(
        ("ports", "label", "probabilities", "mapped", "value"),
        [
            ([port("l", "int64", (None,)), port("p")], "l", "p", False, None),
            ([port("p"), port("l", "string", (None,))], "l", "p", False, None),
            ([port("l", "int64", (None,))], "l", None, False, None),
            ([port("l", "int64"), port("scores"), port("probs")], "l", "probs", False, None),
            (
                [port("l", "string"), port("p", "seq(map(string,tensor(float)))", ())],
                "l", "p", True, None,
            ),
            ([port("y")], None, None, False, "y"),
            ([port("y"), port("mask", "bool")], None, None, False, "y"),
            ([port("p"), port("labels", "int64")], "labels", "p", False, None),
            ([port("y", "double", (None,))], None, None, False, "y"),
        ],
    )  # fmt: skip
    def test_classifiers_and_regressors_are_told_apart(
        self, ports, label, probabilities, mapped, value
    ):
        """By the types of their outputs, in any order."""
        outputs = read_outputs(ports)
        assert (outputs.label, outputs.probabilities) == (label, probabilities)
        assert (outputs.mapped, outputs.value) == (mapped, value)

    def test_neither_is_refused(self):
        """A graph that gives sequences of tensors has no answer to a row."""
        with pytest.raises(LoadError, match="no output that is a label or a number"):
            read_outputs([port("s", "seq(tensor(float))", ())])
