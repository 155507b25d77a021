"""Traces of a real predictor that follows a real MLflow, sent to a real collector, or to none."""

import signal
import sys

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from demo.processes import free_port
from tests.end_to_end.collector import collecting
from tests.end_to_end.parts import wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
MARKED = 17.912345678


@pytest.fixture(autouse=True)
def _with_the_extra(monkeypatch):
    """The predictor's own environment has no extras; this one has."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)


def test_a_promotion_and_a_prediction_are_traced(registry, serve):
    """Who asks which part took how long, and for whom, reads it off the spans; values are not among them."""
    version = registry.versions()["logistic_regression"]
    with collecting() as collector:
        service = serve(
            registry,
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=ward",
        )
        registry.stage(version, "Production")
        service.until_serving(version)
        record = service.example()
        first = next(iter(record))
        answered = service.http.post("/predict", json={**record, first: MARKED}, headers=HEADERS)
        assert answered.status_code == 200
        assert answered.headers["x-request-id"] == TRACE
        batch = {"instances": [record] * 3}
        assert service.http.post("/predict/batch", json=batch).status_code == 200
        odd = {**HEADERS, "tracestate": f"a value: {MARKED}"}  # which OpenTelemetry cannot read
        refused = service.http.post("/predict", json={**record, "odd": MARKED}, headers=odd)
        assert refused.status_code == 422
        service.child.process.send_signal(signal.SIGTERM)
        assert service.child.process.wait(30) == 0
    swap = collector.named("swap")[0]
    assert swap.attributes == {
        "model_name": registry.name, "model_version": version, "reason": "promoted",
    }  # fmt: skip
    (reconciled,) = [each for each in collector.named("reconcile") if each.id == swap.parent]
    assert reconciled.parent == ""
    assert reconciled.attributes["desired"] == version
    assert collector.below(reconciled) == ["fetch", "load", "swap"]
    (load,) = collector.named("load")
    assert collector.below(load) == ["examples", "session", "signature", "warm_up"]
    assert collector.named("fetch")[0].attributes["bytes"] > 1000
    one, refusal = (each for each in collector.named("predict") if each.trace == TRACE)
    assert one.parent == refusal.parent == PARENT
    assert one.kind == Sent.SPAN_KIND_SERVER
    assert one.attributes == {"model_name": registry.name, "model_version": version, "rows": 1}
    assert refusal.attributes == {"error.type": "InvalidRecord"}
    assert not refusal.failed, "a client's fault is none of the service's"
    (three,) = [each for each in collector.named("predict") if each.trace != TRACE]
    assert (three.parent, three.attributes["rows"]) == ("", 3)
    who = one.resource
    assert who["service.name"] == "mlflow-hotswap"
    assert who["deployment.environment.name"] == "ward"
    assert who["service.instance.id"]
    assert not [body for body in collector.bodies if str(MARKED).encode() in body]
    assert str(MARKED) not in service.child.log.read_text()
    (swapped,) = [line for line in service.log_lines() if line["event"] == "swapped"]
    assert swapped["trace_id"] == swap.trace


@pytest.mark.whole
def test_a_collector_that_is_down_hurts_nobody(registry, serve):
    """Answers come, the process ends, and one line says that spans are lost, until they are not."""
    version, port = registry.versions()["logistic_regression"], free_port()
    registry.stage(version, "Production")
    service = serve(
        registry,
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_BSP_SCHEDULE_DELAY="50",
    )
    service.until_serving(version)
    record = service.example()

    def until_told(*told: str) -> None:
        def heard() -> list[str]:
            events = [line["event"] for line in service.log_lines()]
            return [event for event in events if event.startswith("traces_")]

        wait_until(lambda: heard() == list(told), f"the log has told {told}, and nothing else")

    until_told("traces_not_sent")
    assert service.predict(record)["model_version"] == version
    with collecting(port):
        until_told("traces_not_sent", "traces_sent")
    until_told("traces_not_sent", "traces_sent", "traces_not_sent")
    service.child.process.send_signal(signal.SIGTERM)
    assert service.child.process.wait(30) == 0
