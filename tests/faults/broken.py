"""Versions that are not fit to serve, each in its own way, as they get into a registry."""

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.faults.parts import linear, mlmodel
from tests.predictor.graphs import (
    GOOD,
    METADATA,
    classifier,
    endless,
    graph,
    regressor,
    tensor,
    with_external_data,
)
from tests.predictor.model.test_mlmodel import alias_bomb, merge_bomb

MOST = 2_000_000  # bytes; the limit of the predictor that is given these
NAMES = METADATA["feature_names"]
EXAMPLE = METADATA["recorded_examples"][0]


@dataclass(frozen=True)
class Broken:
    """A version's files and tags, the stage at which it fails, and what ops must read of it."""

    files: Mapping[str, bytes]
    stage: str
    words: str
    tags: Mapping[str, str] = field(default_factory=dict)


def of(model: bytes, stage: str, words: str, description: bytes | None = None) -> Broken:
    return Broken({"MLmodel": description or mlmodel(), "model.onnx": model}, stage, words)


def described(description: bytes, words: str) -> Broken:
    """A good graph behind a bad MLmodel."""
    return of(linear(), "fetch", words, description)


def changed(model: bytes, **changes: Any) -> bytes:
    """The same graph with other fields in its first node."""
    parsed = onnx.load_from_string(model)
    parsed.graph.node[0].MergeFrom(onnx.NodeProto(**changes))
    return parsed.SerializeToString()


def of_the_future(model: bytes) -> bytes:
    parsed = onnx.load_from_string(model)
    parsed.opset_import[0].version = 999
    return parsed.SerializeToString()


def signed(*columns: str, outputs: list[dict[str, Any]] | None = None) -> bytes:
    inputs = [{"type": "double", "name": name} for name in columns]
    given = {"outputs": json.dumps(outputs)} if outputs else {}
    return mlmodel(signature={"inputs": json.dumps(inputs), **given})


def proved(op: str, record: Mapping[str, float]) -> bytes:
    """A regressor that applies `op` to the sum of its columns, with this record as an example."""
    parsed = onnx.load_from_string(regressor(op=op))
    example = {"record": record, "prediction": 1.0}
    metadata = {"feature_names": NAMES, "recorded_examples": [example]}
    helper.set_model_props(parsed, {key: json.dumps(value) for key, value in metadata.items()})
    return parsed.SerializeToString()


def looking_up() -> bytes:
    """Takes an element of a list of three, whichever the example says."""
    nodes = [
        helper.make_node("Cast", ["X"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["list", "i"], ["value"]),
    ]
    metadata = {
        "feature_names": ["place"],
        "recorded_examples": [{"record": {"place": 7.0}, "prediction": 1.0}],
    }
    constants = {"list": np.array([1, 2, 3], np.float32)}
    return graph(
        nodes,
        [tensor("X", shape=(None, 1))],
        [tensor("value", shape=(None, 1))],
        constants,
        metadata,
    )


def sparse(location: str) -> bytes:
    """A regressor whose sparse weights are in a file of their own."""
    parsed = onnx.load_from_string(with_external_data(location))
    values = parsed.graph.initializer.pop()
    weights = parsed.graph.sparse_initializer.add(dims=[2, 1])
    weights.values.CopyFrom(values)
    weights.values.dims[:] = [2]
    weights.indices.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 1]), "at"))
    return parsed.SerializeToString()


def pickled() -> bytes:
    """What scikit-learn's users know as a model file."""
    kept = io.BytesIO()
    pickle.dump({"weights": [1.0, 2.0]}, kept)
    return kept.getvalue()


HANGS = of(endless(), "warm_up", "PREDICTOR_LOAD_SECONDS")

