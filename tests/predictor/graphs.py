"""Small ONNX graphs for tests: ours, other people's, and broken ones."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import skl2onnx
from onnx import TensorProto, helper, numpy_helper
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer

OPSETS = {"": 17, "ai.onnx.ml": 3}
ELEMENTS = {
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def tensor(name: str, element: str = "float", shape: Sequence[Any] | None = (None, 2)) -> Any:
    return helper.make_tensor_value_info(name, ELEMENTS[element], shape)


def graph(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    constants: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """A serialised model of these nodes; metadata values are written as JSON."""
    fixed = [numpy_helper.from_array(np.array(v), k) for k, v in (constants or {}).items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, fixed),
        opset_imports=[helper.make_opsetid(*opset) for opset in OPSETS.items()],
        ir_version=8,
    )
    helper.set_model_props(model, {k: json.dumps(v) for k, v in (metadata or {}).items()})
    return model.SerializeToString()


def classifier(
    weights: Sequence[float] = (1.0, -2.0),
    labels: Sequence[Any] = ("malignant", "benign"),
    rows: Any = None,
    metadata: Mapping[str, Any] | None = None,
    post_transform: str = "SOFTMAX",
) -> bytes:
    """Two classes of one float tensor `X`: scores w.x and -w.x, as a linear classifier gives them."""
    listed = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_ints"
    node = helper.make_node(
        "LinearClassifier", ["X"], ["label", "probabilities"], domain="ai.onnx.ml",
        coefficients=[*weights, *(-w for w in weights)], intercepts=[0.0, 0.0],
        post_transform=post_transform, **{listed: list(labels)},
    )  # fmt: skip
    kind = "string" if isinstance(labels[0], str) else "int64"
    return graph(
        [node],
        [tensor("X", shape=(rows, len(weights)))],
        [tensor("label", kind, (rows,)), tensor("probabilities", shape=(rows, 2))],
        metadata=metadata,
    )


def regressor(width: int = 2, targets: int = 1, op: str = "") -> bytes:
    """The sum of the columns, times 1, 2, … for each target; `op` is applied to it, such as Log."""
    weights = np.outer(np.ones(width), np.arange(1, targets + 1)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["X", "w"], ["sum"])]
    nodes.append(helper.make_node(op or "Identity", ["sum"], ["value"]))
    outputs = [tensor("value", shape=(None, targets))]
    return graph(nodes, [tensor("X", shape=(None, width))], outputs, {"w": weights})


def one_input_per_column(width_of_text: int = 1) -> bytes:
    """Age (int64) + smoker (bool) + dose (double) + code (string: A is 100, B is 200, others -1)."""
    cast = {"age": "age_f", "smoker": "smoker_f", "dose": "dose_f"}
    nodes = [helper.make_node("Cast", [a], [b], to=TensorProto.FLOAT) for a, b in cast.items()]
    nodes.append(
        helper.make_node(
            "LabelEncoder", ["code"], ["code_f"], domain="ai.onnx.ml",
            keys_strings=["A", "B"], values_floats=[100.0, 200.0], default_float=-1.0,
        )
    )  # fmt: skip
    nodes.append(helper.make_node("Concat", [*cast.values(), "code_f"], ["all"], axis=1))
    nodes.append(helper.make_node("ReduceSum", ["all", "axes"], ["value"], keepdims=1))
    inputs = [
        tensor("age", "int64", (None, 1)),
        tensor("smoker", "bool", (None, 1)),
        tensor("dose", "double", (None, 1)),
        tensor("code", "string", (None, width_of_text)),
    ]
    return graph(nodes, inputs, [tensor("value", shape=(None, 1))], {"axes": np.array([1])})


def with_external_data(location: str = "weights.bin") -> bytes:
    """A regressor whose weights are in a file of their own: 1.0 and 2.0 as float32."""
    model = onnx.load_from_string(regressor())
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": "0", "length": "8"}
    for key, value in entries.items():
        weights.external_data.add(key=key, value=value)
    return model.SerializeToString()


def endless() -> bytes:
    """A regressor that loops until somebody ends it."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [tensor("i", "int64", []), tensor("go_on", "bool", []), tensor("sum")],
        [tensor("still", "bool", []), tensor("more")],
    )
    nodes = [helper.make_node("Loop", ["times", "yes", "X"], ["Y"], body=body)]
    constants = {"times": np.int64(2**62), "yes": np.bool_(True), "one": np.float32(1)}
    return graph(nodes, [tensor("X")], [tensor("Y")], constants)


