"""The methods of `inference.GRPCInferenceService`: bytes of a request in, bytes of its answer out.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from predictor.batcher import LARGE
from predictor.computing import Run
from predictor.errors import NothingServing
from predictor.grpc_service import messages
from predictor.grpc_service import open_inference_pb2 as pb
from predictor.open_inference import metadata
from predictor.servable import Servable
from predictor.service import Service

Method = Callable[[bytes], Awaitable[bytes]]

_SERVICE = "/inference.GRPCInferenceService/"


def methods(service: Service) -> Mapping[str, Method]:
    """Each method by its path, which is also what metrics and the table of keys call it."""
    each = _Methods(service)
    return {
        f"{_SERVICE}ServerLive": each.server_live,
        f"{_SERVICE}ServerReady": each.server_ready,
        f"{_SERVICE}ModelReady": each.model_ready,
        f"{_SERVICE}ServerMetadata": each.server_metadata,
        f"{_SERVICE}ModelMetadata": each.model_metadata,
        f"{_SERVICE}ModelInfer": each.model_infer,
    }


class _Methods:
    def __init__(self, service: Service) -> None:
        self._reconciler = service.reconciler
        self._batcher = service.batcher

    async def server_live(self, body: bytes) -> bytes:
        messages.read(pb.ServerLiveRequest, body)
        return pb.ServerLiveResponse(live=True).SerializeToString()

    async def server_ready(self, body: bytes) -> bytes:
        messages.read(pb.ServerReadyRequest, body)
        ready = self._reconciler.serving is not None
        return pb.ServerReadyResponse(ready=ready).SerializeToString()

    async def model_ready(self, body: bytes) -> bytes:
        """False while nothing serves. Raises UnknownModel for what is not the serving version."""
        request = messages.read(pb.ModelReadyRequest, body)
        try:
            serving = self._reconciler.require_serving()
        except NothingServing:
            return pb.ModelReadyResponse(ready=False).SerializeToString()
        messages.addressed(request.name, request.version).check(serving.model_version)
        return pb.ModelReadyResponse(ready=True).SerializeToString()

    async def server_metadata(self, body: bytes) -> bytes:
        messages.read(pb.ServerMetadataRequest, body)
        # No extension: what JSON needs one for, raw contents, is part of the protocol here.
        return pb.ServerMetadataResponse(name="mlflow-hotswap", version="0.1.0").SerializeToString()

    async def model_metadata(self, body: bytes) -> bytes:
        """Raises NothingServing, or UnknownModel for what is not the serving version."""
        request = messages.read(pb.ModelMetadataRequest, body)
        serving = self._reconciler.require_serving()
        version = serving.model_version
        messages.addressed(request.name, request.version).check(version)
        return pb.ModelMetadataResponse(
            name=version.name,
            versions=[version.version],
            platform=metadata.PLATFORM,
            inputs=[_described(each) for each in metadata.inputs(serving.signature)],
            outputs=[_described(each) for each in metadata.outputs(serving.signature)],
        ).SerializeToString()

    async def model_infer(self, body: bytes) -> bytes:
        """One row joins the tick's; more, or a large message, are read, run and written in a thread.

        Raises InvalidInference, UnknownModel, MalformedBody, NothingServing or Overloaded.
        """
        if len(body) <= LARGE:
            request = messages.read(pb.ModelInferRequest, body)
            asked = messages.inference(request)
            if asked.has_one_row:
                return messages.response(request, await self._batcher.ask_about(asked))
        return await self._batcher.compute(partial(_infer, body))


def _infer(body: bytes, servable: Servable, run: Run) -> bytes:
    request = messages.read(pb.ModelInferRequest, body)
    return messages.response(request, messages.inference(request).compute(servable, run))


def _described(tensor: metadata.TensorMetadata) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )
