"""Which categories a graph knows: read from the encoders that its inputs lead to.

A graph that encodes categories refuses, as a rule, a value that it was not trained on. One that it
knows makes a row that can be computed. Only the first layer is followed: casts, columns put
together and taken apart again, and encoders.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from predictor.model.graph import parse
from predictor.model.signature import Port, Value

Categories = Mapping[int, Value]
"""By the place of a feature among the features: the first category that an encoder lists."""
Columns = list[int]
"""The features that a tensor's columns are."""

_SAME = {
    "Cast",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
}
_CHANGED = {"Imputer", "StringNormalizer"}
_ENCODERS = {"OneHotEncoder", "LabelEncoder", "CategoryMapper"}
_LISTS = ("cats_strings", "cats_int64s", "keys_strings", "keys_int64s", "keys_floats")


_REFUSING = {
    "OneHotEncoder", "CategoryMapper", "ArrayFeatureExtractor", "Gather", "GatherElements", "GatherND",
    "ScatterElements", "ScatterND", "OneHot", "Range", "Slice", "Compress", "If", "Loop", "Scan",
}  # fmt: skip
_MAX_NODES, _MAX_COLUMNS = (
    2000,
    10_000,
)  # that are followed; graphs may put columns together again and again


def refuses_values(model: bytes) -> bool:
    """Whether a serialised model has a node that fails for some values and not for others.

    Where it has none, a row that fails says that all fail.
    """
    return any(node.op_type in _REFUSING for node in parse(model).graph.node)


def known_categories(model: bytes, ports: Sequence[Port]) -> Categories:
    """The categories of a serialised model; none where no encoder can be followed to its inputs."""
    known: dict[int, Value] = {}
    for node, place in _encoders(model, ports, _SAME | _CHANGED):
        listed = _first_listed(node)
        if listed is not None:
            known.setdefault(place, listed)
    return known


def only_categories(model: bytes, ports: Sequence[Port]) -> Mapping[int, frozenset[Value]]:
    """By the place of a feature, the categories without which a serialised model fails.

    Those of one-hot encoders that refuse what they do not know; of features whose values reach them
    unchanged, but for a cast to an integer.
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
    """The encoders of single features, each with the feature's place. Nodes in `same` are looked through."""
    graph = parse(model).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    columns: dict[str, Columns] = {}
    start = 0
    for port in ports:
        width = port.width or 1
        columns[port.name] = [*range(start, start + width)]
        start += width
    for node in graph.node[:_MAX_NODES]:  # each after those that it takes from
        if node.op_type in _ENCODERS:
            places = columns.get(node.input[0], []) if node.input else []
            if len(places) == 1:
                yield node, places[0]
        elif (led := _led_on(node, columns, constants, same)) and node.output:
            columns[node.output[0]] = led


def _led_on(
    node: Any, columns: Mapping[str, Columns], constants: Mapping[str, Any], same: Container[str]
) -> Columns | None:
    """The features of a node's output; None where they are not simply those of its inputs."""
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
