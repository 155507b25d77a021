"""From answers to output tensors, named as in the graph; and the metadata of server and model."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Self

import msgspec
from msgspec import UNSET, UnsetType

from predictor.model.answers import Answers
from predictor.model.graph_values import graph_columns
from predictor.model.signature import Signature
from predictor.model_version import ModelVersion
from predictor.openapi.schemas import doc
from predictor.protocols.open_inference.datatypes import DATATYPES
from predictor.protocols.open_inference.errors import InvalidInference, quoted
from predictor.protocols.open_inference.tensors import Tensor, port_width


def tensor_names(signature: Signature) -> list[str]:
    """The outputs that are tensors: prediction and probabilities first, then the others."""
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


def outputs_of(signature: Signature, answers: Answers, names: Sequence[str]) -> list[Tensor]:
    """These outputs of one version's answers, in the order of the rows.

    Elements are Python values, in row-major order. An output is left out if a row has no value of it, or
    rows have different shapes; if it was requested, this raises InvalidInference.
    """
    columns = graph_columns(signature, answers)
    tensors = []
    for name in requested(signature, names):
        tensor = _tensor(signature, name, columns.get(name, [None]))
        if tensor is not None:
            tensors.append(tensor)
        elif names:
            raise InvalidInference(
                f"output {quoted(name)} is not a tensor for these rows: some have no value of it, or "
                "values of different shapes"
            )
    return tensors


def _tensor(signature: Signature, name: str, values: Sequence[Any]) -> Tensor | None:
    kind = datatype(signature, name)
    assert kind is not None  # noqa: S101  see `tensor_names`
    if dict in map(type, values):
        values = [_in_order(signature, each) for each in values]
    if None in values:
        return None
    if signature.outputs.axis_of(name) == 1:
        values = [list(each) for each in zip(*values, strict=True)]
    sizes, flat = [len(values)], values
    while flat and isinstance(flat[0], list):
        size = len(flat[0])
        if any(len(each) != size for each in flat):
            return None
        sizes.append(size)
        flat = [*chain.from_iterable(flat)]
    return Tensor(name, kind, sizes, flat)


def _in_order(signature: Signature, scores: Any) -> Any:
    """A map of scores as a list, in the order of the class labels where these are known."""
    if not isinstance(scores, dict):
        return scores
    labels = signature.label_names or [*scores]
    return [scores[label] for label in labels] if scores.keys() >= {*labels} else None


PLATFORM = "onnx_onnxv1"
EXTENSIONS = ("binary_tensor_data",)


class V2Server(msgspec.Struct, frozen=True):
    """The server: its name, version and extensions of the protocol."""

    name: str
    version: str
    extensions: list[str]


class V2Health(msgspec.Struct, frozen=True):
    """Whether the process answers, and whether a version serves."""

    live: bool
    ready: bool


class V2Ready(msgspec.Struct, frozen=True):
    """Whether a model serves; true, else the response is an error."""

    name: str
    ready: bool


class V2Tensor(msgspec.Struct, frozen=True):
    """One input or output of the model. A dimension of -1 varies; the first is the number of rows."""

    name: str
    datatype: str
    shape: list[int]


class V2ModelParameters(msgspec.Struct, frozen=True):
    """What the protocol has no field for. Each list is absent where it would be empty."""

    may_be_missing: (
        Annotated[list[str], doc("Features whose value may be NaN or absent.")] | UnsetType
    ) = UNSET
    ignored: Annotated[list[str], doc("Inputs that may be sent and are ignored.")] | UnsetType = (
        UNSET
    )


class V2Model(msgspec.Struct, frozen=True):
    """The serving model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[V2Tensor]
    outputs: list[V2Tensor]
    parameters: V2ModelParameters | UnsetType = UNSET

    @classmethod
    def of(cls, version: ModelVersion, signature: Signature) -> Self:
        """Describe a version."""
        missing, ignored = list(signature.may_be_missing), list(signature.ignored)
        parameters = V2ModelParameters(missing or UNSET, ignored or UNSET)
        return cls(
            version.name,
            [version.version],
            PLATFORM,
            inputs(signature),
            outputs(signature),
            parameters if missing or ignored else UNSET,
        )


def inputs(signature: Signature) -> list[V2Tensor]:
    """The graph's own inputs, in its order."""
    return [
        V2Tensor(
            port.name,
            DATATYPES[port.type],
            [-1] if len(port.shape) == 1 else [-1, port_width(signature, port)],
        )
        for port in signature.ports
    ]


def outputs(signature: Signature) -> list[V2Tensor]:
    """The graph's outputs, in the order of a response to a request that names none."""
    return [
        V2Tensor(name, datatype(signature, name) or "", shape(signature, name))
        for name in tensor_names(signature)
    ]
