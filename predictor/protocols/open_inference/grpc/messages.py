"""Messages of the protocol: a request to an inference, its result to a response."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from predictor.errors import MalformedBody
from predictor.protocols.open_inference.datatypes import to_bytes
from predictor.protocols.open_inference.errors import InvalidInference, check_supported, quoted
from predictor.protocols.open_inference.grpc.open_inference_pb2 import (
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
    RequestId,
)
from predictor.protocols.open_inference.inference import Inference, Inferred, Target
from predictor.protocols.open_inference.tensors import Tensor

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
"""The field for the elements of each datatype; FP16 is always raw."""


def read(kind: type[M], body: bytes) -> M:
    """Parse a message. Raises MalformedBody."""
    try:
        return kind.FromString(body)
    except DecodeError:
        raise MalformedBody(f"the request is not a {kind.DESCRIPTOR.full_name}") from None


def target(name: str, version: str) -> Target:
    """The model that a message names; an empty version means the serving one."""
    return Target(name, version or None)


def inference(request: ModelInferRequest) -> Inference:
    """Read a request. Raises InvalidInference for elements in a wrong field."""
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
    return Inference(target(request.model_name, request.model_version), tensors, names)


def _check_parameters(request: ModelInferRequest) -> None:
    check_supported(request.parameters, "")
    for place, listed in (("inputs", request.inputs), ("outputs", request.outputs)):
        if len(listed) > _MAX_TENSORS:
            raise InvalidInference(
                f"the request has {len(listed)} {place}; at most {_MAX_TENSORS} are read"
            )
        for number, each in enumerate(listed):
            check_supported(each.parameters, f"{place}[{number}]")


def _raw(tensor: Any, raw: bytes) -> bytes:
    if tensor.HasField("contents"):
        raise InvalidInference(
            f"input {quoted(tensor.name)} has contents, and the request has raw_input_contents; send one"
        )
    return raw


def _typed(tensor: Any) -> list[Any]:
    taken = _CONTENTS.get(tensor.datatype)
    for field, _ in tensor.contents.ListFields():
        if taken is not None and field.name != taken:
            raise InvalidInference(
                f"input {quoted(tensor.name)}: {tensor.datatype} is sent in {taken}, "
                f"not in {field.name}"
            )
    return list(getattr(tensor.contents, taken)) if taken else []


def response(name: str, inferred: Inferred, *, raw: bool) -> bytes:
    """The response to a request with this id. Contents are raw if its inputs were (as in Triton), or for FP16."""
    version = inferred.version
    made = ModelInferResponse(model_name=version.name, model_version=version.version, id=name)
    raw = raw or any(tensor.datatype not in _CONTENTS for tensor in inferred.outputs)
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


def with_id(message: bytes, name: str) -> bytes:
    """A ModelInferResponse without an id, with this one: messages are joined by joining their bytes."""
    return message + ModelInferResponse(id=name).SerializeToString() if name else message


_FINAL: Mapping[str, InferParameter] = {"triton_final_response": InferParameter(bool_param=True)}
_FINAL_MESSAGE = ModelInferResponse(parameters=_FINAL).SerializeToString()
_INFER_RESPONSE = b"\x12"  # the tag of this field of ModelStreamInferResponse
_CONTINUED = 0x80  # in the bytes of a length: another one follows


def stream_response(message: bytes) -> bytes:
    """A ModelInferResponse as the response in a stream. As in Triton's, it says that no other follows."""
    message += _FINAL_MESSAGE
    size, length = len(message), []
    while size >= _CONTINUED:
        length.append(size % _CONTINUED + _CONTINUED)
        size //= _CONTINUED
    return _INFER_RESPONSE + bytes([*length, size]) + message


def stream_error(body: bytes, detail: str) -> bytes:
    """The response in a stream to a request that failed, with its id unless it is no message."""
    made = ModelStreamInferResponse(error_message=detail)
    with suppress(DecodeError):
        made.infer_response.id = RequestId.FromString(body).id
    return made.SerializeToString()
