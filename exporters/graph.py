"""Changes of a converted graph: names and types of inputs and outputs, and what a converter computes otherwise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from exporters.answers import PredictionKind, session
from exporters.contract import INPUT, LABEL, PROBABILITIES, SCORES, VALUE, Precision
from exporters.estimators import Thresholds
from exporters.table import Column

# Old enough for every ONNX Runtime since 1.13, new enough for every converter used here.
OPSETS = {"": 17, "ai.onnx.ml": 3}
_LOCALE = "C.UTF-8"  # every Linux has it; what skl2onnx writes, en_US.UTF-8, must be installed


def remove_zipmaps(graph: onnx.GraphProto) -> None:
    """Take the table that goes into a ZipMap as the output, instead of its list of maps."""
    tables = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "ZipMap"}
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        graph.node.remove(node)
    for output in graph.output:
        if output.name in tables:
            output.CopyFrom(onnx.ValueInfoProto(name=tables[output.name]))


def set_locale(graph: onnx.GraphProto) -> None:
    """Have texts converted to lower case in a locale that is there."""
    for node in graph.node:
        if node.op_type == "StringNormalizer":
            kept = [each for each in node.attribute if each.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("locale", _LOCALE)])


def name_outputs(graph: onnx.GraphProto, task: PredictionKind, columns: list[str]) -> None:
    """Give the outputs the names of `exporters.contract`, or similar ones if a column has such a name."""
    names = [LABEL, PROBABILITIES if task.probabilities else SCORES] if task.labels else [VALUE]
    for output, wanted in zip(graph.output, names, strict=False):
        name = f"{wanted}_output" if wanted in columns else wanted
        if output.name != name:
            _rename(graph, name, f"/{name}")  # a value inside the graph
        _rename(graph, output.name, name)
        output.name = name


def keep_one_margin(graph: onnx.GraphProto) -> None:
    """Have the scores of two classes be the decision function [N, 1]; some converters give [N, 2]: its negative first."""
    scores = graph.output[1].name
    _rename(graph, scores, "/scores/all")
    for name, values in (("/scores/rows", [0, -1]), ("/scores/last", [-1])):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(values, np.int64), name))
    graph.node.append(
        helper.make_node("Reshape", ["/scores/all", "/scores/rows"], ["/scores/table"])
    )
    graph.node.append(
        helper.make_node("Gather", ["/scores/table", "/scores/last"], [scores], axis=1)
    )
    graph.output[1].CopyFrom(onnx.ValueInfoProto(name=scores))


def keep_labels_only(graph: onnx.GraphProto) -> None:
    """Remove all outputs but the first."""
    del graph.output[1:]


def rename_labels(graph: onnx.GraphProto, labels: tuple[Any, ...]) -> None:
    """Give the labels' own names instead of the numbers of an encoder outside the model."""
    label = graph.output[0].name
    _rename(graph, label, "/label/number")
    to_text = isinstance(labels[0], str)
    values: dict[str, Any] = {"values_strings" if to_text else "values_int64s": list(labels)}
    keys = list(range(len(labels)))
    graph.node.append(
        helper.make_node(
            "LabelEncoder", ["/label/number"], [label], domain="ai.onnx.ml", keys_int64s=keys, **values
        )
    )  # fmt: skip
    kind = TensorProto.STRING if to_text else TensorProto.INT64
    graph.output[0].CopyFrom(helper.make_tensor_value_info(label, kind, [None]))


def join_inputs(graph: onnx.GraphProto, precision: Precision) -> None:
    """Make one input `features` of float32 or float64, however many the converter made."""
    names = [port.name for port in graph.input]
    width = sum(port.type.tensor_type.shape.dim[1].dim_value for port in graph.input)
    given = TensorProto.DOUBLE if precision == "float64_input" else TensorProto.FLOAT
    start = []
    whole = INPUT
    if precision == "float64":
        whole = "features_float64"
        start.append(helper.make_node("Cast", [INPUT], [whole], to=TensorProto.DOUBLE))
    if len(names) > 1:
        columns = [f"/column/{number}" for number in range(len(names))]
        for name, column in zip(names, columns, strict=True):
            _rename(graph, name, column)
        start.append(helper.make_node("Split", [whole], columns, axis=1))
    else:
        _rename(graph, names[0], whole)
    _prepend(graph, start)
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(INPUT, given, [None, width]))


