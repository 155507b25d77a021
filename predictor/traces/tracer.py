"""Tracer: makes spans around work. This one does nothing; `open_telemetry.py` has the one that sends spans."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from predictor.model_version import ModelVersion

Headers = Sequence[tuple[bytes, bytes]]


class Span:
    """A piece of work in a trace. No attribute may contain the value of a feature."""

    def set(self, **attributes: str | int | None) -> None:
        """Set attributes. None is ignored."""

    def set_version(self, version: ModelVersion) -> None:
        """Set the name and number of a model version."""

    def fail(self, reason: str) -> None:
        """Mark the work as failed."""

    def end(self, result: object) -> None:
        """End a span of `start_request`; an exception as the result is its error."""


_NOTHING = nullcontext(Span())


class Tracer:
    """The tracer while traces are off: its spans do nothing."""

    on = False

    def start_request(self, headers: Headers | None) -> Span | None:
        """Start the span of a request for predictions; None if it is not sampled.

        It is below the span of the header field `traceparent`, or if `headers` is None, below the enclosing span.
        """
        del headers
        return None

    def span(self, name: str, *, server: bool = False) -> AbstractContextManager[Span]:
        """A span for a `with` block, below the enclosing span. `server` marks a client's request."""
        del name, server
        return _NOTHING

    def below(self, headers: Headers) -> AbstractContextManager[object]:
        """Within the `with` block, spans are below the span of the header field `traceparent`."""
        del headers
        return _NOTHING

    def wrap(self, app: Any) -> Any:
        """An ASGI application that handles each request within `below`."""
        return app

    def close(self) -> None:
        """Send the remaining spans. Call it once, after the last response."""


TRACES_OFF = Tracer()


def tracer_for(exporter: str) -> Tracer:
    """The tracer that sends to `otlp` or `console`, or to `none`. Raises SettingsError."""
    if exporter == "none":
        return TRACES_OFF
    from predictor.traces.open_telemetry import OpenTelemetryTracer

    return OpenTelemetryTracer.to(exporter)
