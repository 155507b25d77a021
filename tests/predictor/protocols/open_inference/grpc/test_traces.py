"""A call's `traceparent` is the parent of what is done for it."""

import struct

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from predictor.inference.batcher import Batcher
from predictor.traces.open_telemetry import OpenTelemetryTracer
from tests.predictor.graphs import OURS
from tests.predictor.live import Live
from tests.predictor.protocols.open_inference.grpc.parts import (
    Client,
    ClientStream,
    grpc_server,
    infer,
)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_prediction_is_below_the_span_that_asked(tmp_path, streamed):
    """And names the version that computed it."""
    exporter = InMemorySpanExporter()
    tracer, live = OpenTelemetryTracer(exporter), Live(tmp_path)
    await live.serve(1, OURS)
    batcher = Batcher(live.reconciler.require_serving, live.metrics, tracer=tracer)
    server = grpc_server(live.service, below=tracer.below, batcher=batcher)
    asked = infer(struct.pack("<2f", 1.0, 0.0))
    trace = [("traceparent", f"00-{TRACE}-{PARENT}-01")]
    async with server, Client(server.port) as client:
        if streamed:
            stream = ClientStream(client, trace)
            await stream.ask(asked)
            await stream.call.done_writing()
            answer = await stream.end()
        else:
            answer = await client.ask(asked, trace)
    assert answer.metadata["x-request-id"] == TRACE
    tracer._provider.force_flush()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.attributes["model_version"]) == ("predict", "1")
    assert f"{span.parent.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == PARENT
