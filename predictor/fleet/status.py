"""ReplicaStatus: what one process serves, what it should serve, and what prevents it."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from predictor import __version__
from predictor.events import Event, LoadFailed, RegistryAnswered, RegistryFailed, Swapped
from predictor.model_version import ModelUri, ModelVersion

_MAX_FAULT_LENGTH = 500


@dataclass
class ReplicaStatus:
    """The status of one process, kept up to date by events. `replica` is its name in the fleet."""

    replica: str
    model_uri: str
    serves: str | None = None
    desired: str | None = None
    registry_fault: str | None = None
    load_fault: str | None = None
    answered_at: str | None = None

    def observe(self, event: Event) -> bool:
        """Take over an event; return whether something changed that others should hear of at once."""
        before = self._news()
        match event:
            case RegistryAnswered(aspired, changed):
                self.desired, self.registry_fault = _number(aspired), None
                self.answered_at = _now()
                if changed:
                    self.load_fault = None
            case RegistryFailed(reason=reason):
                self.registry_fault = reason
            case LoadFailed(version, stage, reason):
                self.load_fault = f"version {version.version}, {stage}: {reason}"
            case Swapped(serving=serving):
                self.serves, self.load_fault = _number(serving), None
        return self._news() != before

    def encode(self) -> bytes:
        """The status as JSON, with the present time."""
        fault = self.registry_fault or self.load_fault
        return msgspec.json.encode(
            {
                "replica": self.replica,
                "model_uri": self.model_uri,
                "serves": self.serves,
                "desired": self.desired,
                "fault": fault[:_MAX_FAULT_LENGTH] if fault else None,
                "registry_answered_at": self.answered_at,
                "written_at": _now(),
                "service": __version__,
            }
        )

    def _news(self) -> tuple[str | None, ...]:
        return self.serves, self.desired, self.registry_fault, self.load_fault


class _Status(msgspec.Struct):
    replica: str
    serves: str | None
    desired: str | None
    fault: str | None
    written_at: str


def read_status(content: bytes) -> Mapping[str, str | None] | None:
    """The status that a replica wrote, shortened; None for anything else. Anybody who may write can write any bytes."""
    try:
        status = msgspec.json.decode(content, type=_Status)
    except msgspec.DecodeError:
        return None
    found: dict[str, str | None] = msgspec.to_builtins(status)
    return {name: text and text[:_MAX_FAULT_LENGTH] for name, text in found.items()}


def replica_name(port: int, worker: int | None) -> str:
    """The name of this process: the machine's (in Kubernetes the pod's), the port, and its number among workers."""
    name = f"{socket.gethostname()}:{port}"
    return name if worker is None else f"{name}/{worker}"


def subject_of(model_uri: str) -> str:
    """The subject of the messages that make replicas of a model poll: `hotswap.look.NAME`."""
    return f"hotswap.look.{token(ModelUri.parse(model_uri).name)}"


def token(text: str) -> str:
    """A text as one token of a NATS subject or key: each byte that is not a letter, digit, `_` or `-` as `=XX`."""
    return re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"=%02X" % found[0][0], text.encode()).decode()


def _number(version: ModelVersion | None) -> str | None:
    return version.version if version else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
