"""What an ONNX graph says beyond what ONNX Runtime tells: class labels, files outside the model, operators.

Read from the bytes, by ONNX's own description of a graph, without the `onnx` package.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_FLOAT, _DOUBLE, _INT64, _STRING, _BYTES, _MESSAGE = (
    _FIELD.TYPE_FLOAT,
    _FIELD.TYPE_DOUBLE,
    _FIELD.TYPE_INT64,
    _FIELD.TYPE_STRING,
    _FIELD.TYPE_BYTES,
    _FIELD.TYPE_MESSAGE,
)

# message -> (field, number, type or message, repeated)
_SCHEMA: dict[str, list[tuple[str, int, int | str, bool]]] = {
    "Model": [("graph", 7, "Graph", False), ("functions", 25, "Function", True)],
    "Function": [("node", 7, "Node", True)],
    "Graph": [
        ("node", 1, "Node", True),
        ("initializer", 5, "Tensor", True),
        ("output", 12, "Output", True),
        ("sparse_initializer", 15, "Sparse", True),
    ],
    "Sparse": [("values", 1, "Tensor", False), ("indices", 2, "Tensor", False)],
    "Output": [("name", 1, _STRING, False)],
    "Node": [
        ("input", 1, _STRING, True),
        ("output", 2, _STRING, True),
        ("op_type", 4, _STRING, False),
        ("attribute", 5, "Attribute", True),
    ],
    "Attribute": [
        ("name", 1, _STRING, False),
        ("i", 3, _INT64, False),
        ("s", 4, _BYTES, False),
        ("t", 5, "Tensor", False),
        ("g", 6, "Graph", False),
        ("floats", 7, _FLOAT, True),
        ("ints", 8, _INT64, True),
        ("strings", 9, _BYTES, True),
        ("tensors", 10, "Tensor", True),
        ("graphs", 11, "Graph", True),
        ("sparse_tensor", 22, "Sparse", False),
        ("sparse_tensors", 23, "Sparse", True),
    ],
    "Tensor": [
        ("data_type", 2, _INT64, False),
        ("float_data", 4, _FLOAT, True),
        ("int32_data", 5, _INT64, True),
        ("string_data", 6, _BYTES, True),
        ("int64_data", 7, _INT64, True),
        ("name", 8, _STRING, False),
        ("raw_data", 9, _BYTES, False),
        ("double_data", 10, _DOUBLE, True),
        ("external_data", 13, "Entry", True),
    ],
    "Entry": [("key", 1, _STRING, False), ("value", 2, _STRING, False)],
}


_VALUES = {
    "Attribute": {"i", "s", "floats", "ints", "strings"},
    "Tensor": {"float_data", "int32_data", "string_data", "int64_data", "raw_data", "double_data"},
}
"""The fields that a large model consists of. What reads none of them need not unpack them."""


def parse(model: bytes, *, values: bool = True) -> Any:
    """The message of a serialised ONNX model. Raises ValueError if it is none.

    Without `values`, no attribute or tensor has any until it is made `whole`.
    """
    parsed = _message_class("Model", values=values)()
    try:
        parsed.ParseFromString(model)
    except message.DecodeError as error:
        raise ValueError(f"not an ONNX model: {error}") from error
    if not parsed.HasField("graph"):
        raise ValueError("not an ONNX model: it has no graph")
    return parsed


def whole(part: Any) -> Any:
    """An attribute or a tensor of a message that was read without values, with its values.

    Raises ValueError where they are none.
    """
    read = _message_class(part.DESCRIPTOR.name, values=True)()
    try:
        read.ParseFromString(part.SerializeToString())
    except message.DecodeError as error:
        raise ValueError(f"not an ONNX model: {error}") from error
    return read


@cache
def _message_class(wanted: str, *, values: bool) -> Any:
    schema = descriptor_pb2.FileDescriptorProto(
        name="graph.proto", package="graph", syntax="proto2"
    )
    for name, fields in _SCHEMA.items():
        described = schema.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            if not values and field in _VALUES.get(name, ()):
                continue
            described.field.add(
                name=field,
                number=number,
                type=kind if isinstance(kind, int) else _MESSAGE,
                type_name=None if isinstance(kind, int) else f".graph.{kind}",
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"graph.{wanted}"))


_RAW_DTYPES = {6: "<i4", 7: "<i8"}  # TensorProto.DataType: INT32, INT64

_RESHAPING = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_OF_THE_SAME_CLASSES = _RESHAPING | {"Concat", "Transpose", "Normalizer", "ZipMap"}

Labels = tuple[str | int, ...]


@dataclass(frozen=True)
class GraphFacts:
    """What a graph says of its classes, files and outputs.

    Class labels are in the order of the probability columns, and empty where no node lists them;
    external files are relative paths, sorted. `operators` are the types of the nodes that make the
    outputs, by the outputs' names; nodes that only reshape are passed over.
    """

    class_labels: Labels
    external_files: tuple[str, ...]
    operators: Mapping[str, str]


def read_graph(model: bytes) -> GraphFacts:
    """Read a serialised ONNX model. Raises ValueError if it is not one that can be served."""
    parsed = parse(model, values=False)
    graphs = list(_graphs(parsed.graph))
    functions = [graph for function in parsed.functions for graph in _graphs(function)]
    _check_none_is_opened(graphs, functions)
    files = {
        entry.value
        for graph in graphs
        for tensor in _tensors(graph)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return GraphFacts(_class_labels(parsed.graph), tuple(sorted(files)), _operators(parsed.graph))


def _operators(graph: Any) -> dict[str, str]:
    producers = {name: node for node in graph.node for name in node.output}
    found = {}
    for output in graph.output:
        node, passed = producers.get(output.name), set()
        while node is not None and node.op_type in _RESHAPING and node.output[0] not in passed:
            passed.add(node.output[0])
            node = producers.get(node.input[0])
        if node is not None:
            found[output.name] = str(node.op_type)
    return found


def _class_labels(graph: Any) -> Labels:
    """Follow each output back to the node that lists the classes it chooses from.

    Behind arithmetic, a list is that of a part of the model: one against one, say, votes.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for output in graph.output:
        name = output.name
        while (node := producers.pop(name, None)) is not None:
            if labels := _listed(node) or _chosen_from(node, constants):
                return labels
            if node.op_type not in _OF_THE_SAME_CLASSES:
                break
            name = node.input[0] if node.input else ""
    return ()


