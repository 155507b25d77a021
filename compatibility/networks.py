"""Networks as other frameworks export them, built node by node; NumPy computes the expected answers."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx
import pandas as pd
from mlflow.models import infer_signature
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from compatibility.cases import Answers, Case, Export
from compatibility.tables import PLAIN, TESTED_ROWS

LIBRARY = "networks"
_RANDOM = np.random.default_rng(3)
_FIRST = _RANDOM.normal(size=(4, 8)).astype(np.float32)
_LAST = _RANDOM.normal(size=(8, 3)).astype(np.float32)
_CLASSES = ["benign", "malignant", "unsure"]
_ROWS = PLAIN.array[:TESTED_ROWS]
_HIDDEN = np.maximum(_ROWS @ _FIRST, 0) @ _LAST


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-logits))


def cases() -> Iterator[Case]:
    """Networks with different outputs: probabilities, labels, numbers, and several of them."""
    softmax = _softmax(_HIDDEN)
    best = softmax.argmax(axis=1)
    words = Answers([_CLASSES[i] for i in best], _named(softmax, _CLASSES))
    numbers = Answers(best.tolist(), _named(softmax, ["0", "1", "2"]))
    one = _sigmoid(_HIDDEN[:, :1])
    both = np.hstack([1 - one, one])
    for signed in (False, True):
        for name, head, outputs, metadata, answers in (
            ("softmax", ["softmax"], ["probabilities"], None, Answers(softmax.tolist())),
            ("softmax, class_labels", ["softmax"], ["probabilities"], {"class_labels": _CLASSES}, words),
            ("softmax and ArgMax", ["softmax", "argmax"], ["probabilities", "label"], None, numbers),
            ("ArgMax", ["argmax"], ["label"], None, Answers(best.tolist())),
            ("ArgMax, class_labels", ["argmax"], ["label"], {"class_labels": _CLASSES},
             Answers(words.predictions)),
            ("softmax and ArgMax, class_labels", ["softmax", "argmax"], ["probabilities", "label"],
             {"class_labels": _CLASSES}, words),
            ("sigmoid", ["sigmoid"], ["probability"], None, Answers(np.ravel(one).tolist())),
            ("sigmoid, class_labels", ["sigmoid"], ["probability"], {"class_labels": ["no", "yes"]},
             Answers(np.where(np.ravel(one) > 1 / 2, "yes", "no").tolist(), _named(both, ["no", "yes"]))),
            ("3 numbers", ["linear"], ["y"], None, Answers(_HIDDEN.tolist())),
            ("2 heads", ["linear", "sigmoid"], ["mean", "chance"], None, Answers(_HIDDEN.tolist())),
        ):  # fmt: skip
            yield Case(LIBRARY, name, "written node by node", "of a frame" if signed else "none", "4 floats",
                       partial(_network, head, outputs, answers, metadata, signed),
                       name in {"softmax", "softmax, class_labels", "ArgMax", "sigmoid"})  # fmt: skip
    yield Case(LIBRARY, "3 numbers", "written node by node, rows one at a time", "none", "4 floats",
               partial(_network, ["linear"], ["y"], Answers(_HIDDEN.tolist()), None, False, rows=1))  # fmt: skip


def _named(table: NDArray[Any], names: Sequence[str]) -> list[dict[str, float]]:
    return [dict(zip(names, map(float, row), strict=True)) for row in table]


_SHAPES = {"softmax": (None, 3), "linear": (None, 3), "sigmoid": (None, 1), "argmax": (None,)}


def _network(
    heads: Sequence[str], outputs: Sequence[str], answers: Answers, metadata: Any, signed: bool,
    *, rows: int | None = None,
) -> Export:  # fmt: skip
    nodes = [
        helper.make_node("MatMul", ["input", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "last"], ["logits"]),
        helper.make_node("Slice", ["logits", "zero", "one", "axis"], ["single"]),
    ]
    given = []
    for head, name in zip(heads, outputs, strict=True):
        nodes.append(_head(head, name))
        element = TensorProto.INT64 if head == "argmax" else TensorProto.FLOAT
        shape = [rows, *_SHAPES[head][1:]]
        given.append(helper.make_tensor_value_info(name, element, shape))
    fixed = {
        "first": _FIRST,
        "last": _LAST,
        "zero": np.array([0]),
        "one": np.array([1]),
        "axis": np.array([1]),
    }
    model = helper.make_model(
        helper.make_graph(
            nodes, "network", [helper.make_tensor_value_info("input", TensorProto.FLOAT, [rows, 4])], given,
            [numpy_helper.from_array(value, name) for name, value in fixed.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    helper.set_model_props(
        model, {name: json.dumps(value) for name, value in (metadata or {}).items()}
    )
    onnx.checker.check_model(model)
    frame = PLAIN.frame.head(TESTED_ROWS)
    if not signed:
        frame = pd.DataFrame(_ROWS, columns=[f"feature_{i}" for i in range(4)])
    signature = infer_signature(PLAIN.frame, np.asarray(answers.predictions)) if signed else None
    labels = (metadata or {}).get("class_labels", ())
    graph, feed = model.SerializeToString(), {"input": _ROWS}
    return Export(graph, frame, feed, answers, signature, class_labels=labels)


def _head(kind: str, name: str) -> Any:
    if kind == "argmax":
        return helper.make_node("ArgMax", ["logits"], [name], axis=1, keepdims=0)
    operator, source = {
        "softmax": ("Softmax", "logits"), "linear": ("Identity", "logits"), "sigmoid": ("Sigmoid", "single"),
    }[kind]  # fmt: skip
    return helper.make_node(operator, [source], [name])
