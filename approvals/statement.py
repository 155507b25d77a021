"""Statements: what an approver signs about one model version, as an in-toto statement.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from approvals.errors import EnvelopeError

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:mlflow-hotswap:approval:v1"
APPROVAL_TAG = "hotswap.approval."
"""How the keys of a version's tags begin that hold an envelope; the rest of the key is free."""

Decision = Literal["approve", "withdraw"]


@dataclass(frozen=True)
class Subject:
    """What a statement is about: one version of a registered model, and its files.

    `files` maps the path of each file that serving depends on (the ONNX graph, its external data, `MLmodel`)
    to the SHA-256 of its bytes, in hex.
    """

    model: str
    version: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Statement:
    """One approver's decision about one version.

    A withdrawal takes back all approvals of the same version by the same approver up to `at`. `expires` is
    None for an approval without an end. Both times have a time zone.
    """

    subject: Subject
    decision: Decision
    reason: str
    approver: str
    at: datetime
    expires: datetime | None = None

    def payload(self) -> bytes:
        """The in-toto statement in JSON, for an envelope."""
        files = sorted(self.subject.files.items())
        return json.dumps(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": path, "digest": {"sha256": sha}} for path, sha in files],
                "predicateType": PREDICATE_TYPE,
                "predicate": {
                    "model": self.subject.model,
                    "version": self.subject.version,
                    "decision": self.decision,
                    "reason": self.reason,
                    "approver": self.approver,
                    "at": _text(self.at),
                    **({"expires": _text(self.expires)} if self.expires else {}),
                },
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()

    @classmethod
    def read(cls, payload: bytes) -> "Statement":
        """Read a payload. Raises EnvelopeError if it is no statement about a version."""
        try:
            read = json.loads(payload)
            if (read["_type"], read["predicateType"]) != (STATEMENT_TYPE, PREDICATE_TYPE):
                raise EnvelopeError("it is signed, but not a statement about a model version")
            said: dict[str, Any] = read["predicate"]
            if said["decision"] not in get_args(Decision):
                raise EnvelopeError(f"its decision is {said['decision']!r:.40}")
            files = {each["name"]: each["digest"]["sha256"] for each in read["subject"]}
            texts = [said["model"], said["version"], said["reason"], said["approver"]]
            if not all(isinstance(text, str) for text in (*files, *files.values(), *texts)):
                raise EnvelopeError("a member of the statement is not a text")
            "".join((*files, *files.values(), *texts)).encode()  # ValueError for half a character
            return cls(
                Subject(said["model"], said["version"], files),
                said["decision"], said["reason"], said["approver"], _moment(said["at"]),
                _moment(said["expires"]) if "expires" in said else None,
            )  # fmt: skip
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise EnvelopeError("its payload is not an in-toto statement") from error


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise EnvelopeError("a time of the statement has no time zone")
    return moment.astimezone(UTC)
