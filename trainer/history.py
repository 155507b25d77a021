"""Who moved which version where, when and why: MLflow keeps no such record, so version tags do.

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
    """Where a version is, in the words of MLflow's stages."""

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
        """What it does, as a phrase."""
        return f"move version {self.version} from {self.origin} to {self.target}"

    @property
    def tag_key(self) -> str:
        """The key of the tag that records this."""
        return TAG_PREFIX + self.when.astimezone(UTC).strftime(_TAG_TIME)

    @property
    def tag_value(self) -> str:
        """The JSON that records this."""
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
            f"the reason has {len(text)} characters, more than the {REASON_LIMIT} that are kept; "
            "shorten it"
        )
    return text


def recorded(version: str, tags: Mapping[str, str]) -> list[Transition]:
    """The transitions in the tags of one version; a tag that is no record of ours is passed over."""
    found = (_parse(version, value) for key, value in tags.items() if key.startswith(TAG_PREFIX))
    return in_time_order(transition for transition in found if transition is not None)


def in_time_order(transitions: Iterable[Transition]) -> list[Transition]:
    """The oldest first."""
    return sorted(transitions, key=lambda each: (each.when, int(each.version)))


def next_moment(now: datetime, transitions: Iterable[Transition]) -> datetime:
    """`now`, or just after the last transition where this machine's clock is behind another's."""
    latest = max((each.when for each in transitions), default=None)
    return now if latest is None or now > latest else latest + timedelta(microseconds=1)


def succession(transitions: Iterable[Transition], pointer: str) -> tuple[str, ...]:
    """Who has been in Production and was not demoted since, by the records; the latest is last."""
    stack: list[str] = []
    for each in in_time_order(each for each in transitions if each.pointer == pointer):
        if each.target is Place.PRODUCTION:
            stack = _cut(stack, each.replaced)
            stack = [*(other for other in stack if other != each.version), each.version]
        elif each.origin is Place.PRODUCTION:
            stack = [other for other in stack if other != each.version]
    return tuple(stack)


def _cut(stack: list[str], replaced: str | None) -> list[str]:
    """What stood when `replaced` was champion: someone may have moved the alias by hand before."""
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
