"""The history of transitions, stored in version tags, because MLflow does not record it.

One tag for each transition, `transition.20261123T120102123456Z`, with a JSON value.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from trainer.errors import TransitionError

TAG_PREFIX = "transition."
# MLflow takes 100,000 characters for the value of a tag, MySQL 65,535 bytes: far more than a reason.
REASON_LIMIT = 1000
_TAG_TIME = "%Y%m%dT%H%M%S%fZ"


class Place(StrEnum):
    """The place of a version, named like MLflow's stages."""

    PRODUCTION = "Production"
    STAGING = "Staging"
    ARCHIVED = "Archived"
    NONE = "None"


@dataclass(frozen=True)
class Transition:
    """One version that went from one place to another.

    `pointer` says what had the last word then: `stage`, or `@` and the alias. `replaced` is the
    champion just before a promotion to Production.
    """

    version: str
    origin: Place
    target: Place
    when: datetime
    who: str
    why: str
    pointer: str
    replaced: str | None = None

    @property
    def summary(self) -> str:
        """The transition as a phrase."""
        return f"move version {self.version} from {self.origin} to {self.target}"

    @property
    def tag_key(self) -> str:
        """The tag's key."""
        return TAG_PREFIX + self.when.astimezone(UTC).strftime(_TAG_TIME)

    @property
    def tag_value(self) -> str:
        """The tag's value: JSON."""
        record = {
            "from": self.origin,
            "to": self.target,
            "when": self.when.astimezone(UTC).isoformat(timespec="microseconds"),
            "who": self.who,
            "why": self.why,
            "pointer": self.pointer,
        }
        return json.dumps(record | ({"replaced": self.replaced} if self.replaced else {}))


def one_line(reason: str | None) -> str:
    """The reason on one line; raises TransitionError if it is too long to keep."""
    text = " ".join((reason or "").split())
    if len(text) > REASON_LIMIT:
        raise TransitionError(
            f"the reason has {len(text)} characters, more than the limit of {REASON_LIMIT}; "
            "shorten it"
        )
    return text


def recorded(version: str, tags: Mapping[str, str]) -> list[Transition]:
    """The transitions in the tags of one version; other tags are ignored."""
    found = (_parse(version, value) for key, value in tags.items() if key.startswith(TAG_PREFIX))
    return in_time_order(transition for transition in found if transition is not None)


def in_time_order(transitions: Iterable[Transition]) -> list[Transition]:
    """Sort transitions, the oldest first."""
    return sorted(transitions, key=lambda each: (each.when, int(each.version)))


def next_moment(now: datetime, transitions: Iterable[Transition]) -> datetime:
    """`now`, or just after the last transition if this machine's clock is behind."""
    latest = max((each.when for each in transitions), default=None)
    return now if latest is None or now > latest else latest + timedelta(microseconds=1)


def succession(transitions: Iterable[Transition], pointer: str) -> tuple[str, ...]:
    """Recorded versions that were in Production and not demoted since; the latest is last."""
    stack: list[str] = []
    for each in in_time_order(each for each in transitions if each.pointer == pointer):
        if each.target is Place.PRODUCTION:
            stack = _cut(stack, each.replaced)
            stack = [*(other for other in stack if other != each.version), each.version]
        elif each.origin is Place.PRODUCTION:
            stack = [other for other in stack if other != each.version]
    return tuple(stack)


def _cut(stack: list[str], replaced: str | None) -> list[str]:
    """The succession when `replaced` was champion; the alias may have been moved by hand since."""
    if replaced is None:
        return []
    return stack[: stack.index(replaced) + 1] if replaced in stack else [*stack, replaced]


def _parse(version: str, value: str) -> Transition | None:
    try:
        record = json.loads(value)
        return Transition(
            version=version,
            origin=Place(record["from"]),
            target=Place(record["to"]),
            when=datetime.fromisoformat(record["when"]).astimezone(UTC),
            who=str(record["who"]),
            why=str(record["why"]),
            pointer=str(record["pointer"]),
            replaced=record.get("replaced"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
