"""The audit of a registered model: what served when, who decided it, and with which evidence, for a span of time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from approvals.approvers import Approvers
from approvals.envelope import PublicKey
from approvals.statement import Subject
from trainer import tag_names
from trainer.approval import Signed, envelopes, read_signed
from trainer.chain import Checked, Report, entries, verify
from trainer.errors import NotApprovedError, RefusedByMlflowError, TrainerError
from trainer.history import Place, Transition, in_time_order, succession
from trainer.registry import RegisteredModel, Version
from trainer.version_files import read_files

Json = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """From `start`, or the first entry, until before `end`."""

    start: datetime | None
    end: datetime

    @classmethod
    def parse(cls, start: str | None, end: str | None) -> "Span":
        """Read two dates or times in ISO 8601; a date as the end is the last day. Raises TrainerError."""
        now = datetime.now(UTC)
        first = _moment("--from", start) if start else None
        last = _moment("--to", end, whole_day=True) if end else now
        if first is not None and first >= last:
            raise TrainerError(f"--from {start} is not before the end, {last:%Y-%m-%d %H:%M} UTC")
        return cls(first, last)

    def has(self, moment: datetime) -> bool:
        """Whether a moment is in the span."""
        return (self.start is None or self.start <= moment) and moment < self.end


def _moment(option: str, text: str, *, whole_day: bool = False) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise TrainerError(f"{option} is {text!r}; give a date such as 2026-01-31") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return found + timedelta(days=1) if whole_day and len(text) <= len("2026-01-31") else found


@dataclass(frozen=True)
class Period:
    """A time in which a pointer named a version, by the recorded transitions. `cause` is the last of them."""

    pointer: str
    version: str
    start: datetime
    end: datetime | None
    cause: Transition


def periods(transitions: Iterable[Transition]) -> list[Period]:
    """What each pointer named, the oldest first; a time in which it named nothing is left out."""
    found: list[Period] = []
    ordered = in_time_order(transitions)
    for pointer in sorted({each.pointer for each in ordered}):
        own = [each for each in ordered if each.pointer == pointer]
        named: list[tuple[str | None, Transition]] = []
        for count, each in enumerate(own, 1):
            version = _champion(own[:count], pointer)
            if not named or named[-1][0] != version:
                named.append((version, each))
        ends = [each.when for _, each in named[1:]] + [None]
        found += [
            Period(pointer, version, each.when, end, each)
            for (version, each), end in zip(named, ends, strict=True)
            if version is not None
        ]
    return sorted(found, key=lambda each: each.start)


def _champion(transitions: list[Transition], pointer: str) -> str | None:
    if pointer != "stage":
        return next(reversed(succession(transitions, pointer)), None)
    places = {each.version: each.target for each in transitions}
    inside = [version for version, place in places.items() if place is Place.PRODUCTION]
    return max(inside, key=int, default=None)


@dataclass(frozen=True)
class Auditor:
    """Collects the evidence of one model. Every method raises TrainerError."""

    registry: RegisteredModel
    keys: Mapping[str, tuple[PublicKey, ...]]
    approvers: Approvers | None

    def audit(self, span: Span, pointer: str, champion: str | None) -> Json:
        """The whole audit, in JSON's types. `champion` is the version that `pointer` names now."""
        versions = self.registry.versions()
        tags = {number: each.tags for number, each in versions.items()}
        report = verify(entries(self.registry.model_name, tags), self.keys)
        made = [each.transition for each in report.entries if each.transition]
        served = [each for each in periods(made) if _overlaps(each, span)]
        shown = [each for each in report.entries if span.has(each.when) or not each.transition]
        named = {each.version for each in served} | {each.id.partition("/")[0] for each in shown}
        evidence = {n: self._version(versions[n]) for n in sorted(named & versions.keys(), key=int)}
        return {
            "model": self.registry.model_name,
            "from": _text(span.start),
            "to": _text(span.end),
            "written": _text(datetime.now(UTC)),
            "named_now": {"pointer": pointer, "version": champion},
            "approvers": self._people(),
            "served": [self._period(each, report, versions, evidence) for each in served],
            "history": _history(report, shown),
            "versions": evidence,
        }

    def _people(self) -> Json | None:
        if self.approvers is None:
            return None
        keys = {name: [key.key_id for key in own] for name, own in self.approvers.keys.items()}
        return {"required": self.approvers.required, "keys": keys}

    def _period(
        self, period: Period, report: Report, versions: Mapping[str, Version], evidence: Mapping[str, Json]
    ) -> Json:  # fmt: skip
        (cause,) = [each for each in report.entries if each.transition is period.cause]
        version = versions.get(period.version)
        then = approved = None
        if version and self.approvers:
            files = evidence[period.version]["files"]
            then = self._then(version, files, period.start)
            approved = self._approved(version, files, period)
        return {
            "pointer": period.pointer,
            "version": period.version,
            "from": _text(period.start),
            "to": _text(period.end),
            "entry": _entry(cause),
            "approvals_at_the_start": then,
            "approved": approved,
        }

    def _then(self, version: Version, files: Mapping[str, str] | None, moment: datetime) -> Json:
        """Whether the statements up to a moment were enough then."""
        said = [each for each in self._signed(version) if each.statement.at <= moment]
        return self._standing(said, version.number, files, moment)

    def _approved(
        self, version: Version, files: Mapping[str, str] | None, period: Period
    ) -> list[Json]:
        """The parts of a period in which the approvals were enough."""
        end = period.end or datetime.now(UTC)
        changes = [
            moment
            for each in self._signed(version)
            for moment in (each.statement.at, each.statement.expires)
            if moment is not None and period.start < moment < end
        ]
        parts: list[Json] = []
        for moment in sorted({period.start, *changes}):
            enough = self._then(version, files, moment)["sufficient"]
            begun = bool(parts) and parts[-1]["to"] is None
            if enough and not begun:
                parts.append({"from": _text(moment), "to": None})
            elif begun and not enough:
                parts[-1]["to"] = _text(moment)
        if parts and parts[-1]["to"] is None:
            parts[-1]["to"] = _text(period.end)
        return parts

    def _version(self, version: Version) -> Json:
        """What is known of a version; its files are read again."""
        files: Mapping[str, str] | None = None
        problem = None
        try:
            files = read_files(
                self.registry.client, self.registry.model_name, version.number
            ).digests
        except (NotApprovedError, RefusedByMlflowError) as error:
            problem = str(error)
        signed = self._signed(version)
        now = datetime.now(UTC)
        tags = (
            tag_names.PARITY,
            tag_names.DATASET_DIGEST,
            tag_names.ONNX_SHA256,
            tag_names.COPIED_FROM,
        )
        return {
            "run": version.run_id,
            "source": version.source,
            "tags": {name: version.tags[name] for name in tags if name in version.tags},
            "metrics": dict(sorted(self.registry.metrics(version).items())),
            "files": dict(files) if files is not None else None,
            "files_problem": problem,
            "approvals": [_statement(each, files) for each in signed],
            "approvals_now": self._standing(signed, version.number, files, now)
            if self.approvers
            else None,
        }

    def _signed(self, version: Version) -> tuple[Signed, ...]:
        keys = self.approvers.keys if self.approvers else self.keys
        return read_signed(envelopes(version.tags), keys)

    def _standing(
        self,
        signed: Iterable[Signed],
        version: str,
        files: Mapping[str, str] | None,
        moment: datetime,
    ) -> Json:
        assert self.approvers is not None  # noqa: S101  the callers know
        subject = Subject(self.registry.model_name, version, files or {})
        texts = [each.envelope for each in signed]
        found = self.approvers.standing(texts, subject, moment, files=files is not None)
        return {
            "sufficient": found.sufficient,
            "approved_by": list(found.approved_by),
            "summary": found.summary,
            "expires": _text(found.expires),
        }


