"""The chain of the history: each entry names the hashes of the entries before it, across all versions of a model.

An entry that is changed or removed no longer fits the entry that names it. One that is inserted later is named by
no entry of its time. Two people who act at the same moment both name the same entry before them, which makes a fork;
the next entry names both.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import combinations

from approvals.envelope import Envelope, PublicKey
from approvals.errors import EnvelopeError
from trainer import tag_names
from trainer.history import TAG_TIME, Link, Start, Transition, read_transition

SAME_MOMENT = timedelta(minutes=1)
"""Entries that do not name each other are a fork up to this distance, and a manipulation beyond it."""


class Status(StrEnum):
    """The result of the check of one entry. All but the first are faults, unless a remark says otherwise."""

    VERIFIED = "verified"
    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown key"
    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"


@dataclass(frozen=True)
class Entry:
    """One tag with a transition: `time` is the end of its key, `value` its text."""

    version: str
    time: str
    value: str

    @property
    def id(self) -> str:
        """Its name in later entries."""
        return f"{self.version}/{self.time}"

    @property
    def sha256(self) -> str:
        """SHA-256 of the version and the text, in hex."""
        return hashlib.sha256(f"{self.version}\n{self.value}".encode()).hexdigest()

    @property
    def link(self) -> Link:
        """Its name and hash."""
        return Link(self.id, self.sha256)

    @cached_property
    def transition(self) -> Transition | None:
        """What it says; None if it is not readable, or about another version."""
        return read_transition(self.version, self.value)

    @cached_property
    def envelope(self) -> Envelope | None:
        """Its envelope; None if it is not signed."""
        try:
            return Envelope.read(self.value)
        except EnvelopeError:
            return None

    def names_key_of(self, keys: Mapping[str, tuple[PublicKey, ...]]) -> bool:
        """Whether its envelope says that one of these keys has signed it, which proves nothing."""
        ids = {key.key_id for own in keys.values() for key in own}
        signatures = json.loads(self.value)["signatures"]
        return any(str(each.get("keyid")) in ids for each in signatures)

    @property
    def when(self) -> datetime:
        """The time that it says, or else that of its key."""
        return self.transition.when if self.transition else _moment(self.time)

    @property
    def previous(self) -> tuple[Link, ...]:
        """The entries before it that it names."""
        return self.transition.previous if self.transition else ()

    @property
    def is_linked(self) -> bool:
        """Whether it is part of a chain; entries of older trainers are not."""
        return self.transition is not None and bool(self.transition.model)

    @property
    def is_copy(self) -> bool:
        """Whether it is in another tag than the one in which the trainer wrote it."""
        said = self.transition
        return (
            self.is_linked and said is not None and said.tag_key != tag_names.TRANSITION + self.time
        )


def entries(model: str, versions: Mapping[str, Mapping[str, str]]) -> tuple[Entry, ...]:
    """The entries in the tags of all versions of a model, by number; the oldest first.

    Entries that name another version or model are left out: MLflow copies a version with its tags.
    """
    found = [
        Entry(version, key.removeprefix(tag_names.TRANSITION), value)
        for version, tags in versions.items()
        for key, value in tags.items()
        if key.startswith(tag_names.TRANSITIONS)
    ]
    own = (each for each in found if _is_own(each, model))
    return tuple(sorted(own, key=lambda each: (each.when, each.id)))


def _is_own(entry: Entry, model: str) -> bool:
    said = entry.transition
    return said is None or (said.version == entry.version and said.model in {"", model})


def next_links(found: Iterable[Entry]) -> tuple[tuple[Link, ...], Start | None]:
    """What the next entry must name: the entries that no other names, or what there is before the first."""
    found = tuple(found)
    linked = [each for each in found if each.is_linked and not each.is_copy]
    named = {link.entry for each in linked for link in each.previous}
    last = tuple(each.link for each in linked if each.id not in named)
    return last, None if last else _start(found)


def _start(unlinked: Iterable[Entry]) -> Start:
    hashes = sorted(each.sha256 for each in unlinked if each.transition)
    return Start(len(hashes), hashlib.sha256("\n".join(hashes).encode()).hexdigest())


@dataclass
class Checked:
    """One entry, or a gap, with the result. `who` is the person whose key signed it, else as the entry says."""

    id: str
    when: datetime
    status: Status
    who: str = ""
    remark: str = ""
    entry: Entry | None = None
    fault: bool = False

    @property
    def transition(self) -> Transition | None:
        """What the entry says, if it is there and readable."""
        return self.entry.transition if self.entry else None

    def blame(self, status: Status, remark: str) -> None:
        """Mark it as faulty."""
        self.status, self.remark, self.fault = status, remark, True


@dataclass(frozen=True)
class Report:
    """The check of a whole history, the oldest first, and the entries that no other names."""

    entries: tuple[Checked, ...]
    heads: tuple[Link, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is wrong with any entry."""
        return not any(each.fault for each in self.entries)

    def has(self, sha256: str) -> bool:
        """Whether an entry has this hash."""
        return any(each.entry is not None and each.entry.sha256 == sha256 for each in self.entries)


