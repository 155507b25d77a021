"""Transitions: who moved a version where, when and why, by the tags that our trainer writes.

MLflow keeps no such history. The trainer writes a tag for each transition, with the key
`hotswap.transition.20261123T120102123456Z` and the JSON `{"to": …, "when": …, "who": …}`, which may be in a signed
envelope. Only the trainer checks the signature; here a transition decides nothing.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from predictor.model_version import ModelUri

# The trainer writes the first; versions of older trainers have the second.
_TAG_PREFIXES = ("hotswap.transition.", "transition.")
_PRODUCTION = "Production"


class Transition(msgspec.Struct):
    """One move of a version. `pointer` is `stage`, or `@` and the alias; `checks` are the findings of the gates."""

    to: str
    when: datetime
    pointer: str = "stage"
    who: str = ""
    why: str = ""
    checks: list[str] = []


class _Statement(msgspec.Struct):
    predicate: Transition


class _Envelope(msgspec.Struct):
    payload: bytes  # msgspec reads it from Base64


def pointer_of(uri: ModelUri) -> str:
    """The pointer that decides, as transitions name it: what happened to a stage says nothing about an alias."""
    return f"@{uri.pointer}" if uri.kind == "alias" else "stage"


def last_transition(tags: Mapping[str, str], pointer: str) -> Transition | None:
    """The last transition of a version by this pointer; None if no tag is one."""
    found = [
        transition
        for key, value in tags.items()
        if key.startswith(_TAG_PREFIXES)
        and (transition := _read(value))
        and transition.pointer == pointer
    ]
    return max(found, key=lambda each: each.when, default=None)


def promoted_at(tags: Mapping[str, str], uri: ModelUri) -> float | None:
    """When the version was promoted, in seconds since the epoch; None if its tags do not say so.

    The last transition counts, if it was to Production.
    """
    last = last_transition(tags, pointer_of(uri))
    return last.when.timestamp() if last and last.to == _PRODUCTION else None


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