def _overlaps(period: Period, span: Span) -> bool:
    return period.start < span.end and (
        period.end is None or span.start is None or period.end > span.start
    )


def _history(report: Report, shown: Iterable[Checked]) -> Json:
    return {
        "intact": report.intact,
        "heads": [{"entry": each.entry, "sha256": each.sha256} for each in report.heads],
        "entries": [_entry(each) for each in shown],
    }


def _entry(checked: Checked) -> Json:
    said = checked.transition
    known: Json = {}
    if said is not None:
        known = {
            "from": said.origin.value,
            "to": said.target.value,
            "pointer": said.pointer,
            "why": said.why,
            "replaced": said.replaced,
            "checks": list(said.checks),
        }
    return {
        "id": checked.id,
        "version": checked.id.partition("/")[0],
        "when": _text(checked.when),
        "who": checked.who,
        "status": checked.status.value,
        "fault": checked.fault,
        "remark": checked.remark,
        "sha256": checked.entry.sha256 if checked.entry else None,
        **known,
    }


def _statement(signed: Signed, files: Mapping[str, str] | None) -> Json:
    said = signed.statement
    return {
        "signed_by": list(signed.signers),
        "approver": said.approver,
        "decision": said.decision,
        "reason": said.reason,
        "at": _text(said.at),
        "expires": _text(said.expires),
        "same_files": files is not None and dict(said.subject.files) == dict(files),
        "version": said.subject.version,
        "model": said.subject.model,
    }


def _text(moment: datetime | None) -> str | None:
    return (
        moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if moment
        else None
    )
