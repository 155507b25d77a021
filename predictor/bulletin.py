"""Bulletin: one thing that happened, as a client of `/events` is told of it: a name and a payload.

The names are those of the log; `docs/events.md` has them all. None holds anything of a request.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from predictor import events
from predictor.model_version import ModelVersion

_LONGEST_REASON = 2000  # characters; a journal of such is kept in memory


@dataclass(frozen=True)
class Bulletin:
    """`payload` is JSON's: texts, numbers, null, and versions as `GET /model` shows them."""

    name: str
    payload: Mapping[str, Any]

    @classmethod
    def of(cls, event: events.Event) -> "Bulletin | None":
        """What is told of an event; None where the registry said what it had said before.

        Keys are nothing that a version's readers have to know of.
        """
        found = _told(event)
        return cls(found[0], {**found[1], "at": iso(time.time())}) if found else None


def _told(event: events.Event) -> tuple[str, dict[str, Any]] | None:
    if isinstance(event, events.KeysRead | events.KeysNotRead):
        return None
    if isinstance(event, events.RegistryAnswered | events.RegistryFailed):
        return _of_registry(event)
    if isinstance(event, events.CacheFailed):
        return "cache_not_written", {"reason": _short(event.reason), **_serving(event.serving)}
    if isinstance(event, events.InferenceTimedOut):
        return "inference_timed_out", {"version": identity(event.version), "times": event.times}
    if isinstance(event, events.Swapped):
        return _of_swap(event)
    return _of_load(event)


def _of_registry(
    event: events.RegistryAnswered | events.RegistryFailed,
) -> tuple[str, dict[str, Any]] | None:
    if isinstance(event, events.RegistryFailed):
        told = {"reason": _short(event.reason), **_serving(event.serving)}
        return (f"registry_{event.outcome}", told) if event.first else None
    if not event.changed:
        return None
    if event.aspired is None:
        return "registry_names_none", {"reason": _short(event.absence)}
    return "registry_answered", {"aspired": identity(event.aspired)}


def _of_load(
    event: events.LoadStarted | events.LoadFailed | events.LoadSuperseded,
) -> tuple[str, dict[str, Any]]:
    told: dict[str, Any] = {"version": identity(event.version)}
    match event:
        case events.LoadStarted():
            return "load_started", told
        case events.LoadSuperseded():
            return "load_superseded", told
        case events.LoadFailed(_, stage, reason, attempts, retry_seconds, serving):
            told |= {"stage": stage, "reason": _short(reason), "attempts": attempts}
            return "load_failed", {**told, "retry_seconds": retry_seconds, **_serving(serving)}


def _of_swap(event: events.Swapped) -> tuple[str, dict[str, Any]]:
    previous = {"previous": identity(event.previous) if event.previous else None}
    if event.serving is None:
        return "stopped_serving", {**previous, "reason": event.reason}
    serving = {**identity(event.serving), "digest": f"sha256:{event.digest}"}
    seconds = round(event.load_seconds, 4)
    return "swapped", {
        "serving": serving, **previous, "reason": event.reason, "load_seconds": seconds,
    }  # fmt: skip


def _serving(version: ModelVersion | None) -> dict[str, Any]:
    return {"serving": identity(version) if version else None}


def _short(reason: str) -> str:
    return reason[:_LONGEST_REASON]


def identity(version: ModelVersion) -> dict[str, str]:
    """A version as `GET /model` and `GET /events` name it."""
    return {"model_name": version.name, "model_version": version.version, "run_id": version.run_id}


def iso(seconds: float) -> str:
    """A moment, in seconds since the epoch, in UTC with milliseconds (ISO 8601)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
