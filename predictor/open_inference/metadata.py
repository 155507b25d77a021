"""What the serving model takes and gives, as the protocol says it."""

import msgspec

from predictor.open_inference.datatypes import DATATYPES
from predictor.open_inference.outputs import datatype, shape, tensor_names
from predictor.open_inference.tensors import port_width
from predictor.signature import Signature

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