def name_inputs(graph: onnx.GraphProto, columns: tuple[Column, ...], precision: Precision) -> None:
    """Give each input its column's own name, and remove inputs that no node reads."""
    ports = list(graph.input)
    read = {name for node in graph.node for name in node.input}
    start = []
    del graph.input[:]
    for number, (port, column) in enumerate(zip(ports, columns, strict=True)):
        if port.name not in read:
            continue
        inner = f"/column/{number}"
        _rename(graph, port.name, inner)
        kind = inside = port.type.tensor_type.elem_type
        if kind == TensorProto.DOUBLE and precision == "float64":
            kind = TensorProto.FLOAT
        kind = {"boolean": TensorProto.BOOL, "integer": TensorProto.INT64}.get(column.kind, kind)
        if kind == inside:
            start.append(helper.make_node("Identity", [column.name], [inner]))
        else:
            start.append(helper.make_node("Cast", [column.name], [inner], to=inside))
        graph.input.append(helper.make_tensor_value_info(column.name, kind, [None, 1]))
    _prepend(graph, start)


def _prepend(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value wherever it is read or written, also in subgraphs."""
    if old == new:
        return
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, old, new)


def compare_as_library(graph: onnx.GraphProto, thresholds: Thresholds) -> None:
    """Have trees in a graph of float64 compare what their library compares.

    Histogram gradient boosting and LightGBM compare float64 with float64; the converters write float32
    thresholds, which are replaced. All other libraries' trees take float32.
    """
    for node in [each for each in graph.node if each.op_type.startswith("TreeEnsemble")]:
        read = {each.name: each for each in node.attribute}
        rounded = zip(read["nodes_featureids"].ints, read["nodes_values"].floats, strict=True)
        exact = [
            0.0 if mode == b"LEAF" else thresholds.get(pair)
            for pair, mode in zip(rounded, read["nodes_modes"].strings, strict=True)
        ]
        if None in exact:
            _cast_to_float32(graph, node)
            continue
        node.attribute.remove(read["nodes_values"])
        values = np.array(exact, np.float64)
        tensor = onnx.numpy_helper.from_array(values, "nodes_values_as_tensor")
        node.attribute.append(helper.make_attribute("nodes_values_as_tensor", tensor))


def impute_float64(graph: onnx.GraphProto, values: Mapping[float, float]) -> None:
    """Replace each Imputer, which ONNX Runtime has for float32 alone, by a Where."""
    for node in [each for each in graph.node if each.op_type == "Imputer"]:
        read = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if "imputed_value_floats" not in read:
            continue
        fill = np.array(
            [values.get(each, each) for each in read["imputed_value_floats"]], np.float64
        )
        name = f"/{node.output[0]}"
        graph.initializer.append(onnx.numpy_helper.from_array(fill, f"{name}/fill"))
        nodes = [
            helper.make_node("IsNaN", [node.input[0]], [f"{name}/missing"]),
            helper.make_node(
                "Where", [f"{name}/missing", f"{name}/fill", node.input[0]], [node.output[0]]
            ),
        ]
        place = [*graph.node].index(node)
        graph.node.remove(node)
        for offset, each in enumerate(nodes):
            graph.node.insert(place + offset, each)


def interpolate_calibrations(graph: onnx.GraphProto) -> None:
    """Interpolate in isotonic calibrations, where the converter takes the nearest point.

    Between points the value is y[0] + sum over j of (y[j+1] - y[j]) * clip((x - x[j]) / (x[j+1] - x[j]), 0, 1).
    """
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {each.name: each for each in graph.initializer}
    for found in [each for each in graph.node if each.op_type == "ArrayFeatureExtractor"]:
        nearest = made_by.get(found.input[1])
        if nearest is None or nearest.op_type != "ArgMin" or found.input[0] not in constants:
            continue
        distance = made_by[made_by[nearest.input[0]].input[0]]  # ArgMin of Abs of Sub
        x, y = (
            onnx.numpy_helper.to_array(constants[name])
            for name in (distance.input[1], found.input[0])
        )
        name = f"/{found.output[0]}"
        wide = np.diff(x.astype(np.float64)) if len(x) > 1 else np.ones(1)
        steps = np.diff(y.astype(np.float64)) if len(y) > 1 else np.zeros(1)
        values = {
            "x": x[: len(wide)], "width": wide.astype(x.dtype), "steps": steps[:, None].astype(y.dtype),
            "first": y[:1], "zero": np.array(0, x.dtype), "one": np.array(1, x.dtype),
        }  # fmt: skip
        for key, value in values.items():
            graph.initializer.append(onnx.numpy_helper.from_array(value, f"{name}/{key}"))
        nodes = [
            helper.make_node("Sub", [distance.input[0], f"{name}/x"], [f"{name}/right"]),
            helper.make_node("Div", [f"{name}/right", f"{name}/width"], [f"{name}/share"]),
            helper.make_node(
                "Clip", [f"{name}/share", f"{name}/zero", f"{name}/one"], [f"{name}/part"]
            ),
            helper.make_node("MatMul", [f"{name}/part", f"{name}/steps"], [f"{name}/added"]),
            helper.make_node("Add", [f"{name}/added", f"{name}/first"], [found.output[0]]),
        ]
        place = [*graph.node].index(found)
        graph.node.remove(found)
        for offset, each in enumerate(nodes):
            graph.node.insert(place + offset, each)


def _cast_to_float32(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    name = f"/{node.input[0]}/float32"
    if all(name not in each.output for each in graph.node):
        place = [*graph.node].index(node)
        cast = helper.make_node("Cast", [node.input[0]], [name], to=TensorProto.FLOAT)
        graph.node.insert(place, cast)
    node.input[0] = name


def label_as_boolean(graph: onnx.GraphProto) -> None:
    """The converter numbers boolean classes."""
    label = graph.output[0].name
    _rename(graph, label, "/label/number")
    graph.node.append(helper.make_node("Cast", ["/label/number"], [label], to=TensorProto.BOOL))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(label, TensorProto.BOOL, [None]))


def declare_outputs(proto: onnx.ModelProto, task: PredictionKind) -> None:
    """Declare the types that ONNX Runtime finds; the output in place of a ZipMap has none yet.

    Trees always give float32, whatever the converter declares.
    """
    trees = {
        name for node in proto.graph.node if "TreeEnsemble" in node.op_type for name in node.output
    }
    for output in proto.graph.output:
        if output.name in trees and output.type.tensor_type.elem_type == TensorProto.DOUBLE:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    found = session(proto.SerializeToString()).get_outputs()
    for place, (output, port) in enumerate(zip(proto.graph.output, found, strict=True)):
        if port.type in _ELEMENT_TYPES and not output.type.tensor_type.HasField("shape"):
            width = len(task.classes) if task.classes and task.probabilities else None
            shape = [None, width] if place else [None]
            declared = helper.make_tensor_value_info(output.name, _ELEMENT_TYPES[port.type], shape)
            output.CopyFrom(declared)


_ELEMENT_TYPES = {
    "tensor(float)": TensorProto.FLOAT,
    "tensor(double)": TensorProto.DOUBLE,
    "tensor(int64)": TensorProto.INT64,
    "tensor(string)": TensorProto.STRING,
    "tensor(bool)": TensorProto.BOOL,
}


def set_opsets(proto: onnx.ModelProto) -> None:
    """Name each domain once: the converter repeats them, which the ONNX specification forbids."""
    versions = {each.domain: each.version for each in proto.opset_import}
    operators = {node.op_type for node in proto.graph.node}
    if any(each.startswith(("TreeEnsemble", "LabelEncoder")) for each in operators):
        versions["ai.onnx.ml"] = OPSETS["ai.onnx.ml"]
    del proto.opset_import[:]
    proto.opset_import.extend(helper.make_opsetid(*each) for each in versions.items())
