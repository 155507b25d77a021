"""A service that answers gRPC on a port, and a client of it in the same event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from predictor.protocols.open_inference.grpc.server import GrpcServer
from predictor.service import Service
from tests.predictor.graphs import OURS
from tests.predictor.live import Live

SERVICE = "/inference.GRPCInferenceService/"
SECONDS = 20  # so wide that only a hang reaches it
Metadata = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What a call came to: a message, or none and a status, and the metadata that came last."""

    code: grpc.StatusCode
    detail: str
    metadata: dict[str, Any]
    message: Any = None


class Client:
    """Calls the service, over one connection of its own."""

    def __init__(
        self,
        port: int,
        credentials: grpc.ChannelCredentials | None = None,
        host: str = "127.0.0.1",
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        alone = [("grpc.use_local_subchannel_pool", 1), *options]
        address = f"{host}:{port}"
        self.channel = (
            grpc.aio.secure_channel(address, credentials, alone)
            if credentials
            else grpc.aio.insecure_channel(address, alone)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def send(self, method: str, body: bytes, metadata: Metadata = (), **how: Any) -> Answer:
        """One call with these bytes as its message."""
        call = self.channel.unary_unary(SERVICE + method)(
            body, metadata=metadata, **{"timeout": SECONDS, **how}
        )
        try:
            answered = await call
        except grpc.aio.AioRpcError as error:
            return Answer(error.code(), error.details(), dict(error.trailing_metadata()))
        trailing = dict(await call.trailing_metadata())
        return Answer(grpc.StatusCode.OK, "", trailing, answered)

    async def ask(self, message: Message, metadata: Metadata = ()) -> Answer:
        """One call of the method that this message is for, and what it answers."""
        method = type(message).__name__.removesuffix("Request")
        answer = await self.send(method, message.SerializeToString(), metadata)
        if answer.message is None:
            return answer
        said = getattr(pb, f"{method}Response").FromString(answer.message)
        return Answer(answer.code, answer.detail, answer.metadata, said)


class ClientStream:
    """One call of `ModelStreamInfer`."""

    def __init__(self, client: Client, metadata: Metadata = ()) -> None:
        begin = client.channel.stream_stream(SERVICE + "ModelStreamInfer")
        self.call = begin(metadata=metadata, timeout=10 * SECONDS)

    async def send(self, *messages: pb.ModelInferRequest | bytes) -> None:
        """Send these requests; bytes as they are."""
        for each in messages:
            await self.call.write(each if isinstance(each, bytes) else each.SerializeToString())

    async def receive(self) -> pb.ModelStreamInferResponse:
        """The next response. Raises AioRpcError for an error of the call, EOFError at its end."""
        async with asyncio.timeout(SECONDS):
            message = await self.call.read()
        if message is grpc.aio.EOF:
            raise EOFError
        return pb.ModelStreamInferResponse.FromString(message)

    async def ask(
        self, *messages: pb.ModelInferRequest | bytes
    ) -> list[pb.ModelStreamInferResponse]:
        """Send these requests, then receive as many responses."""
        await self.send(*messages)
        return [await self.receive() for _ in messages]

    async def end(self) -> Answer:
        """Wait for the end of the call."""
        async with asyncio.timeout(SECONDS):
            code, detail = await self.call.code(), await self.call.details()
            return Answer(code, detail, dict(await self.call.trailing_metadata()))


@dataclass
class Called:
    """A service, a client of it, and the port between them."""

    live: Live
    client: Client
    port: int
    server: GrpcServer


@contextlib.asynccontextmanager
async def called(
    folder: Path, graph: bytes | None = OURS, **settings: Any
) -> AsyncIterator[Called]:
    """A service that serves version 1 with this graph, or none; on a port that the system picks."""
    live = Live(folder, **settings)
    if graph is not None:
        await live.serve(1, graph)
    async with grpc_server(live.service) as server, Client(server.port) as client:
        yield Called(live, client, server.port, server)


def grpc_server(service: Service, **replaced: Any) -> GrpcServer:
    """The server of these parts, except for the replaced ones."""
    parts = {
        name: getattr(service, name) for name in ("batcher", "reconciler", "access", "metrics")
    }
    return GrpcServer(service.settings, **{**parts, "below": service.tracer.below, **replaced})


def infer(
    data: Any = (1.0, 0.0),
    *,
    name: str = "X",
    datatype: str = "FP32",
    shape: Sequence[int] = (1, 2),
    **request: Any,
) -> pb.ModelInferRequest:
    """A request with one input: raw for bytes, else in the field that FP32 has."""
    made = pb.ModelInferRequest(**{"model_name": "m", **request})
    tensor = made.inputs.add(name=name, datatype=datatype, shape=shape)
    if isinstance(data, bytes):
        made.raw_input_contents.append(data)
    else:
        tensor.contents.fp32_contents.extend(data)
    return made
