"""Errors are on the span of the failed work; no span has values of a record."""

import json
from dataclasses import dataclass
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from predictor.errors import InvalidRecord, NothingServing
from predictor.inference.batcher import Batcher
from predictor.inference.compute import Computed
from predictor.model.builder import Builder
from predictor.model.loader import load
from predictor.protocols.predict.records import OneRecord, Records
from predictor.reconcile.reconciler import Reconciler
from predictor.traces.open_telemetry import OpenTelemetryTracer
from tests.predictor.graphs import classifier
from tests.predictor.parts import Counted, FakeSource, RecordedEvents, version, write_artifact

ONE, MANY = OneRecord(), Records()


@dataclass
class Traced:
    """A reconciler and a batcher with spans around them, over a fake source."""

    source: FakeSource
    reconciler: Reconciler
    batcher: Batcher
    tracer: OpenTelemetryTracer
    exporter: InMemorySpanExporter

    async def promote(self, number: int) -> None:
        self.source.says = version(number)
        await self.look()

    async def look(self) -> None:
        await self.reconciler.reconcile()
        await self.reconciler.settled()

    def spans(self, name: str) -> list:
        self.tracer.close()
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def traced(tmp_path) -> Traced:
    exporter = InMemorySpanExporter()
    tracer, source = OpenTelemetryTracer(exporter), FakeSource(tmp_path)
    traced_load = partial(load, during=tracer.span)
    builder = Builder(source.fetch, traced_load, 300, tracer=tracer)
    reconciler = Reconciler(source, builder, RecordedEvents(), tracer=tracer)
    batcher = Batcher(reconciler.require_serving, Counted(), tracer=tracer)
    return Traced(source, reconciler, batcher, tracer, exporter)


def failed(span: ReadableSpan) -> bool:
    return span.status.status_code is StatusCode.ERROR


async def test_a_registry_that_is_down_fails_the_reconcile(traced):
    """With the reason, as the log has it."""
    traced.source.down = True
    await traced.look()
    (span,) = traced.spans("reconcile")
    assert dict(span.attributes) == {"registry": "unreachable"}
    assert failed(span)
    assert "connection refused" in span.status.description


async def test_files_that_do_not_come_fail_the_fetch(traced):
    """Nothing is loaded or swapped."""
    traced.source.broken["1"] = "no such file"
    await traced.promote(1)
    (span,) = traced.spans("fetch")
    assert "no such file" in span.status.description
    assert span.attributes["error.type"] == "LoadError"
    assert traced.spans("load") == traced.spans("swap") == []


async def test_a_stage_that_fails_is_the_last_one(traced):
    """It and the load around it have the reason; there are no spans of later stages."""
    traced.source.files = lambda each: write_artifact(traced.source._folder, b"no graph")
    await traced.promote(1)
    (load,), (session,) = traced.spans("load"), traced.spans("session")
    assert session.parent.span_id == load.context.span_id
    assert failed(load)
    assert load.status.description == session.status.description
    assert traced.spans("signature") == []


async def test_a_prediction_that_cannot_be_made_fails_without_its_values(traced):
    """Nothing serving is an error of the service; a wrong record is not, and is not quoted."""
    with pytest.raises(NothingServing):
        await traced.batcher.infer(ONE, b'{"x0": 1}')
    traced.source.files = lambda each: write_artifact(traced.source._folder, classifier())
    await traced.promote(1)
    with pytest.raises(InvalidRecord):
        await traced.batcher.infer(ONE, b'{"x0": "marked-value"}')
    nothing, wrong = traced.spans("predict")
    assert failed(nothing)
    assert not failed(wrong)
    assert wrong.attributes["error.type"] == "InvalidRecord"
    assert "marked-value" not in wrong.to_json()
    assert wrong.events == ()


async def test_other_protocols_are_traced_too(traced):
    """A request and work in a thread each have a span with the model version."""
    traced.source.files = lambda each: write_artifact(traced.source._folder, classifier())
    await traced.promote(1)

    record = {f.name: f.blank for f in traced.reconciler.serving.signature.features}
    await traced.batcher.infer(MANY, json.dumps({"instances": [record]}).encode())
    work = Computed([None], [], [], None)
    await traced.batcher.compute(lambda servable, run: work, low_priority=True)
    for span in traced.spans("predict"):
        assert span.attributes["model_name"] == "m"
        assert span.attributes["model_version"] == "1"
