"""gRPC: calls and streams of one record, beside empty methods on the same library."""

import asyncio
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import quantiles

import grpc
import uvloop
from google.protobuf.message import DecodeError

from benchmarks import process
from benchmarks.context import BenchContext
from benchmarks.core_wait import CoreWait
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import Rounds, interleaved
from benchmarks.parts.protocols import check_row
from benchmarks.parts.traces import full_predictor
from benchmarks.registry import publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject
from demo.processes import free_port, spawn
from predictor.protocols.open_inference.grpc import open_inference_pb2 as pb
from stress.truth import Truth, WrongAnswerError

EMPTY_CALL, EMPTY_STREAM = "empty method", "empty method, stream"
CALL, STREAM = "ModelInfer", "ModelStreamInfer"
UNDER_WAY = 16  # requests, over one connection

_MAX_SECONDS = 600  # of a sample
_SERVICE = "/inference.GRPCInferenceService/"


@dataclass(frozen=True)
class Grpc:
    """Rounds by method, with 16 requests under way."""

    rounds: Rounds


@dataclass(frozen=True, kw_only=True)
class Method(Subject):
    """A gRPC method; `path` is its path. A client in this process, on wrk's core, sends the requests."""

    port: int

    @property
    def streamed(self) -> bool:
        """Whether one call carries all requests."""
        return self.name in {STREAM, EMPTY_STREAM}

    def verify(self) -> None:
        """Send one request. Raises BenchError without a response, or for a wrong one."""
        uvloop.run(_load(self, 1, 0))

    def _sample(self, connections: int, seconds: int) -> Sample:
        self.verify()
        pid = self.child.process.pid
        core_wait, before = CoreWait(pid), process.cpu_nanoseconds(pid)
        began = time.perf_counter()
        latencies = uvloop.run(_load(self, connections, seconds))
        passed = time.perf_counter() - began
        spent = process.cpu_nanoseconds(pid) - before
        cuts = quantiles(latencies, n=100)
        return Sample(
            connections=connections,
            requests=len(latencies),
            requests_per_second=len(latencies) / passed,
            p50_us=cuts[49] * 1e6,
            p99_us=cuts[98] * 1e6,
            cpu_us=spent / 1000 / len(latencies),
            waited=round(core_wait.share(), 3),
        )


def run(context: BenchContext) -> Grpc:
    """Measure the logistic regression."""
    context.print_step("gRPC")
    published = publish(context.mlflow_url, context.folder, "grpc", [diagnosis(LOGISTIC)])
    body = context.folder / "grpc-message"
    body.write_bytes(_request(published.truth))
    with context.scope() as scope:
        port = free_port()
        env = {"PREDICTOR_GRPC_PORT": str(port)}
        predictor = full_predictor(scope, published, "gRPC", env).child
        check, check_streamed = (partial(_check, published.truth, each) for each in (False, True))
        subjects = (
            *_empty_methods(scope, body),
            Method(CALL, predictor, body, check, _SERVICE + CALL, port=port),
            Method(STREAM, predictor, body, check_streamed, _SERVICE + STREAM, port=port),
        )
        by_name = {subject.name: subject for subject in subjects}
        return Grpc(interleaved(context.plan, by_name, [UNDER_WAY])[UNDER_WAY])


def _empty_methods(context: BenchContext, body: Path) -> tuple[Method, Method]:
    """Start the server of empty methods. It has no HTTP: the first call waits for it."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.references.empty_grpc", str(port)]
    with context.cores.pin_children_to_server():
        child = spawn(command, f"http://127.0.0.1:{port}", context.folder / "empty_grpc.log", {})
    context.stack.callback(child.stop)
    return (
        Method(EMPTY_CALL, child, body, _check_empty, "/empty/call", port=port),
        Method(EMPTY_STREAM, child, body, _check_empty, "/empty/stream", port=port),
    )


def _request(truth: Truth) -> bytes:
    """The first record, as bytes of a tensor."""
    values = [*truth.records[0].values()]
    request = pb.ModelInferRequest(model_name=truth.model_name, id="1")
    request.inputs.add(name="features", datatype="FP32", shape=[1, len(values)])
    request.raw_input_contents.append(struct.pack(f"<{len(values)}f", *values))
    return request.SerializeToString()


def _check(truth: Truth, streamed: bool, body: bytes) -> None:
    """Check a response. Raises WrongAnswerError."""
    if streamed:
        message = pb.ModelStreamInferResponse.FromString(body)
        error, response = message.error_message, message.infer_response
    else:
        error, response = "", pb.ModelInferResponse.FromString(body)
    if error or response.id != "1":
        raise WrongAnswerError(f"{error or response.id}, expected a response with the id 1")
    label, probabilities = response.raw_output_contents
    scores = struct.unpack(f"<{len(probabilities) // 4}f", probabilities)
    check_row(truth, response.model_version, label[4:].decode(), scores)


def _check_empty(body: bytes) -> None:
    """Check a response of an empty method. Raises WrongAnswerError."""
    if body:
        raise WrongAnswerError(f"expected nothing, got {body[:100]!r}")


async def _load(method: Method, under_way: int, seconds: float) -> list[float]:
    """Send requests, so many at a time; the seconds of each. Raises BenchError for a wrong response."""
    latencies: list[float] = []
    address = f"127.0.0.1:{method.port}"
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(_MAX_SECONDS):
        await channel.channel_ready()
        flows = _Flow(method, channel, latencies, time.perf_counter() + seconds)
        try:
            if method.streamed:
                await flows.stream(under_way)
            else:
                await asyncio.gather(*(flows.calls() for _ in range(under_way)))
        except grpc.aio.AioRpcError as error:
            raise BenchError(f"{method.name} failed: {error.details()}") from error
    return latencies


class _Flow:
    """Requests without a pause, until a time; at least one."""

    def __init__(
        self, method: Method, channel: grpc.aio.Channel, latencies: list[float], until: float
    ) -> None:
        self._method = method
        self._channel = channel
        self._latencies = latencies
        self._until = until
        self._body = method.body.read_bytes()
        self._right: bytes | None = None  # a response that was checked: equal ones are right

    async def calls(self) -> None:
        call = self._channel.unary_unary(self._method.path)
        goes_on = True
        while goes_on:
            began = time.perf_counter()
            goes_on = self._received(await call(self._body), began)

    async def stream(self, under_way: int) -> None:
        stream = self._channel.stream_stream(self._method.path)()
        began: deque[float] = deque()
        goes_on = True
        while goes_on or began:
            while goes_on and len(began) < under_way:
                began.append(time.perf_counter())
                await stream.write(self._body)
            goes_on = self._received(await stream.read(), began.popleft()) and goes_on
        await stream.done_writing()

    def _received(self, response: bytes, began: float) -> bool:
        """Check a response and keep its latency; whether there is time for another."""
        if response != self._right:
            self._check(response)
        now = time.perf_counter()
        self._latencies.append(now - began)
        return now < self._until

    def _check(self, response: bytes) -> None:
        try:
            self._method.check(response)
        except (WrongAnswerError, DecodeError, TypeError, ValueError) as error:
            raise BenchError(f"{self._method.name} answers wrong: {error}") from error
        self._right = response
