"""What the serving model takes and gives, as the protocol says it."""

import msgspec

from predictor.open_inference.datatypes import DATATYPES
from predictor.open_inference.outputs import result
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


def outputs(signature: Signature) -> list[TensorMetadata]:
    """The outputs that make an answer, in the order of an answer to a request that names none."""
    described = []
    for name in signature.outputs.names:
        datatype, dimensions, columns = result(signature, name)
        shape = [-1] if dimensions == 1 else [-1, columns or -1]
        described.append(TensorMetadata(name, datatype, shape))
    return described
