"""Transitions: who moved a version where, when and why, by the tags that our trainer writes.

MLflow keeps no such history. The trainer writes a tag for each transition, with the key
`hotswap.transition.20261123T120102123456Z` and the JSON `{"to": …, "when": …, "who": …}`, which may be in a signed
envelope. Only the trainer checks the signature; here a transition decides nothing.

A version can be moved without the trainer, too. MLflow keeps the time of a version's last change of stage or
description; the tag `hotswap.stage_changed` has that of the trainer's transition, so a later one is noticed. For an
alias, MLflow keeps no time.
"""

from datetime import UTC, datetime

import msgspec

from predictor.model_version import ModelUri, ModelVersion

# The trainer writes the first; versions of older trainers have the second.
_TAG_PREFIXES = ("hotswap.transition.", "transition.")
_STAGE_CHANGED = "hotswap.stage_changed"
_TAG_TIME = "%Y%m%dT%H%M%S%fZ"
_PRODUCTION = "Production"


class Transition(msgspec.Struct):
    """One move of a version. `pointer` is `stage`, or `@` and the alias; `checks` are the findings of the gates.

    `version` is its number; older trainers wrote none.
    """

    to: str
    when: datetime
    pointer: str = "stage"
    who: str = ""
    why: str = ""
    checks: list[str] = []
    version: str = ""


class _Statement(msgspec.Struct):
    predicate: Transition


class _Envelope(msgspec.Struct):
    payload: bytes  # msgspec reads it from Base64


def pointer_of(uri: ModelUri) -> str:
    """The pointer that decides, as transitions name it: what happened to a stage says nothing about an alias."""
    return f"@{uri.pointer}" if uri.kind == "alias" else "stage"


def last_transition(version: ModelVersion, pointer: str) -> Transition | None:
    """The trainer's last transition of a version by this pointer; None if no tag is one.

    MLflow copies a version with its tags: those of the original do not count.
    """
    found = [
        transition
        for key, value in version.tags.items()
        if key.startswith(_TAG_PREFIXES)
        and (transition := _read(value))
        and transition.pointer == pointer
        and transition.version in ("", version.version)
    ]
    return max(found, key=lambda each: each.when, default=None)


def is_changed_since(version: ModelVersion, last: Transition) -> bool:
    """Whether MLflow changed the version's stage or description after its last transition; for an alias, never."""
    mark = f"{last.when.astimezone(UTC):{_TAG_TIME}} {version.updated_ms}"
    return last.pointer == "stage" and version.tags.get(_STAGE_CHANGED) != mark


def promoted_at(version: ModelVersion, uri: ModelUri) -> float | None:
    """When the trainer promoted the version, in seconds since the epoch; None if that is not its last move.

    An alias may have been moved since: nothing in MLflow says so.
    """
    last = last_transition(version, pointer_of(uri))
    if last is None or last.to != _PRODUCTION or is_changed_since(version, last):
        return None
    return last.when.timestamp()


def _read(value: str) -> Transition | None:
    try:
        if '"payload"' in value:
            payload = msgspec.json.decode(value, type=_Envelope).payload
            transition = msgspec.json.decode(payload, type=_Statement).predicate
        else:
            transition = msgspec.json.decode(value, type=Transition)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None  # any client can set a tag of this name
    if transition.when.tzinfo is None:
        transition.when = transition.when.replace(tzinfo=UTC)
    return transition
