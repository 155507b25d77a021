"""The tracer that sends spans with OpenTelemetry. It is only imported if traces are on.

OpenTelemetry's own variables set the address, the sampling and the service's name:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. By default every span is
sent to http://localhost:4318 as OTLP over HTTP, for the service `mlflow-hotswap`.
"""

import logging
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Attributes, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

from predictor.errors import LoadError, RegistryError, RequestError, SettingsError
from predictor.log_events import TRACES_NOT_SENT, TRACES_SENT
from predictor.model_version import ModelVersion
from predictor.traces.tracer import Headers, Span, Tracer

_FLUSH_SECONDS = 1.0  # at the end, for unsent spans; the process is ended after two
_HEADERS = {b"traceparent", b"tracestate"}


class _Span(Span):
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: str | int | None) -> None:
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(name, value)

    def set_version(self, version: ModelVersion) -> None:
        self.set(model_name=version.name, model_version=version.version)

    def fail(self, reason: str) -> None:
        self._span.set_status(trace.Status(trace.StatusCode.ERROR, reason or None))

    def end(self, result: object) -> None:
        if isinstance(result, Exception):
            self.record(result)
        self._span.end()

    def record(self, error: Exception) -> None:
        """Set the type of an exception; its message only if that cannot quote a record."""
        self.set(**{"error.type": type(error).__name__})
        if not isinstance(error, RequestError):  # a mistake of the client
            self.fail(str(error) if isinstance(error, LoadError | RegistryError) else "")


class OpenTelemetryTracer(Tracer):
    """Sends spans in its own thread; drops spans that cannot be sent."""

    on = True

    def __init__(self, exporter: SpanExporter) -> None:
        """Raises SettingsError for a wrong variable of OpenTelemetry."""
        # Its warning about an invalid tracestate would quote the client.
        logging.getLogger("opentelemetry.trace.span").setLevel(logging.CRITICAL)
        try:
            # No shutdown at exit: it would wait for a collector that is down.
            self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        except ValueError as error:
            # The message may quote the value, which may be a secret.
            raise SettingsError(f"a variable OTEL_… is wrong ({type(error).__name__})") from None
        self._tracer = self._provider.get_tracer("mlflow-hotswap")

    @classmethod
    def to(cls, exporter: str) -> "OpenTelemetryTracer":
        """A tracer that sends to `otlp`, or to `console` (standard output). Raises SettingsError."""
        if exporter == "console":
            return cls(ConsoleSpanExporter())
        # It logs every failed attempt; `_LoggingExporter` logs the first one.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        try:
            return cls(_LoggingExporter(OTLPSpanExporter()))
        except ValueError as error:
            raise SettingsError(
                f"a variable OTEL_EXPORTER_OTLP_… is wrong ({type(error).__name__})"
            ) from None

    @contextmanager
    def span(self, name: str, *, server: bool = False) -> Iterator[Span]:
        """As Tracer.span. Log lines within it have the trace's id."""
        kind = trace.SpanKind.SERVER if server else trace.SpanKind.INTERNAL
        with (
            self._tracer.start_as_current_span(
                name, kind=kind, record_exception=False, set_status_on_exception=False
            ) as started,
            bound_contextvars(**_log_fields(started)),
        ):
            span = _Span(started)
            try:
                yield span
            except Exception as error:
                span.record(error)
                raise

    def start_request(self, headers: Headers | None) -> Span | None:
        """As Tracer.start_request."""
        parent = None if headers is None else _parent(headers)
        span = self._tracer.start_span("predict", parent, trace.SpanKind.SERVER)
        return _Span(span) if span.is_recording() else None

    @contextmanager
    def below(self, headers: Headers) -> Iterator[None]:
        """As Tracer.below."""
        token = context.attach(_parent(headers))
        try:
            yield
        finally:
            context.detach(token)

    def wrap(self, app: Any) -> Any:
        """As Tracer.wrap."""

        async def below_parent(scope: Any, receive: Any, send: Any) -> None:
            with self.below(scope["headers"]) if scope["type"] == "http" else nullcontext():
                await app(scope, receive, send)

        return below_parent

    def close(self) -> None:
        """Send the remaining spans. Wait at most a second, because the collector may be down."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_SECONDS)


class _LoggingExporter(SpanExporter):
    """Logs the first failure to send spans, and the first success after it."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._sent = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans. They are lost if that fails."""
        result = self._exporter.export(spans)
        sent = result is SpanExportResult.SUCCESS
        if sent != self._sent:
            self._sent = sent
            if sent:
                TRACES_SENT.log()
            else:
                TRACES_NOT_SENT.log(next="spans are dropped until the collector answers")
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send waiting spans."""
        return self._exporter.force_flush(timeout_millis)


def _parent(headers: Headers) -> context.Context:
    """The context of the span that the header fields name; an empty one if they name none."""
    carrier = {k.decode(): v.decode("latin-1") for k, v in headers if k in _HEADERS}
    return TraceContextTextMapPropagator().extract(carrier) if carrier else context.Context()


def _log_fields(span: trace.Span) -> dict[str, str]:
    """The log fields of a span; none if OTEL_SDK_DISABLED is set."""
    known = span.get_span_context()
    return {"trace_id": trace.format_trace_id(known.trace_id)} if known.is_valid else {}


def _resource() -> Resource:
    """The resource of the spans: this process, or the values of OpenTelemetry's variables."""
    ours: Attributes = {
        "service.name": "mlflow-hotswap",
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
    }
    return Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
