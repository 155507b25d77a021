"""GraphFacts: class labels, external files and operators, which ONNX Runtime's API does not report.

They are read from the serialised model with a part of ONNX's protobuf schema, without the `onnx` package.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
    "int64": _FIELD.TYPE_INT64,
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
}
# Message -> fields: name, number, type or message; `*` marks a repeated field.
_SCHEMA = {
    "Model": "graph 7 Graph, functions 25 Function*",
    "Function": "node 7 Node*",
    "Graph": "node 1 Node*, initializer 5 Tensor*, output 12 Output*, sparse_initializer 15 Sparse*",
    "Sparse": "values 1 Tensor, indices 2 Tensor",
    "Output": "name 1 string",
    "Node": "input 1 string*, output 2 string*, op_type 4 string, attribute 5 Attribute*",
    "Attribute": "name 1 string, i 3 int64, s 4 bytes, t 5 Tensor, g 6 Graph, floats 7 float*, "
    "ints 8 int64*, strings 9 bytes*, tensors 10 Tensor*, graphs 11 Graph*, sparse_tensor 22 Sparse, "
    "sparse_tensors 23 Sparse*",
    "Tensor": "data_type 2 int64, float_data 4 float*, int32_data 5 int64*, string_data 6 bytes*, "
    "int64_data 7 int64*, name 8 string, raw_data 9 bytes, double_data 10 double*, "
    "external_data 13 Entry*",
    "Entry": "key 1 string, value 2 string",
}
_VALUES = {
    "Attribute": {"i", "s", "floats", "ints", "strings"},
    "Tensor": {"float_data", "int32_data", "string_data", "int64_data", "raw_data", "double_data"},
}
"""The fields that make up most of a large model; `parse` can leave them unread to save memory."""


def parse(model: bytes, *, values: bool = True) -> Any:
    """Parse a serialised ONNX model into a protobuf message. Raises ValueError for other bytes.

    Without `values`, attributes and tensors have no values; `whole` reads those of one of them.
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
    """An attribute or a tensor with its values, if `parse` left them out. Raises ValueError."""
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
        for each in fields.split(", "):
            field, number, kind = each.split()
            if not values and field in _VALUES.get(name, ()):
                continue
            kind, repeated = kind.removesuffix("*"), kind.endswith("*")
            described.field.add(
                name=field,
                number=int(number),
                type=_TYPES.get(kind, _FIELD.TYPE_MESSAGE),
                type_name=None if kind in _TYPES else f".graph.{kind}",
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(schema)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"graph.{wanted}"))


_RAW_DTYPES = {6: "<i4", 7: "<i8"}  # TensorProto.DataType: INT32, INT64

_RESHAPING = {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_KEEPS_CLASSES = _RESHAPING | {"Concat", "Transpose", "Normalizer", "ZipMap"}

Labels = tuple[str | int, ...]


@dataclass(frozen=True)
class GraphFacts:
    """The class labels, external files and output operators of a graph.

    `class_labels` are in the order of the probability columns; empty if no node lists them.
    `external_files` are sorted relative paths. `operators` are the types of the nodes that compute the
    outputs, by output name; nodes that only reshape do not count.
    """

    class_labels: Labels
    external_files: tuple[str, ...]
    operators: Mapping[str, str]


def read_graph(model: bytes) -> GraphFacts:
    """Read a serialised ONNX model. Raises ValueError for a model that cannot be served."""
    parsed = parse(model, values=False)
    graphs = list(_graphs(parsed.graph))
    functions = [graph for function in parsed.functions for graph in _graphs(function)]
    _check_external_data(graphs, functions)
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
    """The labels in the first node before an output that lists classes.

    The search stops at arithmetic: nodes before it belong to a part of the model, such as one of the
    classifiers that vote.
    """
    producers = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for output in graph.output:
        name = output.name
        while (node := producers.pop(name, None)) is not None:
            if labels := _listed(node) or _looked_up(node, constants):
                return labels
            if node.op_type not in _KEEPS_CLASSES:
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


def _looked_up(node: Any, constants: dict[str, Any]) -> Labels:
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


def _check_external_data(graphs: Sequence[Any], functions: Sequence[Any]) -> None:
    """Raise ValueError for external data that ONNX Runtime would read from this machine's disk.

    It accepts bytes only for the dense tensors of graphs. It would open any other file by its path.
    """
    dense = [tensor for function in functions for tensor in _tensors(function)]
    sparse = [tensor for graph in (*graphs, *functions) for tensor in _sparse(graph)]
    if any(tensor.external_data for tensor in (*dense, *sparse)):
        raise ValueError(
            "not served: it has sparse weights or functions in external files; export it with its "
            "weights inside the graph"
        )


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph or a function, and all subgraphs of its nodes."""
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
    tensors = [*getattr(graph, "sparse_initializer", ())]
    for attribute in _attributes(graph):
        tensors += (attribute.sparse_tensor, *attribute.sparse_tensors)
    for each in tensors:
        yield from (each.values, each.indices)


def _attributes(graph: Any) -> Iterator[Any]:
    return (attribute for node in graph.node for attribute in node.attribute)