def verify(found: Iterable[Entry], keys: Mapping[str, tuple[PublicKey, ...]]) -> Report:
    """Check all entries of a model. `keys` are those of the people who may sign."""
    found = tuple(found)
    check = _Check({each.id: _by_signature(each, keys) for each in found})
    check.run()
    heads, _ = next_links(found)
    return Report(tuple(check.in_order()), heads)


def _by_signature(entry: Entry, keys: Mapping[str, tuple[PublicKey, ...]]) -> Checked:
    said = entry.transition
    checked = Checked(entry.id, entry.when, Status.UNSIGNED, said.who if said else "", entry=entry)
    if said is None:
        checked.blame(Status.CHANGED, "not readable")
    elif entry.envelope is not None:
        signers = [name for name, own in keys.items() if entry.envelope.signed_by(own)]
        if signers:
            checked.status, checked.who = Status.VERIFIED, ", ".join(signers)
        elif entry.names_key_of(keys):
            checked.blame(Status.CHANGED, "its signature does not fit its content")
        else:
            checked.blame(Status.UNKNOWN_KEY, "signed by no known key")
    if entry.is_copy:
        checked.blame(Status.INSERTED, "a copy: its tag has not the time of the entry")
    return checked


class _Check:
    """The check of one history. An entry is related to another if it names it, directly or through others."""

    def __init__(self, entries: dict[str, Checked]) -> None:
        self._all = entries
        self._gaps: list[Checked] = []  # of entries without links, which have no name
        self._before: dict[str, set[str]] = {}  # all entries to which an entry leads

    def in_order(self) -> list[Checked]:
        """All entries and gaps, the oldest first."""
        return sorted([*self._all.values(), *self._gaps], key=lambda each: (each.when, each.id))

    def run(self) -> None:
        """Check links, then the order, then what no signature covers."""
        for each in reversed(self.in_order()):  # the newest first: a changed entry proves nothing
            if each.status is not Status.CHANGED and each.entry:
                for link in each.entry.previous:
                    self._follow(each, link)
        self._relate()
        self._check_start()
        self._check_order()
        self._check_signed()

    def _follow(self, each: Checked, link: Link) -> None:
        named = self._all.get(link.entry)
        if named is None:
            gap = self._all[link.entry] = Checked(link.entry, _moment(link.entry), Status.REMOVED)
            gap.blame(Status.REMOVED, f"named by {each.id}")
        elif named.entry is None or named.entry.sha256 == link.sha256:
            if named.status is Status.UNKNOWN_KEY and each.status is Status.VERIFIED:
                named.remark = "signed by no known key; not changed since"
        elif named.status is Status.VERIFIED and each.status is not Status.VERIFIED:
            each.blame(Status.CHANGED, f"it names another content for {named.id}, which is signed")
        else:
            named.blame(Status.CHANGED, f"it is not what {each.id} names")

    def _relate(self) -> None:
        linked = [
            each
            for each in self.in_order()
            if self._is_linked(each) and not (each.entry and each.entry.is_copy)
        ]
        unlinked = [each for each in self.in_order() if not self._is_linked(each)]
        named = {link.entry for each in linked if each.entry for link in each.entry.previous}
        for place, each in enumerate(linked):
            if each.transition:
                direct = {link.entry for link in each.transition.previous} & self._before.keys()
            else:  # what it named is lost: the entries before it that no other names
                direct = {other.id for other in linked[:place] if other.id not in named}
            self._before[each.id] = direct.union(*(self._before[other] for other in direct))
            if each.transition and each.transition.start:
                earlier = (other for other in unlinked if other.when < each.when)
                self._before[each.id].update(other.id for other in earlier)

    @staticmethod
    def _is_linked(each: Checked) -> bool:
        return each.entry is None or each.entry.transition is None or each.entry.is_linked

    def _check_start(self) -> None:
        """Entries without links: all that were there when the chain began, and none since."""
        linked = [each for each in self.in_order() if each.entry and each.entry.is_linked]
        roots = [each for each in linked if each.transition and each.transition.start]
        if not roots:
            return
        began = next((each for each in roots if each.status is Status.VERIFIED), roots[0])
        unlinked = [each for each in self.in_order() if not self._is_linked(each)]
        there = [each for each in unlinked if each.when < began.when]
        for each in unlinked:
            if each not in there:
                each.blame(
                    Status.INSERTED, "names no entry before it: an older trainer, or by hand"
                )
        start = began.transition.start if began.transition else None
        if start and start != _start(each.entry for each in there if each.entry):
            change = len(there) - start.entries
            status = (
                Status.CHANGED if not change else Status.INSERTED if change > 0 else Status.REMOVED
            )
            gap = Checked("before the chain", began.when - timedelta(microseconds=1), status)
            gap.blame(
                status, f"the chain began after {start.entries} entries; {len(there)} are there now"
            )
            self._gaps.append(gap)

    def _check_order(self) -> None:
        """Entries that do not know each other: a fork, if they are of the same moment."""
        linked = [self._all[name] for name in self._before if self._all[name].transition]
        related = {each.id: len(self._before[each.id]) for each in linked}
        for each in linked:
            for name in self._before[each.id] & related.keys():
                related[name] += 1
        for one, other in combinations(linked, 2):
            if one.id in self._before[other.id] or other.id in self._before[one.id]:
                continue
            if abs(one.when - other.when) <= SAME_MOMENT:
                one.remark = one.remark or f"a fork: at the same moment as {other.id}"
                other.remark = other.remark or f"a fork: at the same moment as {one.id}"
                continue
            known = {
                each.id: (each.status is Status.VERIFIED, related[each.id]) for each in (one, other)
            }
            stranger, rest = sorted(
                (one, other), key=lambda each: (known[each.id], one.when - each.when)
            )
            stranger.blame(Status.INSERTED, f"neither it nor {rest.id} names the other")

    def _check_signed(self) -> None:
        """An unsigned entry counts only if the first signed entry after it covers it."""
        signed = {each.id for each in self._all.values() if each.status is Status.VERIFIED}
        before = {each: self._before.get(each, set()) for each in signed}
        first = [each for each in signed if not before[each] & signed]
        covered = set().union(*(before[each] for each in first))
        for each in self._all.values():
            if each.status is Status.UNSIGNED:
                each.fault = each.id not in covered
                what = "no signature covers it" if each.fault else "covered by a later signature"
                each.remark = f"{each.remark}; {what}" if each.remark else what


def _moment(name: str) -> datetime:
    """The time in an id or at the end of a key."""
    try:
        return datetime.strptime(name.rpartition("/")[2].rpartition(".")[2], TAG_TIME).replace(
            tzinfo=UTC
        )
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
