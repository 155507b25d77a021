"""The history of transitions, stored in version tags, because MLflow does not record it.

One tag for each transition, `hotswap.transition.20261123T120102123456Z`. Its value is JSON, or a signed envelope of the
same JSON as an in-toto statement. Each entry names the entries before it; `trainer.chain` checks that.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from approvals.envelope import Envelope, Signer, seal
from approvals.errors import EnvelopeError
from approvals.statement import STATEMENT_TYPE
from trainer import tag_names
from trainer.errors import TransitionError

# MLflow takes 100,000 characters for the value of a tag, MySQL 65,535 bytes: far more than a reason.
REASON_LIMIT = 1000
_MAX_AHEAD = timedelta(days=1)
TAG_TIME = "%Y%m%dT%H%M%S%fZ"
# Not that of an approval: neither can be replayed as the other.
PREDICATE_TYPE = "urn:mlflow-hotswap:transition:v1"


class Place(StrEnum):
    """The place of a version, named like MLflow's stages."""

    PRODUCTION = "Production"
    STAGING = "Staging"
    ARCHIVED = "Archived"
    NONE = "None"


@dataclass(frozen=True)
class Link:
    """An entry of the history as a later one names it: its id, and the SHA-256 of its content in hex."""

    entry: str
    sha256: str


@dataclass(frozen=True)
class Start:
    """How many entries without links there were when the chain began, and the SHA-256 over all of them."""

    entries: int
    sha256: str


@dataclass(frozen=True)
class Transition:
    """One version that went from one place to another.

    `pointer` says what had the last word then: `stage`, or `@` and the alias. `replaced` is the
    champion just before a promotion to Production. `checks` are the findings of the policy. `model`,
    `previous` and `start` are in entries of a chain: the registered model, the entries before this one, and
    what there was before the first.
    """

    version: str
    origin: Place
    target: Place
    when: datetime
    who: str
    why: str
    pointer: str
    replaced: str | None = None
    checks: tuple[str, ...] = ()
    model: str = ""
    previous: tuple[Link, ...] = ()
    start: Start | None = None

    @property
    def summary(self) -> str:
        """The transition as a phrase."""
        return f"move version {self.version} from {self.origin} to {self.target}"

    @property
    def tag_key(self) -> str:
        """The tag's key."""
        return tag_names.TRANSITION + self.when.astimezone(UTC).strftime(TAG_TIME)

    def stage_mark(self, changed_ms: int) -> str:
        """The value of `tag_names.STAGE_CHANGED` after this transition, which MLflow made at `changed_ms`."""
        return f"{self.when.astimezone(UTC):{TAG_TIME}} {changed_ms}"

    def tag_value(self, signer: Signer | None = None, source: str = "") -> str:
        """The tag's value: JSON, or its signed envelope. `source` is where MLflow has the version's files."""
        record = self._record()
        if signer is None:
            return json.dumps(record)
        digest = hashlib.sha256(source.encode()).hexdigest()
        subject = {"name": f"models:/{self.model}/{self.version}", "digest": {"sha256": digest}}
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [subject],
            "predicateType": PREDICATE_TYPE,
            "predicate": record,
        }
        return seal(json.dumps(statement, separators=(",", ":")).encode(), signer)

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "from": self.origin,
            "to": self.target,
            "when": self.when.astimezone(UTC).isoformat(timespec="microseconds"),
            "who": self.who,
            "why": self.why,
            "pointer": self.pointer,
        }
        if self.replaced:
            record["replaced"] = self.replaced
        if self.checks:
            record["checks"] = self.checks
        if self.model:
            record |= {"model": self.model, "version": self.version}
            record["previous"] = [vars(link) for link in self.previous]
        if self.start:
            record["start"] = vars(self.start)
        return record


def one_line(reason: str | None) -> str:
    """The reason on one line; raises TransitionError if it is too long to keep."""
    # A terminal that is not UTF-8 gives characters that nothing can encode.
    text = " ".join((reason or "").encode(errors="replace").decode().split())
    if len(text) > REASON_LIMIT:
        raise TransitionError(
            f"the reason has {len(text)} characters, more than the limit of {REASON_LIMIT}; "
            "shorten it"
        )
    return text


def recorded(version: str, tags: Mapping[str, str]) -> list[Transition]:
    """The transitions in the tags of one version; other tags are ignored."""
    found = (
        read_transition(version, value)
        for key, value in tags.items()
        if key.startswith(tag_names.TRANSITIONS)
    )
    # MLflow copies a version with its tags; then the entries name the original.
    return in_time_order(each for each in found if each is not None and each.version == version)


def in_time_order(transitions: Iterable[Transition]) -> list[Transition]:
    """Sort transitions, the oldest first."""
    return sorted(transitions, key=lambda each: (each.when, int(each.version)))


def next_moment(now: datetime, transitions: Iterable[Transition]) -> datetime:
    """`now`, or just after the last transition if this machine's clock is behind.

    Entries that are more than a day ahead do not count: anybody who may write tags can add one.
    """
    times = (each.when for each in transitions if each.when - now < _MAX_AHEAD)
    latest = max(times, default=None)
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


def read_transition(version: str, value: str) -> Transition | None:
    """The transition in a tag of a version; None if it is not readable. It can be that of another version.

    Whether it is signed by somebody who is known is not checked here.
    """
    try:
        record = json.loads(value)
        if "payload" in record:
            record = _statement(value)
        start, replaced = record.get("start"), record.get("replaced")
        return Transition(
            version=str(record.get("version", version)),
            origin=Place(record["from"]),
            target=Place(record["to"]),
            when=datetime.fromisoformat(record["when"]).astimezone(UTC),
            who=str(record["who"]),
            why=str(record["why"]),
            pointer=str(record["pointer"]),
            replaced=str(replaced) if replaced else None,
            checks=tuple(map(str, record.get("checks", ()))),
            model=str(record.get("model", "")),
            previous=tuple(
                Link(str(each["entry"]), str(each["sha256"])) for each in record.get("previous", ())
            ),
            start=Start(int(start["entries"]), str(start["sha256"])) if start else None,
        )
    except (
        EnvelopeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError,
    ):  # fmt: skip
        return None


def _statement(value: str) -> dict[str, Any]:
    """The record in a signed envelope. Raises EnvelopeError, or what reading other JSON raises."""
    statement = json.loads(Envelope.read(value).payload)
    if (statement["_type"], statement["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise EnvelopeError("it is signed, but not a statement about a transition")
    return dict(statement["predicate"])
