"""Traces by OpenTelemetry: spans around the service's parts, and nothing at all while they are off."""
