"""Whose approvals count: each test is one way to get an approval that must not."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from approvals.approvers import MAX_ENVELOPES, Approvers
from approvals.envelope import PublicKey, seal
from approvals.errors import ApproversError
from approvals.statement import Statement, Subject

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SUBJECT = Subject("churn", "4", {"MLmodel": "a" * 64, "model.onnx": "b" * 64})


@dataclass(frozen=True)
class Person:
    name: str
    key: Ed25519PrivateKey

    @property
    def public_key(self) -> PublicKey:
        public = self.key.public_key()
        return PublicKey(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def sign(self, content: bytes) -> bytes:
        return self.key.sign(content)

    def says(self, decision="approve", subject=SUBJECT, at=NOW, expires=None) -> str:
        statement = Statement(subject, decision, "seen", self.name, at, expires)
        return seal(statement.payload(), self)


ALICE, BOB, CAROL = (
    Person(name, Ed25519PrivateKey.generate()) for name in ("alice", "bob", "carol")
)


# A key of an algorithm that `cryptography` does not know.
UNKNOWN_KIND = "MAswBQYDKgMEAwIAAQ=="


def file_of(required, **people):
    lines = [f"{name} = {json.dumps(keys)}" for name, keys in people.items()]
    return "\n".join([f"required = {required}", "[approvers]", *lines]).encode()


TWO_OF_THREE = Approvers.read(
    file_of(2, **{each.name: each.public_key.text for each in (ALICE, BOB, CAROL)})
)


def standing(*envelopes, now=NOW, subject=SUBJECT, approvers=TWO_OF_THREE, **options):
    return approvers.standing(envelopes, subject, now, **options)


def test_enough_different_people():
    found = standing(ALICE.says(), BOB.says())
    assert (found.sufficient, found.summary) == (True, "2 of 2 approvals (alice, bob)")
    assert (found.expires, found.missing, found.refusal) == (None, (), found.summary)


def test_who_could_still_approve():
    """By name, at most ten in a sentence."""
    found = standing(ALICE.says(), CAROL.says("withdraw"))
    assert found.missing == ("bob", "carol")
    assert found.refusal == "1 of 2 approvals (alice); 1 more needed, of bob, carol"
    many = replace(found, missing=tuple(map(str, range(12))))
    assert many.refusal.endswith("of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 others")


def test_one_person_counts_once():
    """Twice by one key, and by two keys of one name."""
    other = Person("alice", Ed25519PrivateKey.generate())
    both = [ALICE.public_key.text, other.public_key.text]
    approvers = Approvers.read(file_of(2, alice=both, bob=BOB.public_key.text))
    again = ALICE.says(at=NOW - timedelta(days=1))
    assert standing(ALICE.says(), again).approved_by == ("alice",)
    assert not standing(ALICE.says(), other.says(), approvers=approvers).sufficient
    assert standing(other.says(), BOB.says(), approvers=approvers).sufficient


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (replace(SUBJECT, model="other"), "alice: approved only other version 4"),
        (replace(SUBJECT, version="5"), "alice: approved only churn version 5"),
        (
            replace(SUBJECT, files={**SUBJECT.files, "model.onnx": "c" * 64}),
            "alice: approved other files of this version",
        ),
        (
            replace(SUBJECT, files={"model.onnx": "b" * 64}),
            "alice: approved other files of this version",
        ),
    ],
    ids=["model", "version", "bytes", "fewer files"],
)
def test_an_approval_of_something_else(subject, reason):
    found = standing(ALICE.says(subject=subject), BOB.says())
    assert (found.sufficient, found.rejected) == (False, (reason,))


def test_before_the_files_are_known_only_they_are_left_out():
    other = replace(SUBJECT, files={})
    assert standing(ALICE.says(), BOB.says(), subject=other, files=False).sufficient
    other = replace(other, version="5")
    assert not standing(ALICE.says(), BOB.says(), subject=other, files=False).sufficient


def test_a_withdrawal_holds_against_earlier_approvals_only():
    """Also against one that is added again, and against one with other files."""
    early, late = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    before, withdrawn = ALICE.says(at=early), ALICE.says("withdraw", at=late)
    found = standing(before, withdrawn, BOB.says(), before)
    assert found.approved_by == ("bob",)
    assert found.rejected == ("alice: withdrawn at 2026-05-04 11:00 UTC",)
    assert standing(before, withdrawn, ALICE.says(), BOB.says()).sufficient
    elsewhere = ALICE.says("withdraw", replace(SUBJECT, version="3"), late)
    assert standing(before, elsewhere, BOB.says()).sufficient
    same_moment = ALICE.says("withdraw", at=early)
    assert not standing(before, same_moment, BOB.says()).sufficient
    by_another = CAROL.says("withdraw", at=late)
    assert standing(before, by_another, BOB.says()).sufficient


def test_an_approval_ends_when_it_says():
    ends = NOW + timedelta(days=1)
    said = [ALICE.says(expires=ends), BOB.says(expires=ends + timedelta(days=1))]
    assert standing(*said).expires == ends
    assert standing(*said, CAROL.says()).expires == ends + timedelta(days=1)
    found = standing(*said, now=ends)
    assert found.rejected == ("alice: expired at 2026-05-05 12:00 UTC",)


def test_an_approval_of_the_future_does_not_count_yet():
    ahead = ALICE.says(at=NOW + timedelta(minutes=6))
    assert not standing(ahead, BOB.says()).sufficient
    assert standing(ahead, BOB.says(), now=NOW + timedelta(minutes=2)).sufficient


def test_what_no_key_of_the_file_has_signed():
    """An unknown key under a known name, an edited payload, a statement of another kind, and rubbish."""
    stranger = Person("alice", Ed25519PrivateKey.generate())
    edited = json.loads(ALICE.says(subject=replace(SUBJECT, version="3")))
    edited["payload"] = json.loads(ALICE.says())["payload"]
    other_kind = seal(
        Statement(SUBJECT, "approve", "", "alice", NOW).payload().replace(b":approval:", b":else:"),
        ALICE,
    )
    for bad in (
        stranger.says(),
        json.dumps(edited),
        other_kind,
        "",
        "{}",
        "[" * 10_000,
        "9" * 10_000,
    ):
        found = standing(bad, BOB.says())
        assert found.approved_by == ("bob",)
        assert found.rejected == ("1 signed by no key of the approvers, or not readable",)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"reason":"seen"', b'"reason":"\\ud800"'),
        (b'"version":"4"', b'"version":4'),
        (b"2026-05-04T12:00:00.000000Z", b"9999-12-31T23:59:59-23:59"),
        (b"2026-05-04T12:00:00.000000Z", b"0001-01-01T00:00:00+23:59"),
        (b"2026-05-04T12:00:00.000000Z", b"2026-05-04T12:00:00"),
    ],
    ids=["half a character", "a number", "too late", "too early", "no time zone"],
)
def test_an_approver_cannot_sign_what_cannot_be_read(before, after):
    """It counts for nothing, and the approvals beside it count."""
    payload = Statement(SUBJECT, "approve", "seen", "alice", NOW).payload()
    assert before in payload
    odd = seal(payload.replace(before, after), ALICE)
    found = standing(odd, BOB.says(), CAROL.says())
    assert found.approved_by == ("bob", "carol")
    assert TWO_OF_THREE.verified([odd]) == TWO_OF_THREE.withdrawals([odd]) == ()


def test_the_same_statement_is_kept_once_however_it_is_written():
    """Spaces in an envelope make another text, not another statement."""
    one = ALICE.says()
    assert TWO_OF_THREE.verified([one, one.replace(",", ", "), "{}", BOB.says()])[0] == one
    gone = ALICE.says("withdraw")
    assert TWO_OF_THREE.withdrawals([gone, gone.replace(",", ", ")]) == (gone,)


def test_no_approver_displaces_the_withdrawals_of_another():
    """Each has the latest 200; of several for one version, the last."""
    of_bob = BOB.says("withdraw", at=NOW - timedelta(days=1))
    flood = [ALICE.says("withdraw", replace(SUBJECT, version=str(n))) for n in range(300)]
    kept = TWO_OF_THREE.withdrawals([of_bob, *flood])
    assert (len(kept), of_bob in kept) == (201, True)
    later = BOB.says("withdraw")
    assert TWO_OF_THREE.withdrawals([of_bob, later]) == (later,)


def test_too_many_to_read_are_not_enough():
    many = ["{}"] * (MAX_ENVELOPES - 1)
    assert standing(ALICE.says(), BOB.says(), *many).sufficient is False
    assert standing(ALICE.says(), BOB.says(), *many[:-1]).sufficient


def test_withdrawals_are_found_for_every_version():
    gone = BOB.says("withdraw", replace(SUBJECT, version="9"))
    assert TWO_OF_THREE.withdrawals([ALICE.says(), gone, "{}"]) == (gone,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "not TOML in UTF-8"),
        (b"required = " + b"9" * 5000, "not TOML in UTF-8"),
        (b"required = " + b"[" * 5000, "not TOML in UTF-8"),
        (file_of(1, a=UNKNOWN_KIND), "a: not a public key in PEM or Base64"),
        (b"required = 1", r"has no \[approvers\]"),
        (file_of(0, a=ALICE.public_key.text), "not a number from 1 to 1"),
        (file_of(2, a=ALICE.public_key.text), "not a number from 1 to 1"),
        (file_of("true", a=ALICE.public_key.text), "required is True"),
        (file_of(1, a="MCow"), "a: not a public key in PEM or Base64"),
        (file_of(1, a=[]), "a: not a public key, nor a list"),
        (file_of(1, a=ALICE.public_key.text, b=ALICE.public_key.text), "a and b have the same key"),
        (b"needed = 1\n" + file_of(1, a=ALICE.public_key.text), "'needed' is unknown"),
    ],
    # Without the content, whose keys are others in each of the processes that share the tests.
    ids=lambda each: "" if isinstance(each, bytes) else None,
)
def test_a_file_that_cannot_be_used_says_why(content, message):
    with pytest.raises(ApproversError, match=message):
        Approvers.read(content)


def test_a_key_in_pem_is_the_same_key():
    pem = ALICE.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert PublicKey.read(pem.decode()) == ALICE.public_key