def counting(**metadata: Any) -> bytes:
    """The sum of the columns of `X`; it loops as often as the largest value of all rows says."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["still"]),
            helper.make_node("Add", ["so_far", "one"], ["more"]),
        ],
        "body",
        [tensor("i", "int64", []), tensor("go_on", "bool", []), tensor("so_far", shape=(1,))],
        [tensor("still", "bool", []), tensor("more", shape=(1,))],
    )
    nodes = [
        helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["times"], to=TensorProto.INT64),
        helper.make_node("Loop", ["times", "yes", "zero"], ["looped"], body=body),
        helper.make_node("Mul", ["looped", "zero"], ["nothing"]),
        helper.make_node("ReduceSum", ["X", "axes"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "nothing"], ["value"]),
    ]
    constants = {
        "yes": np.bool_(True), "zero": np.zeros(1, np.float32), "one": np.ones(1, np.float32),
        "axes": np.array([1]),
    }  # fmt: skip
    return graph(nodes, [tensor("X")], [tensor("value", shape=(None, 1))], constants, metadata)


def forest(trees: int) -> bytes:
    """A regressor of many trees of three nodes: about 130 bytes each in the file, and more in memory."""
    of_three = np.tile([0, 1, 2], trees).tolist()
    node = helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["value"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=np.repeat(np.arange(trees), 3).tolist(), nodes_nodeids=of_three,
        nodes_featureids=[0] * (3 * trees), nodes_values=[0.5, 0.0, 0.0] * trees,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * trees,
        nodes_truenodeids=[1, 0, 0] * trees, nodes_falsenodeids=[2, 0, 0] * trees,
        target_treeids=np.repeat(np.arange(trees), 2).tolist(), target_nodeids=[1, 2] * trees,
        target_ids=[0] * (2 * trees), target_weights=[1.0, 2.0] * trees,
    )  # fmt: skip
    return graph([node], [tensor("X")], [tensor("value", shape=(None, 1))])


def one_long_node(**metadata: Any) -> bytes:
    """The sum of the columns of `X`, and a node that takes the square of the largest value in time.

    ONNX Runtime cannot leave it before its end: 300,000 is about a minute.
    """
    nodes = [
        helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["n"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["n", "single"], ["boxes"]),
        helper.make_node("Concat", ["single", "boxes", "four"], ["shape"], axis=0),
        helper.make_node("Concat", ["single", "single", "boxes"], ["shape_of_scores"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["corners"]),
        helper.make_node("ConstantOfShape", ["shape_of_scores"], ["scores"]),
        helper.make_node("NonMaxSuppression", ["corners", "scores", "boxes"], ["chosen"]),
        helper.make_node("ReduceMin", ["chosen"], ["least"], keepdims=0),
        helper.make_node("Cast", ["least"], ["nothing"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["X", "axes"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "nothing"], ["value"]),
    ]
    constants = {"single": np.array([1]), "four": np.array([4]), "axes": np.array([1])}
    return graph(nodes, [tensor("X")], [tensor("value", shape=(None, 1))], constants, metadata)


def with_metadata(model: bytes, *, as_text: Mapping[str, str] | None = None, **said: Any) -> bytes:
    """The model with these metadata: `said` is written as JSON, `as_text` as it is."""
    proto = onnx.load_from_string(model)
    entries = {key: json.dumps(value) for key, value in said.items()} | dict(as_text or {})
    helper.set_model_props(proto, {each.key: each.value for each in proto.metadata_props} | entries)
    return proto.SerializeToString()


def converted(estimator: Any, width: int, *, zipmap: bool | None = None) -> bytes:
    """A fitted scikit-learn estimator as skl2onnx exports it, by default with a ZipMap."""
    final = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    options = None if zipmap is None else {id(final): {"zipmap": zipmap}}
    return skl2onnx.convert_sklearn(
        estimator,
        initial_types=[("X", FloatTensorType([None, width]))],
        options=options,
        target_opset=OPSETS,
    ).SerializeToString()


# A version as our own exporter makes it, of two features.
NAMES = ["mean_radius", "mean_texture"]
METADATA = {
    "feature_names": NAMES, "class_labels": ["malignant", "benign"], "positive_class": "malignant",
    "recorded_examples": [
        {
            "record": {"mean_radius": 1.0, "mean_texture": 0.0},
            "prediction": "malignant",
            "probabilities": {"malignant": 0.8807971, "benign": 0.1192029},
        }
    ],
}  # fmt: skip
OURS = classifier(metadata=METADATA)
GOOD = {"mean_radius": 1.0, "mean_texture": 0.0}


WORDS = ["ein großer Fuß", "Ärzte und Fieber", "ÉTÉ à Paris", "fieber"]


def reading_text() -> bytes:
    """A graph with one input `text`, which makes letters small and counts words, with accents too."""
    vectorizer = TfidfVectorizer(token_pattern=r"\w+").fit(WORDS)
    types = [("text", StringTensorType([None, 1]))]
    options = {TfidfVectorizer: {"tokenexp": "[^ ]+"}}
    return bytes(
        skl2onnx.to_onnx(vectorizer, initial_types=types, options=options).SerializeToString()
    )
