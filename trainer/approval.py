"""Approvals of versions: signed statements in a version's tags, and whether they are enough."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from approvals.approvers import Approvers
from approvals.envelope import Envelope, PublicKey, seal
from approvals.errors import ApproversError, EnvelopeError
from approvals.statement import APPROVAL_TAG, Statement
from trainer import tag_names
from trainer.errors import NotApprovedError
from trainer.signing_keys import NamedSigner
from trainer.version_files import VersionFiles

_TAG_TIME = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True)
class Signed:
    """One statement of a version's tags. `signers` are the known people whose keys signed it."""

    envelope: str
    statement: Statement
    signers: tuple[str, ...]


def envelopes(tags: Mapping[str, str]) -> tuple[str, ...]:
    """The envelopes in the tags of a version, the oldest first."""
    return tuple(value for key, value in sorted(tags.items()) if key.startswith(APPROVAL_TAG))


def read_signed(
    texts: Iterable[str], keys: Mapping[str, tuple[PublicKey, ...]]
) -> tuple[Signed, ...]:
    """The readable statements among envelopes, with the people of `keys` who signed each."""
    found = []
    for text in texts:
        try:
            envelope = Envelope.read(text)
            statement = Statement.read(envelope.payload)
        except EnvelopeError:
            continue
        signers = tuple(name for name, own in keys.items() if envelope.signed_by(own))
        found.append(Signed(text, statement, signers))
    return tuple(found)


def read_approvers(path: Path) -> Approvers:
    """Read a file of approvers. Raises NotApprovedError."""
    try:
        return Approvers.read(path.read_bytes())
    except OSError as error:
        raise NotApprovedError(
            f"the file of approvers {path} cannot be read: {error.strerror}"
        ) from None
    except ApproversError as error:
        raise NotApprovedError(f"the file of approvers {path} cannot be used: {error}") from None


def check_files(version: str, tags: Mapping[str, str], files: VersionFiles) -> None:
    """Raise NotApprovedError if the tags of a version contradict its files."""
    tagged = tags.get(tag_names.ONNX_SHA256)
    if tagged is not None and tagged != files.graph_sha256:
        raise NotApprovedError(
            f"{files.graph} of version {version} has SHA-256 {files.graph_sha256}, its tag onnx_sha256 "
            f"says {tagged}: the file or the tag was changed; register the model again, and approve that"
        )
    parity = tags.get(tag_names.PARITY)
    if parity not in {None, "passed"}:
        raise NotApprovedError(
            f"the tag parity of version {version} is {parity!r}: its ONNX graph does not predict what the "
            "model predicts, or nobody has proven it; export the model again"
        )


def keys_of_person(signer: NamedSigner, approvers: Approvers | None) -> tuple[PublicKey, ...]:
    """All keys of the person who signs: the file of approvers may know several."""
    key = signer.public_key
    people = approvers.keys.values() if approvers else ()
    return next((own for own in people if key in own), (key,))


def own_statements(
    tags: Mapping[str, str], keys: tuple[PublicKey, ...], model: str, version: str
) -> tuple[Statement, ...]:
    """The statements about a version that one of `keys` has signed, in time order."""
    found = read_signed(envelopes(tags), {"own": keys})
    own = [
        each.statement
        for each in found
        if each.signers
        and (each.statement.subject.model, each.statement.subject.version) == (model, version)
    ]
    return tuple(sorted(own, key=lambda each: each.at))


def next_moment(now: datetime, earlier: Iterable[Statement]) -> datetime:
    """`now`, or just after the person's last statement.

    A withdrawal must cover an approval that was signed by a clock that was ahead.
    """
    last = max((each.at for each in earlier), default=None)
    return now if last is None or now > last else last + timedelta(microseconds=1)


def tag_of(statement: Statement, signer: NamedSigner) -> tuple[str, str]:
    """Sign a statement; return the key and the value of its tag, which overwrites no other."""
    time = statement.at.astimezone(UTC).strftime(_TAG_TIME)
    return f"{APPROVAL_TAG}{time}.{signer.name}", seal(statement.payload(), signer)


def parse_expiry(text: str | None) -> datetime | None:
    """The end of an approval: `90d`, or a date or time in ISO 8601, in UTC unless it says otherwise.

    Raises NotApprovedError.
    """
    if text is None:
        return None
    now = datetime.now(UTC)
    form = f"--expires is {text!r}; give days such as 90d, or a date such as {now.year + 1}-01-31"
    try:
        if text.endswith("d"):
            end = now + timedelta(days=int(text[:-1]))
        else:
            end = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise NotApprovedError(form) from None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    if end <= now:
        raise NotApprovedError(f"{form}, which is in the future")
    return end
