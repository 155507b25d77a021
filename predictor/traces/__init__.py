"""Traces with OpenTelemetry. While they are off, spans do nothing."""
