"""Messages of the protocol to what the service computes with, and back."""

from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from predictor.errors import MalformedBody
from predictor.grpc_service.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from predictor.open_inference.datatypes import to_bytes
from predictor.open_inference.inference import Addressed, Inference, Inferred
from predictor.open_inference.inference_errors import InvalidInference, quoted
from predictor.open_inference.parameters import check_offered
from predictor.open_inference.tensors import Tensor

M = TypeVar("M", bound=Message)

_MAX_TENSORS = (
    1 << 16
)  # inputs or outputs: an empty one is two bytes of a message, and takes hundreds in memory

_CONTENTS = {
    "BOOL": "bool_contents", "BYTES": "bytes_contents",
    "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT64": "uint64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip
"""The field that has the elements of each datatype; those of FP16 are only ever raw."""


def read(kind: type[M], body: bytes) -> M:
    """The message that these bytes are. Raises MalformedBody."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise MalformedBody(f"the request is not a {kind.DESCRIPTOR.full_name}") from None


def addressed(name: str, version: str) -> Addressed:
    """The model that a message names; an empty version is whichever serves."""
    return Addressed(name, version or None)


def inference(request: ModelInferRequest) -> Inference:
    """What is asked for. Raises InvalidInference for elements that are not where they should be."""
    _check_parameters(request)
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidInference(
            f"raw_input_contents has {len(raw)} elements, and there are {len(request.inputs)} inputs"
        )
    tensors = [
        Tensor(each.name, each.datatype, each.shape, _raw(each, raw[i]) if raw else _typed(each))
        for i, each in enumerate(request.inputs)
    ]
    names = [output.name for output in request.outputs]
    return Inference(addressed(request.model_name, request.model_version), tensors, names)


def _check_parameters(request: ModelInferRequest) -> None:
    check_offered(request.parameters, "")
    for place, listed in (("inputs", request.inputs), ("outputs", request.outputs)):
        if len(listed) > _MAX_TENSORS:
            raise InvalidInference(
                f"the request has {len(listed)} {place}; at most {_MAX_TENSORS} are read"
            )
        for number, each in enumerate(listed):
            check_offered(each.parameters, f"{place}[{number}]")


def _raw(tensor: Any, raw: bytes) -> bytes:
    if tensor.HasField("contents"):
        raise InvalidInference(
            f"input {quoted(tensor.name)} has contents, and raw_input_contents is given as well"
        )
    return raw


def _typed(tensor: Any) -> list[Any]:
    taken = _CONTENTS.get(tensor.datatype)
    for field, _ in tensor.contents.ListFields():
        if taken is not None and field.name != taken:
            raise InvalidInference(
                f"input {quoted(tensor.name)}: {tensor.datatype} is taken in {taken}, "
                f"and not in {field.name}"
            )
    return list(getattr(tensor.contents, taken)) if taken else []


def response(request: ModelInferRequest, inferred: Inferred) -> bytes:
    """The answer to a request, with its id: raw where its inputs were, as Triton has it, or one output is FP16."""
    version = inferred.version
    made = ModelInferResponse(model_name=version.name, model_version=version.version, id=request.id)
    raw = bool(request.raw_input_contents) or any(
        tensor.datatype not in _CONTENTS for tensor in inferred.outputs
    )
    for tensor in inferred.outputs:
        output = made.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        elements: Any = tensor.data
        if raw:
            made.raw_output_contents.append(to_bytes(tensor.datatype, elements))
            continue
        if tensor.datatype == "BYTES":
            elements = [text.encode() for text in elements]
        getattr(output.contents, _CONTENTS[tensor.datatype]).extend(elements)
    return made.SerializeToString()