BROKEN = {
    "nothing there": Broken({}, "fetch", "MLmodel"),
    "the graph is missing": Broken({"MLmodel": mlmodel()}, "fetch", "model.onnx"),
    "truncated": of(linear()[:200], "session", "not an ONNX model"),
    "empty": of(b"", "session", "not an ONNX model"),
    "a page": of(b"<html>404</html>", "session", "not an ONNX model"),
    "a pickle": of(pickled(), "session", "not an ONNX model"),
    "a node of nothing": of(changed(linear(), input=["nowhere"]), "session", "ONNX Runtime"),
    "an unknown operator": of(changed(linear(), op_type="Frobnicate"), "session", "Frobnicate"),
    "an opset of the future": of(of_the_future(linear()), "session", "ONNX Runtime"),
    "another digest": Broken(
        {"MLmodel": mlmodel(), "model.onnx": linear()}, "digest", "onnx_sha256",
        {"onnx_sha256": "0" * 64},
    ),
    "other inputs": of(linear(), "signature", "different columns", signed("age", "dose")),
    "more inputs": of(linear(feature_names=None), "signature", "has 3", signed(*NAMES, "dose")),
    "inputs in another order": of(linear(), "signature", "different columns", signed(*NAMES[::-1])),
    "numbers where text is signed": of(
        regressor(), "signature", "text", signed(*NAMES, outputs=[{"type": "string"}])
    ),
    "text where numbers are signed": of(
        graph(
            [helper.make_node("Cast", ["X"], ["label"], to=TensorProto.STRING)],
            [tensor("X", shape=(None, 1))], [tensor("label", "string", (None, 1))],
        ),
        "signature", "number", signed("dose", outputs=[{"type": "double"}]),
    ),
    "fewer outputs than signed": of(
        regressor(), "signature", "3",
        signed(
            *NAMES,
            outputs=[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}],
        ),
    ),
    "classes but no label": of(
        graph(
            [helper.make_node("Identity", ["X"], ["scores"])], [tensor("X")], [tensor("scores")],
            metadata={"feature_names": NAMES, "class_labels": ["malignant", "benign"]},
        ),
        "signature", "class_labels",
    ),
    "an unknown positive class": of(linear(positive_class="cancer"), "signature", "cancer"),
    "labels that are not the graph's": of(
        linear(class_labels=["well", "ill"]), "signature", "malignant"
    ),
    "metadata of another kind": of(linear(feature_names={"a": 1}), "signature", "metadata"),
    "NaN on an example": of(
        proved("Log", dict.fromkeys(NAMES, -1.0)), "examples", "no finite answer"
    ),
    "scores that are NaN on an example": of(
        classifier((float("nan"), -1.0), metadata=METADATA), "examples", "no finite answer"
    ),
    "failing on an example": of(looking_up(), "warm_up", "ONNX Runtime cannot run it"),
    "another answer than recorded": of(
        linear(recorded_examples=[{**EXAMPLE, "prediction": "benign"}]), "examples",
        "it gave benign",
    ),
    "other probabilities than recorded": of(
        linear(2.0, recorded_examples=[EXAMPLE]), "examples", "0.88"
    ),
    "an example that is no record": of(
        linear(recorded_examples=[{**EXAMPLE, "record": {**GOOD, "dose": 1.0}}]), "examples", "dose"
    ),
    "too large": Broken(
        {"MLmodel": mlmodel(), "model.onnx": linear() + bytes(MOST)}, "fetch",
        "PREDICTOR_MAX_MODEL_BYTES",
    ),
    "too large together": Broken(
        {
            "MLmodel": mlmodel(), "model.onnx": with_external_data(),
            "weights.bin": bytes(MOST),
        },
        "fetch", "PREDICTOR_MAX_MODEL_BYTES",
    ),
    "a path that climbs out": described(mlmodel("../../secret.onnx"), "outside its folder"),
    "an absolute path": described(mlmodel("/etc/passwd"), "outside its folder"),
    "weights that climb out": of(
        with_external_data("../secret.bin"), "fetch", "outside its folder"
    ),
    "weights anywhere": of(with_external_data("/etc/passwd"), "fetch", "outside its folder"),
    "sparse weights that climb out": of(sparse("../../../../etc/passwd"), "session", "sparse"),
    "weights that are missing": of(with_external_data(), "fetch", "weights.bin"),
    "weights that are too short": Broken(
        {"MLmodel": mlmodel(), "model.onnx": with_external_data(), "weights.bin": b"1234"},
        "session", "ONNX Runtime",
    ),
    "MLmodel is no YAML": described(b"\0\1\2", "MLmodel"),
    "MLmodel is a page": described(b"<html><p>404</p></html>", "MLmodel"),
    "MLmodel with merge keys": described(merge_bomb(2), "merge key"),
    "MLmodel without end": described(b"[" + b"[]," * 300_000, "nodes"),
    "MLmodel of brackets": described(b"a: " + b"[" * 100_000, "cannot be read"),
    "a path of lists of lists": described(alias_bomb(2), "not text"),
    "MLmodel that grows by aliases": described(alias_bomb(30), "nodes"),
    "MLmodel without the flavour": described(b"flavors: {sklearn: {}}", "onnx flavour"),
}  # fmt: skip
