"""Tracer: begins spans where work begins. This one does nothing; `open_telemetry.py` has the one that sends."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from predictor.model_version import ModelVersion

Headers = Sequence[tuple[bytes, bytes]]


class Span:
    """One piece of work. No attribute may hold the value of a feature."""

    records = False
    """Whether the attributes are kept."""

    def set(self, **attributes: str | int | None) -> None:
        """Set attributes; None is left out."""

    def set_version(self, version: ModelVersion) -> None:
        """Set the name and number of a model version."""

    def set_response(self, body: bytes) -> None:
        """Set the model version and the number of rows that the body of a prediction names."""

    def fail(self, reason: str) -> None:
        """Mark the work as failed."""


_NOTHING = nullcontext(Span())


class Tracer:
    """Makes spans. Each method does nothing here: this is the tracer while traces are off."""

    def span(self, name: str, *, server: bool = False) -> AbstractContextManager[Span]:
        """A span around a `with` block, below the span around it; `server` for a request of a client."""
        del name, server
        return _NOTHING

    def below(self, headers: Headers) -> AbstractContextManager[object]:
        """Within the `with` block, spans are below the span that the header field `traceparent` names."""
        del headers
        return _NOTHING

    def wrap(self, app: Any) -> Any:
        """An ASGI application that handles each request within `below`."""
        return app

    def close(self) -> None:
        """Send what is left. Call it once, after the last response."""


TRACES_OFF = Tracer()


def tracer_for(exporter: str) -> Tracer:
    """The tracer that sends to `otlp` or `console`, or to `none`. Raises SettingsError."""
    if exporter == "none":
        return TRACES_OFF
    from predictor.traces.open_telemetry import OpenTelemetryTracer

    return OpenTelemetryTracer.to(exporter)
