"""Known categories: the values that a graph's encoders accept, read from the graph.

A graph that encodes categories usually refuses a value that it was not trained on, so the first rows must
use known categories. The search follows the inputs through casts, concatenations and selections of columns
to the encoders, and no further.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from predictor.model.graph import parse
from predictor.model.signature import Port, Value

Categories = Mapping[int, Value]
"""The first category that an encoder lists, by the index of the feature."""
Columns = list[int]
"""The index of the feature in each column of a tensor."""

_SAME = {"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_CHANGED = {"Imputer", "StringNormalizer"}
_ENCODERS = {"OneHotEncoder", "LabelEncoder", "CategoryMapper"}
_LISTS = ("cats_strings", "cats_int64s", "keys_strings", "keys_int64s", "keys_floats")
_REFUSING = {
    "OneHotEncoder", "CategoryMapper", "ArrayFeatureExtractor", "Gather", "GatherElements", "GatherND",
    "ScatterElements", "ScatterND", "OneHot", "Range", "Slice", "Compress", "If", "Loop", "Scan",
}  # fmt: skip
# Limits of the search: each concatenation may double the number of columns.
_MAX_NODES, _MAX_COLUMNS = 2000, 10_000


def refuses_values(model: bytes) -> bool:
    """Whether a serialised model has a node that fails for some values but not for others.

    Without such a node, a model that fails for one row fails for all rows.
    """
    return any(node.op_type in _REFUSING for node in parse(model).graph.node)


def known_categories(model: bytes, ports: Sequence[Port]) -> Categories:
    """A known category for each feature that the search can follow to an encoder."""
    known: dict[int, Value] = {}
    for node, place in _encoders(model, ports, _SAME | _CHANGED):
        listed = _first_listed(node)
        if listed is not None:
            known.setdefault(place, listed)
    return known


def only_categories(model: bytes, ports: Sequence[Port]) -> Mapping[int, frozenset[Value]]:
    """All categories of the features that fail for any other value, by the index of the feature.

    These are features whose values reach a one-hot encoder unchanged, except for a cast to an integer, and
    whose encoder refuses unknown values.
    """
    if b"OneHotEncoder" not in model:
        return {}
    only: dict[int, frozenset[Value]] = {}
    for node, place in _encoders(model, ports, _SAME):
        given = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type != "OneHotEncoder" or "zeros" not in given or given["zeros"].i:
            continue
        texts = given["cats_strings"].strings if "cats_strings" in given else ()
        numbers = given["cats_int64s"].ints if "cats_int64s" in given else ()
        listed = frozenset([*(text.decode(errors="replace") for text in texts), *numbers])
        only[place] = only.get(place, listed) & listed
    return only


def _encoders(
    model: bytes, ports: Sequence[Port], same: Container[str]
) -> Iterator[tuple[Any, int]]:
    """The encoders of single features, with the feature's index. The search passes nodes in `same`."""
    graph = parse(model).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    columns: dict[str, Columns] = {}
    start = 0
    for port in ports:
        width = port.width or 1
        columns[port.name] = [*range(start, start + width)]
        start += width
    for node in graph.node[:_MAX_NODES]:  # ONNX sorts nodes: each follows its inputs
        if node.op_type in _ENCODERS:
            places = columns.get(node.input[0], []) if node.input else []
            if len(places) == 1:
                yield node, places[0]
        elif (found := _output_columns(node, columns, constants, same)) and node.output:
            columns[node.output[0]] = found


def _output_columns(
    node: Any, columns: Mapping[str, Columns], constants: Mapping[str, Any], same: Container[str]
) -> Columns | None:
    """The features in the columns of a node's output; None if the node computes other values."""
    if not node.input or node.input[0] not in columns:
        return None
    if node.op_type in same:
        return columns[node.input[0]]
    if node.op_type == "Concat" and all(name in columns for name in node.input):
        together = sum(len(columns[name]) for name in node.input)
        return (
            [p for name in node.input for p in columns[name]] if together <= _MAX_COLUMNS else None
        )
    if node.op_type in {"ArrayFeatureExtractor", "Gather"} and len(node.input) > 1:
        chosen = _indices(constants.get(node.input[1]))[: _MAX_COLUMNS + 1]
        places = columns[node.input[0]]
        if len(chosen) <= _MAX_COLUMNS and all(0 <= index < len(places) for index in chosen):
            return [places[index] for index in chosen]
    return None


def _indices(tensor: Any) -> list[int]:
    if tensor is None:
        return []
    if tensor.raw_data and tensor.data_type == 7:  # noqa: PLR2004  TensorProto.INT64
        return [int(index) for index in np.frombuffer(tensor.raw_data, "<i8")]
    return [*tensor.int64_data]


def _first_listed(node: Any) -> Value | None:
    for attribute in node.attribute:
        if attribute.name in _LISTS:
            for text in attribute.strings:
                return str(text.decode(errors="replace"))
            for number in (*attribute.ints, *attribute.floats):
                return float(number)
    return None
