"""Reading a linear model from its graph: from the weighted sum back to the input.

What converters write for linear models of one table: scalings, column by column, then ONNX's
`LinearClassifier` of two classes or its `LinearRegressor`
(https://github.com/onnx/onnx/blob/main/docs/Operators-ml.md). A graph with anything else in it is
not read as linear; whoever reads it compares what was read with what the model answers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor.model.graph import parse
from predictor.model.linear import Linear, table
from predictor.model.servable import Servable
from predictor.model.signature import Signature, label_name

_MOST_BYTES = 16 << 20  # a linear model of a million features is smaller
_RAW_DTYPES = {1: "<f4", 11: "<f8"}  # TensorProto.DataType: FLOAT, DOUBLE
_ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
_TWO = 2

Vector = NDArray[np.float64]


def read_linear(model: bytes, signature: Signature) -> Linear | None:
    """The linear model that a serialised graph is; None where it is not known to be one."""
    if len(model) > _MOST_BYTES or len(signature.ports) != 1:
        return None
    graph = _Graph(parse(model).graph)
    outputs = signature.outputs
    node = graph.producer(outputs.value or outputs.probabilities or "")
    if node is None:
        return None
    read = _classifier if outputs.value is None else _regressor
    found = read(node, signature)
    return found and graph.through(node.input[0], signature.ports[0].name, found)


def _regressor(node: Any, signature: Signature) -> Linear | None:
    given = _attributes(node)
    weights, intercepts = _floats(given, "coefficients"), _floats(given, "intercepts")
    if node.op_type != "LinearRegressor" or _text(given, "post_transform") not in {"", "NONE"}:
        return None
    if len(weights) != len(signature.features) or len(intercepts) > 1:
        return None
    return Linear(weights, float(intercepts.sum()))


def _classifier(node: Any, signature: Signature) -> Linear | None:
    """The log-odds of the second class, from both classes' scores."""
    given = _attributes(node)
    weights, intercepts = _floats(given, "coefficients"), _floats(given, "intercepts")
    labels = signature.label_names
    features = len(signature.features)
    if node.op_type != "LinearClassifier" or len(labels) != _TWO:
        return None
    if len(weights) != _TWO * features or len(intercepts) != _TWO:
        return None
    if _labels(given) != labels:
        return None
    transform = _text(given, "post_transform")
    if transform == "LOGISTIC":  # of each score by itself
        found = weights[features:], intercepts[1]
    elif transform == "SOFTMAX":
        found = weights[features:] - weights[:features], intercepts[1] - intercepts[0]
    else:
        return None
    return Linear(found[0], float(found[1]), labels[1], labels[0])


class _Graph:
    def __init__(self, graph: Any) -> None:
        self._producers = {name: node for node in graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in graph.initializer}

    def producer(self, name: str) -> Any | None:
        """The node that computes what has this name, behind those that only pass it on."""
        return self._producers.get(self._source(name))

    def through(self, name: str, port: str, linear: Linear) -> Linear | None:
        """What is linear in the value of this name, as linear in the columns of the port."""
        weights, intercept = linear.weights, linear.intercept
        # No node comes twice: a graph has no cycles.
        while (name := self._source(name)) != port:
            node = self._producers.get(name)
            step = None if node is None else self._step(node, len(weights))
            if step is None:
                return None
            name, factors, offsets = step
            # w . (f * x + o) = (w * f) . x + w . o
            intercept += float(weights @ offsets)
            weights = weights * factors
        return Linear(weights, intercept, linear.label, linear.other)

    def _source(self, name: str) -> str:
        while (node := self._producers.get(name)) is not None and _passes_on(node):
            name = node.input[0]
        return name

    def _step(self, node: Any, width: int) -> tuple[str, Vector, Vector] | None:
        """What a node takes, and the factors and offsets [width] that it applies to each column."""
        one, none = np.ones(width), np.zeros(width)
        if node.op_type == "Scaler":
            given = _attributes(node)
            scale, offset = _floats(given, "scale"), _floats(given, "offset")
            if {len(scale), len(offset)} <= {1, width}:
                return node.input[0], one * scale, none - offset * scale
            return None
        if node.op_type not in _ARITHMETIC or len(node.input) != _TWO:
            return None
        values = self._constant(node.input[1])
        if values is None or len(values) not in {1, width}:
            return None
        factors, offsets = {
            "Add": (one, none + values),
            "Sub": (one, none - values),
            "Mul": (one * values, none),
            "Div": (one / values, none) if values.all() else (one * np.nan, none),
        }[node.op_type]
        return node.input[0], factors, offsets

    def _constant(self, name: str) -> Vector | None:
        tensor = self._constants.get(name)
        if tensor is None or tensor.external_data or tensor.data_type not in _RAW_DTYPES:
            return None
        if tensor.raw_data:
            return np.frombuffer(tensor.raw_data, _RAW_DTYPES[tensor.data_type]).astype(np.float64)
        return np.array([*tensor.float_data, *tensor.double_data], np.float64)


def _passes_on(node: Any) -> bool:
    """Whether a node gives what it takes, as numbers of another precision or under other names."""
    to_float = any(each.name == "to" and each.i in _RAW_DTYPES for each in node.attribute)
    return node.op_type in {"Identity", "ZipMap"} or (node.op_type == "Cast" and to_float)


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: attribute for attribute in node.attribute}


def _floats(given: Mapping[str, Any], name: str) -> Vector:
    return np.array(given[name].floats if name in given else (), np.float64)


def _text(given: Mapping[str, Any], name: str) -> str:
    return str(given[name].s.decode()) if name in given else ""


def _labels(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes, as JSON keys."""
    if "classlabels_strings" in given:
        return tuple(label.decode() for label in given["classlabels_strings"].strings)
    listed = given["classlabels_ints"].ints if "classlabels_ints" in given else ()
    return tuple(label_name(label) for label in listed)


def proven_linear(servable: Servable, graph: bytes) -> Linear | None:
    """The linear model that a serialised graph is; None unless it answers the background as that does."""
    rows = servable.background
    linear = read_linear(graph, servable.signature) if rows else None
    if linear is None:
        return None
    proven = linear.agrees(table(servable.signature, rows), servable.answer(rows))
    return linear if proven else None
