"""Answers to output tensors, by the names that the graph gives its outputs; and what the model takes and gives."""

from collections.abc import Sequence
from typing import Any

import msgspec

from predictor.model.answers import Answer, graph_row
from predictor.model.signature import Signature
from predictor.protocols.open_inference.datatypes import DATATYPES
from predictor.protocols.open_inference.errors import InvalidInference, quoted
from predictor.protocols.open_inference.tensors import Tensor, port_width


def tensor_names(signature: Signature) -> list[str]:
    """The outputs that are tensors: first those that make the answer, then the others."""
    return [name for name in signature.outputs.names if datatype(signature, name)]


def datatype(signature: Signature, name: str) -> str | None:
    """The datatype of an output; None where it is not a tensor.

    A sequence of tensors of one shape is a tensor, its first axis that of the sequence. Maps of
    scores are a table of FP32, as their numbers are.
    """
    port = signature.result(name)
    if port.type.startswith("seq(map("):
        return "FP32"
    if port.type.startswith("seq(") and port.shape:
        return DATATYPES.get(port.type.removeprefix("seq(").removesuffix(")"))
    return DATATYPES.get(port.type)


def shape(signature: Signature, name: str) -> list[int]:
    """The shape of an output; -1 for the rows, and for a dimension that varies."""
    port, read = signature.result(name), signature.outputs
    if name == read.probabilities and read.label:
        return [-1, len(signature.class_labels) or port.width or -1]
    if not port.shape:
        return [-1] if name == read.label else [-1, -1]
    rows = signature.outputs.axis_of(name)
    return [-1 if size is None or axis == rows else size for axis, size in enumerate(port.shape)]


def requested(signature: Signature, names: Sequence[str]) -> list[str]:
    """The outputs of a response, in the order of the request; all of them where it names none.

    Raises InvalidInference for one that is unknown or named twice.
    """
    known = tensor_names(signature)
    for number, name in enumerate(names):
        if name not in known:
            listed = ", ".join(map(quoted, known))
            raise InvalidInference(f"unknown output {quoted(name)}; the model gives {listed}")
        if name in names[:number]:
            raise InvalidInference(f"output {quoted(name)} is requested twice")
    return list(names) or known


def outputs_of(
    signature: Signature, answers: Sequence[Answer], names: Sequence[str]
) -> list[Tensor]:
    """These outputs of the answers, which are one version's, in the order of the rows.

    Elements are Python values, in row-major order. An output that some row has not, or in another
    shape than the other rows, is left out; where it was requested, it raises InvalidInference.
    """
    rows = [graph_row(signature, answer) for answer in answers]
    tensors = []
    for name in requested(signature, names):
        tensor = _tensor(signature, name, [row.get(name) for row in rows])
        if tensor is not None:
            tensors.append(tensor)
        elif names:
            raise InvalidInference(
                f"output {quoted(name)} is not a tensor for these rows: some have no value of it, or "
                "values of different shapes"
            )
    return tensors


def _tensor(signature: Signature, name: str, values: list[Any]) -> Tensor | None:
    kind = datatype(signature, name)
    assert kind is not None  # noqa: S101  see `tensor_names`
    values = [_in_order(signature, each) for each in values]
    if any(value is None for value in values):
        return None
    if signature.outputs.axis_of(name) == 1:
        values = [list(each) for each in zip(*values, strict=True)]
    sizes, flat = [len(values)], values
    while flat and isinstance(flat[0], list):
        size = len(flat[0])
        if any(len(each) != size for each in flat):
            return None
        sizes.append(size)
        flat = [value for each in flat for value in each]
    return Tensor(name, kind, sizes, flat)


def _in_order(signature: Signature, scores: Any) -> Any:
    """A map of scores as a list, in the order of the class labels where these are known."""
    if not isinstance(scores, dict):
        return scores
    labels = signature.label_names or [*scores]
    return [scores[label] for label in labels] if scores.keys() >= {*labels} else None


PLATFORM = "onnx_onnxv1"
EXTENSIONS = ("binary_tensor_data",)


class TensorMetadata(msgspec.Struct, frozen=True):
    """One input or output. A dimension that varies is -1; the first is that of the rows."""

    name: str
    datatype: str
    shape: list[int]


def inputs(signature: Signature) -> list[TensorMetadata]:
    """The graph's own inputs, in its order."""
    return [
        TensorMetadata(
            port.name,
            DATATYPES[port.type],
            [-1] if len(port.shape) == 1 else [-1, port_width(signature, port)],
        )
        for port in signature.ports
    ]


def parameters(signature: Signature) -> dict[str, list[str]]:
    """What the protocol has no field for: names of features that may be missing, and of ignored columns."""
    found = {"may_be_missing": signature.may_be_missing, "ignored": signature.ignored}
    return {name: list(names) for name, names in found.items() if names}


def outputs(signature: Signature) -> list[TensorMetadata]:
    """The graph's outputs, in the order of a response to a request that names none."""
    return [
        TensorMetadata(name, datatype(signature, name) or "", shape(signature, name))
        for name in tensor_names(signature)
    ]
