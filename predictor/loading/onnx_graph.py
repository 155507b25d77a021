"""What ONNX Runtime does not tell about a graph: class labels, and files outside the model file.

Read through the few fields of ONNX's schema that matter here (`onnx_schema.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictor.loading.onnx_schema import parse, whole

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
