"""The methods of `inference.GRPCInferenceService`: bytes of a request in, bytes of its response out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from predictor import __version__
from predictor.errors import MalformedBody, NothingServing
from predictor.inference.batcher import Batcher
from predictor.inference.protocol import Read, Result, read_each, write_each
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.protocols.open_inference import outputs as metadata
from predictor.protocols.open_inference.datatypes import to_bytes
from predictor.protocols.open_inference.errors import InvalidInference, check_supported, quoted
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.open_inference_pb2 import (
    ModelInferRequest,
    ModelInferResponse,
)
from predictor.protocols.open_inference.inference import Inference, Inferred, Target
from predictor.protocols.open_inference.tensors import Tensor
from predictor.reconcile.reconciler import Reconciler

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


class Infer:
    """The protocol of `ModelInfer` and `ModelStreamInfer`, which differ in the message of a response."""

    def __init__(self, respond: Callable[[ModelInferRequest, Inferred], bytes]) -> None:
        self._respond = respond

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows; the note of each request is its message and what it says."""

        def read_one(body: bytes) -> tuple[list[Row], tuple[ModelInferRequest, Inference]]:
            request = read(ModelInferRequest, body)
            found = inference(request)
            return found.rows(servable), (request, found)

        return read_each(read_one, bodies)

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The message of each response."""

        def write_one(part: Answers, note: tuple[ModelInferRequest, Inference]) -> bytes:
            request, found = note
            return self._respond(request, found.inferred(servable, (), part))

        return write_each(write_one, read, answers)


def response(request: ModelInferRequest, inferred: Inferred) -> bytes:
    """The response to a call."""
    made = ModelInferResponse()
    _fill(made, request, inferred)
    return made.SerializeToString()


def stream_response(request: ModelInferRequest, inferred: Inferred) -> bytes:
    """The response to a request of a stream. As Triton's, it says that no other follows for this request."""
    made = pb.ModelStreamInferResponse()
    made.infer_response.parameters["triton_final_response"].bool_param = True
    _fill(made.infer_response, request, inferred)
    return made.SerializeToString()


def stream_error(body: bytes, detail: str) -> bytes:
    """The response to a request of a stream that failed, with its id unless it is no message."""
    made = pb.ModelStreamInferResponse(error_message=detail)
    with suppress(DecodeError):
        made.infer_response.id = pb.RequestId.FromString(body).id
    return made.SerializeToString()


INFER, STREAM_INFER = Infer(response), Infer(stream_response)


def _fill(made: ModelInferResponse, request: ModelInferRequest, inferred: Inferred) -> None:
    """Fill a response with its request's id. Contents are raw if its inputs were (as in Triton), or for FP16."""
    version = inferred.version
    made.model_name, made.model_version, made.id = version.name, version.version, request.id
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


Method = Callable[[bytes], Awaitable[bytes]]

_SERVICE = "/inference.GRPCInferenceService/"
MODEL_STREAM_INFER = f"{_SERVICE}ModelStreamInfer"
"""The path of the only method that is a stream."""


def methods(batcher: Batcher, reconciler: Reconciler) -> Mapping[str, Method]:
    """Each method but the stream by its path, which is also its name in metrics and in the table of keys."""
    each = _Methods(batcher, reconciler)
    return {
        f"{_SERVICE}ServerLive": each.server_live,
        f"{_SERVICE}ServerReady": each.server_ready,
        f"{_SERVICE}ModelReady": each.model_ready,
        f"{_SERVICE}ServerMetadata": each.server_metadata,
        f"{_SERVICE}ModelMetadata": each.model_metadata,
        f"{_SERVICE}ModelInfer": each.model_infer,
    }


class _Methods:
    def __init__(self, batcher: Batcher, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._batcher = batcher

    async def server_live(self, body: bytes) -> bytes:
        read(pb.ServerLiveRequest, body)
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, body: bytes) -> bytes:
        read(pb.ServerReadyRequest, body)
        ready = self._reconciler.serving is not None
        return pb.ServerReadyResponse(ready=ready).SerializeToString()

    async def model_ready(self, body: bytes) -> bytes:
        """False while nothing serves. Raises UnknownModel for what is not the serving version."""
        request = read(pb.ModelReadyRequest, body)
        try:
            serving = self._reconciler.require_serving()
        except NothingServing:
            return pb.ModelReadyResponse(ready=False).SerializeToString()
        target(request.name, request.version).check(serving.model_version)
        return pb.ModelReadyResponse(ready=True).SerializeToString()

    async def server_metadata(self, body: bytes) -> bytes:
        read(pb.ServerMetadataRequest, body)
        # No extension: raw contents, which JSON needs one for, are part of gRPC's messages.
        return pb.ServerMetadataResponse(
            name="mlflow-hotswap", version=__version__
        ).SerializeToString()

    async def model_metadata(self, body: bytes) -> bytes:
        """Raises NothingServing, or UnknownModel for what is not the serving version."""
        request = read(pb.ModelMetadataRequest, body)
        serving = self._reconciler.require_serving()
        version = serving.model_version
        target(request.name, request.version).check(version)
        return pb.ModelMetadataResponse(
            name=version.name,
            versions=[version.version],
            platform=metadata.PLATFORM,
            inputs=[_described(each) for each in metadata.inputs(serving.signature)],
            outputs=[_described(each) for each in metadata.outputs(serving.signature)],
        ).SerializeToString()

    async def model_infer(self, body: bytes) -> bytes:
        """Raises InvalidInference, UnknownModel, MalformedBody, NothingServing or Overloaded."""
        response: bytes = await self._batcher.infer(INFER, body)
        return response


def _described(tensor: metadata.V2Tensor) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )
