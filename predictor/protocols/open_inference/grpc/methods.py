"""The methods of `inference.GRPCInferenceService`: bytes of a request in, bytes of its response out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from predictor import __version__
from predictor.errors import NothingServing
from predictor.inference.batcher import Batcher
from predictor.inference.protocol import Read, Result, read_each, write_each
from predictor.model.answers import Answers
from predictor.model.servable import Servable
from predictor.model.signature import Row
from predictor.protocols.open_inference import outputs as metadata
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.messages import inference, read, response, target
from predictor.protocols.open_inference.grpc.plain import PLAIN, Note
from predictor.reconcile.reconciler import Reconciler


class Infer:
    """The protocol of `ModelInfer` and `ModelStreamInfer`."""

    name = "open_inference_grpc"

    def read(self, servable: Servable, bodies: Sequence[bytes]) -> Read:
        """The rows of the messages."""
        plain = PLAIN.of(servable)

        def read_one(body: bytes) -> tuple[list[Row], Note]:
            if plain is not None and (quick := plain.read(body)):
                return quick
            request = read(pb.ModelInferRequest, body)
            found = inference(request)
            return found.rows(servable), Note(request.id, bool(request.raw_input_contents), found)

        return read_each(read_one, bodies)

    def write(self, servable: Servable, read: Read, answers: Answers) -> list[Result]:
        """The message of each response."""

        def write_one(part: Answers, note: Note) -> bytes:
            return response(note.id, note.inference.inferred(servable, (), part), raw=note.raw)

        plain = PLAIN.of(servable)
        written = None if plain is None else plain.write(read, answers)
        return write_each(write_one, read, answers, written)


INFER = Infer()
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