def _listed(node: Any) -> Labels:
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings" and (texts := whole(attribute).strings):
            return tuple(label.decode() for label in texts)
        if attribute.name in {"classlabels_int64s", "classlabels_ints"} and (
            numbers := whole(attribute).ints
        ):
            return tuple(numbers)
    return ()


def _chosen_from(node: Any, constants: dict[str, Any]) -> Labels:
    # skl2onnx writes argmax, then a look-up in a constant tensor of the classes.
    tensor = constants.get(node.input[0]) if node.op_type == "ArrayFeatureExtractor" else None
    if tensor is None:
        return ()
    tensor = whole(tensor)
    if tensor.string_data:
        return tuple(label.decode() for label in tensor.string_data)
    if tensor.raw_data and tensor.data_type in _RAW_DTYPES:
        return tuple(np.frombuffer(tensor.raw_data, _RAW_DTYPES[tensor.data_type]).tolist())
    return tuple(tensor.int64_data or tensor.int32_data)


def _check_none_is_opened(graphs: Sequence[Any], functions: Sequence[Any]) -> None:
    """Raise ValueError for files that ONNX Runtime opens by their name, wherever that leads.

    It takes bytes for the plain tensors of graphs alone.
    """
    inside = [tensor for function in functions for tensor in _tensors(function)]
    sparse = [tensor for graph in (*graphs, *functions) for tensor in _sparse(graph)]
    if any(tensor.external_data for tensor in (*inside, *sparse)):
        raise ValueError(
            "not served: sparse weights or functions of it are in files of their own; "
            "export it with its weights inside"
        )


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph or a function, and all graphs inside its nodes."""
    yield graph
    for attribute in _attributes(graph):
        inner = [attribute.g] if attribute.HasField("g") else []
        for each in (*inner, *attribute.graphs):
            yield from _graphs(each)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from getattr(graph, "initializer", ())  # a function has none
    for attribute in _attributes(graph):
        yield from (attribute.t, *attribute.tensors)


def _sparse(graph: Any) -> Iterator[Any]:
    of_nodes = [
        each
        for attribute in _attributes(graph)
        for each in (attribute.sparse_tensor, *attribute.sparse_tensors)
    ]
    for each in (*getattr(graph, "sparse_initializer", ()), *of_nodes):
        yield from (each.values, each.indices)


def _attributes(graph: Any) -> Iterator[Any]:
    return (attribute for node in graph.node for attribute in node.attribute)
