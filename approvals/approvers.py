"""Approvers: whose approvals count, how many are needed, and whether a version has them."""

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from approvals.envelope import MAX_CHARACTERS, Envelope, PublicKey
from approvals.errors import ApproversError, EnvelopeError, PublicKeyError
from approvals.standing import Standing
from approvals.statement import Statement, Subject

MAX_ENVELOPES = 200
"""Envelopes of one version that are read; checking a signature takes 0.1 ms."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""By how much an approver's clock may be ahead of the clock that checks."""
_MAX_WITHDRAWALS = 200  # of one approver
_MAX_KNOWN = 1000  # envelopes whose statements are kept in memory
_MAX_REASON = 200  # characters
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Approvers:
    """The people whose approvals count, each with at least one public key.

    A file of approvers is TOML:

        required = 2

        [approvers]
        alice = "MCowBQYDK2VwAyEA..."
        bob = ["MCowBQYDK2VwAyEA...", "MCowBQYDK2VwAyEA..."]
    """

    required: int
    keys: Mapping[str, tuple[PublicKey, ...]]
    # The same envelopes are read at each poll of the registry.
    _known: dict[bytes, list[tuple[str, Statement]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def read(cls, content: bytes) -> "Approvers":
        """Parse a file's content. Raises ApproversError."""
        try:
            read = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:
            raise ApproversError(f"not TOML in UTF-8: {error}") from None
        unknown = sorted(read.keys() - {"required", "approvers"})
        if unknown:
            raise ApproversError(f"{unknown[0]!r} is unknown; `required` and `[approvers]` are not")
        people = read.get("approvers")
        if not isinstance(people, dict) or not people:
            raise ApproversError('it has no [approvers]: a line `name = "PUBLIC KEY"` for each')
        keys = {name: _keys(name, value) for name, value in people.items()}
        _check_distinct(keys)
        required = read.get("required")
        if type(required) is not int or not 1 <= required <= len(keys):
            raise ApproversError(
                f"required is {required!r:.40}, not a number from 1 to {len(keys)}, the number of "
                "approvers"
            )
        return cls(required, keys)

    def standing(
        self, envelopes: Iterable[str], subject: Subject, now: datetime, *, files: bool = True
    ) -> Standing:
        """Compare the envelopes of a version with the rule.

        An approval counts if a key of this file has signed it, if it names exactly this model, version and
        these files, if it is not withdrawn and not expired, and not signed later than now. Several approvals
        by the keys of one name count once. `files=False` leaves the files out, before they are fetched.
        """
        envelopes = tuple(envelopes)
        if len(envelopes) > MAX_ENVELOPES:  # an unread one could be a withdrawal
            return Standing(
                self.required, (), (f"more than {MAX_ENVELOPES} approvals: remove some",)
            )
        valid: dict[str, datetime] = {}
        rejected: list[str] = []
        by_name, unread = self._verified(envelopes)
        for name, statements in by_name.items():
            ends, why = _judge(statements, subject, now, files=files)
            if ends is not None:
                valid[name] = ends
            elif why:
                rejected.append(f"{name}: {why}")
        ends_in_order = sorted(valid.values(), reverse=True)
        end = ends_in_order[self.required - 1] if len(valid) >= self.required else _NEVER
        if unread:
            rejected.append(f"{unread} signed by no key of the approvers, or not readable")
        missing = (
            () if len(valid) >= self.required else tuple(sorted(self.keys.keys() - valid.keys()))
        )
        return Standing(
            self.required,
            tuple(sorted(valid)),
            tuple(rejected),
            None if end == _NEVER else end,
            missing,
        )

    def knows(self, envelopes: Iterable[str]) -> bool:
        """Whether all of these were read before: then each of the methods takes microseconds."""
        return all(len(text) > MAX_CHARACTERS or _digest(text) in self._known for text in envelopes)

    def verified(self, envelopes: Iterable[str]) -> tuple[str, ...]:
        """Those of the envelopes that a key of this file has signed; one of each statement and approver."""
        found: dict[tuple[str, bytes], str] = {}
        for text, name, statement in self._each(envelopes):
            found.setdefault((name, statement.payload()), text)
        return tuple(dict.fromkeys(found.values()))

    def withdrawals(self, envelopes: Iterable[str]) -> tuple[str, ...]:
        """The valid withdrawals among the envelopes: the latest of each approver for each version.

        At most the latest 200 of one approver, so that no one can displace the withdrawals of another.
        """
        each = (found for found in self._each(envelopes) if found[2].decision == "withdraw")
        latest: dict[tuple[str, str, str], str] = {}
        kept: Counter[str] = Counter()
        for text, name, statement in sorted(each, key=lambda found: found[2].at, reverse=True):
            about = (name, statement.subject.model, statement.subject.version)
            if about not in latest and kept[name] < _MAX_WITHDRAWALS:
                kept[name] += 1
                latest[about] = text
        return tuple(dict.fromkeys(latest.values()))

    def about(self, envelopes: Iterable[str], model: str, version: str) -> tuple[str, ...]:
        """Those of the envelopes that a key of this file has signed, about one version."""
        subject = (model, version)
        found = (
            text
            for text, _, each in self._each(envelopes)
            if (each.subject.model, each.subject.version) == subject
        )
        return tuple(dict.fromkeys(found))

    def _each(self, envelopes: Iterable[str]) -> Iterator[tuple[str, str, Statement]]:
        """Each envelope with each approver that has signed it, and its statement."""
        return (
            (text, name, statement)
            for text in envelopes
            for name, statement in self._statements(text)
        )

    def _verified(self, envelopes: Iterable[str]) -> tuple[dict[str, list[Statement]], int]:
        """The statements of each approver, in the file's order; and the number of other envelopes."""
        found: dict[str, list[Statement]] = {name: [] for name in self.keys}
        unread = 0
        for text in envelopes:
            statements = self._statements(text)
            for name, statement in statements:
                found[name].append(statement)
            unread += not statements
        return found, unread

    def _statements(self, text: str) -> list[tuple[str, Statement]]:
        """The statement of an envelope, with each approver that has signed it."""
        if len(text) > MAX_CHARACTERS:
            return []
        digest = _digest(text)
        found = self._known.get(digest)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[digest] = self._verify(text)
        return found

    def _verify(self, text: str) -> list[tuple[str, Statement]]:
        try:
            envelope = Envelope.read(text)
            names = [name for name, keys in self.keys.items() if envelope.signed_by(keys)]
            return [(name, Statement.read(envelope.payload)) for name in names]
        except EnvelopeError:
            return []


def _judge(
    statements: Iterable[Statement], subject: Subject, now: datetime, *, files: bool
) -> tuple[datetime | None, str]:
    """When the approval of one approver ends (None if none counts), and why none counts."""
    about = [
        each
        for each in statements
        if (each.subject.model, each.subject.version) == (subject.model, subject.version)
    ]
    withdrawn = max((each.at for each in about if each.decision == "withdraw"), default=None)
    ends: list[datetime] = []
    why = ""
    for each in sorted(about, key=lambda each: each.at):
        if each.decision == "withdraw":
            continue
        fault = _fault(each, subject, now, withdrawn, files=files)
        why = fault or why
        if not fault:
            ends.append(each.expires or _NEVER)
    if ends:
        return max(ends), ""
    others = sorted({f"{each.subject.model} version {each.subject.version}" for each in statements})
    only = f"approved only {', '.join(others)}"[:_MAX_REASON]
    return None, why or (only if others and not about else "")


def _fault(
    each: Statement, subject: Subject, now: datetime, withdrawn: datetime | None, *, files: bool
) -> str:
    """Why an approval of this version does not count; empty if it does."""
    if withdrawn is not None and each.at <= withdrawn:
        return f"withdrawn at {withdrawn:%Y-%m-%d %H:%M} UTC"
    if each.expires is not None and each.expires <= now:
        return f"expired at {each.expires:%Y-%m-%d %H:%M} UTC"
    if each.at > now + CLOCK_TOLERANCE:
        return f"signed at {each.at:%Y-%m-%d %H:%M} UTC, which is in the future: compare the clocks"
    if files and dict(each.subject.files) != dict(subject.files):
        return "approved other files of this version"
    return ""


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _keys(name: str, value: Any) -> tuple[PublicKey, ...]:
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ApproversError(f"{name}: not a public key, nor a list of public keys")
    try:
        return tuple(PublicKey.read(text) for text in texts)
    except PublicKeyError as error:
        raise ApproversError(f"{name}: {error}") from None


def _check_distinct(keys: Mapping[str, tuple[PublicKey, ...]]) -> None:
    """Refuse a key of two names: one person would count twice."""
    owner: dict[PublicKey, str] = {}
    for name, own in keys.items():
        for key in own:
            if owner.setdefault(key, name) != name:
                raise ApproversError(f"{owner[key]} and {name} have the same key")
