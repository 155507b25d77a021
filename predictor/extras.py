"""Packages that serving does without, until a setting asks for what they do."""

import os
from importlib.util import find_spec

from predictor.errors import SettingsError
from predictor.settings import Settings

_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"


def check_traces(settings: Settings) -> None:
    """Raise SettingsError where traces are asked for that cannot be sent."""
    exporter = settings.traces_exporter
    if exporter == "none":
        return
    # Of opentelemetry itself, other packages install the part that only names things.
    for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        if not _installed(name):
            raise SettingsError(
                f"OTEL_TRACES_EXPORTER is {exporter}, and {name} is not installed; "
                "requirements/traces.txt has it"
            )
    for variable in _PROTOCOLS:
        if exporter == "otlp" and os.environ.get(variable, _SPOKEN) not in {_SPOKEN, ""}:
            raise SettingsError(f"{variable}: only {_SPOKEN} is spoken here")


def check_grpc(settings: Settings) -> None:
    """Raise SettingsError where gRPC is asked for that cannot be spoken."""
    if settings.grpc_port is not None and not _installed("grpc"):
        raise SettingsError(
            f"PREDICTOR_GRPC_PORT is {settings.grpc_port}, and grpcio is not installed; "
            "requirements/grpc.txt has it"
        )


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False
