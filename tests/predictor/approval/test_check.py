"""Counting approvals with a file of approvers and a source that the test controls."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from approvals.approvers import MAX_ENVELOPES
from approvals.statement import APPROVAL_TAG, Subject
from predictor.approval.check import SignedApprovals
from predictor.approval.files import ApproversFile, Withdrawals
from predictor.errors import CacheError
from predictor.events import ApprovalsChanged, CacheFailed, KeysNotRead, KeysRead, RegistryAnswered
from predictor.model.artifact import Artifact
from predictor.model_version import ModelVersion
from tests.approvals.test_approvers import ALICE, BOB, CAROL, UNKNOWN_KIND, file_of
from tests.predictor.parts import RecordedEvents

FILES = Artifact("model.onnx", {"MLmodel": "a" * 64, "model.onnx": "b" * 64})


def subject(version="4", **files):
    return Subject("m", version, {**FILES.digests, **files})


def says(person, decision="approve", *, about=None, ago=1.0, **more):
    at = datetime.now(UTC) - timedelta(minutes=ago)
    return person.says(decision, about or subject(), at, **more)


def version(*envelopes, number="4"):
    tags = {f"{APPROVAL_TAG}{place}": text for place, text in enumerate(envelopes)}
    return ModelVersion("m", number, "s", 1, tags={"other": "tag", **tags})


@dataclass
class Serving:
    """What the approvals read of a servable."""

    model_version: ModelVersion
    artifact: Artifact = FILES


class World:
    """Approvals, what they wrote, and the tags of a version that the registry no longer names."""

    def __init__(self, folder):
        self.path, self.withdrawals = folder / "approvers.toml", folder / "withdrawals.json"
        self.recorded = RecordedEvents()
        self.newest_version, self.asked, self.tags = None, [], []
        self.full = False
        self.people(ALICE, BOB, CAROL)
        self.restart()

    def people(self, *people, required=2):
        keys = {each.name: each.public_key.text for each in people}
        self.path.write_bytes(file_of(required, **keys))

    def restart(self):
        file, withdrawals = ApproversFile(self.path), Withdrawals(self.withdrawals)
        self.approvals = SignedApprovals(file, withdrawals, self, self.recorded)

    async def poll(self, aspired):
        await self.approvals.update(aspired)
        self.approvals.observe(RegistryAnswered(aspired, changed=False))
        while self.approvals._saving:
            await asyncio.wait(self.approvals._saving)

    async def newest(self, version):
        self.asked.append(version.version)
        return self.newest_version

    async def retag(self, version):
        self.tags.append({v for k, v in version.tags.items() if k.startswith(APPROVAL_TAG)})

    async def keep_withdrawals(self, envelopes):
        if self.full:
            raise CacheError("given the withdrawals", OSError("full"))
        self.withdrawals.write_bytes(msgspec.json.encode(envelopes))

    def serves(self, version):
        self.approvals.serves(Serving(version))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_the_files_count_once_they_are_known(world):
    """All but the input example, unless that is the graph."""
    approved = version(says(ALICE), says(BOB, about=subject(MLmodel="c" * 64)))
    assert world.approvals.refusal(approved) is None
    reason = "1 of 2 approvals (alice); bob: approved other files of this version"
    missing = "1 more needed, of bob, carol"
    assert world.approvals.refusal(approved, FILES) == f"{reason}; {missing}"
    both = version(says(ALICE), says(BOB))
    digests = {**FILES.digests, "input_example.json": "c" * 64}
    assert world.approvals.refusal(both, Artifact("model.onnx", digests)) is None
    assert world.approvals.refusal(both, Artifact("input_example.json", digests)) is not None


async def test_the_newest_tags_count_and_those_kept_of_the_serving_version(world):
    """A deleted tag takes nothing back, a withdrawal does; the cache gets what is added."""
    first = version(says(ALICE), says(BOB))
    await world.poll(first)
    assert world.approvals.refusal(version()) is None
    world.serves(first)
    await world.poll(version())
    assert world.approvals.refusal(first, FILES) is None
    assert world.approvals.refusal(version(number="5")) == (
        "0 of 2 approvals; 2 more needed, of alice, bob, carol"
    )
    carols, gone = says(CAROL), says(BOB, "withdraw", ago=0)
    await world.poll(version(carols, "junk"))
    assert world.tags == [{*first.tags.values(), carols} - {"tag"}]
    await world.poll(version(gone, says(ALICE, "withdraw", ago=0)))
    assert world.approvals.refusal(first, FILES).startswith("1 of 2 approvals (carol)")


async def test_the_serving_version_is_asked_about_while_another_is_desired(world):
    """Only then."""
    first = version(says(ALICE), says(BOB))
    await world.poll(first)
    world.serves(first)
    await world.poll(first)
    assert world.asked == []
    world.newest_version = version(says(ALICE, "withdraw", ago=0))
    await world.poll(version(number="5"))
    assert world.asked == ["4"]
    assert world.approvals.refusal(first, FILES).startswith("1 of 2 approvals (bob)")
    world.newest_version = replace(world.newest_version, created_ms=2)  # registered anew
    await world.poll(None)
    assert world.approvals.refusal(first, FILES).startswith("1 of 2 approvals (bob)")


async def test_a_withdrawal_that_was_seen_counts_for_good(world):
    """After a restart, and for another worker; until its approver approves again."""
    approved = version(says(ALICE), says(BOB))
    other = World(world.path.parent)
    await world.poll(version(*approved.tags.values(), says(BOB, "withdraw", ago=0.5)))
    await world.poll(approved)
    assert "bob: withdrawn" in world.approvals.refusal(approved)
    assert other.approvals.refusal(approved) is None
    assert await other.approvals.reload()
    assert "bob: withdrawn" in other.approvals.refusal(approved)
    world.restart()
    assert "bob: withdrawn" in world.approvals.refusal(approved)
    assert world.approvals.refusal(version(says(ALICE), says(BOB, ago=0))) is None


async def test_a_withdrawal_outlasts_the_absence_of_its_key(world):
    """The key is back: the withdrawal holds."""
    approved = version(says(ALICE), says(BOB))
    await world.poll(version(says(BOB, "withdraw", ago=0)))
    world.people(ALICE, CAROL)
    assert await world.approvals.reload()
    await world.poll(version(says(CAROL, "withdraw", ago=0)))
    world.restart()
    world.people(ALICE, BOB, CAROL)
    await world.approvals.reload()
    await world.poll(approved)
    assert "bob: withdrawn" in world.approvals.refusal(approved)


async def test_a_damaged_file_of_withdrawals_is_empty(world):
    """The service starts, and the next withdrawal is stored in its place."""
    world.withdrawals.write_bytes(b'["\xff"]')
    world.restart()
    gone = says(BOB, "withdraw")
    await world.poll(version(says(ALICE), says(BOB), gone))
    assert msgspec.json.decode(world.withdrawals.read_bytes()) == [gone]


async def test_a_withdrawal_that_cannot_be_stored_is_reported_and_counts(world):
    """It is written as soon as that is possible."""
    world.full = True
    approved, gone = version(says(ALICE), says(BOB)), says(BOB, "withdraw", ago=0)
    await world.poll(version(gone))
    await world.poll(approved)
    (failure,) = world.recorded.of(CacheFailed)
    assert "whose withdrawal was deleted" in failure.reason
    assert "bob: withdrawn" in world.approvals.refusal(approved)
    world.full = False
    await world.poll(approved)
    assert msgspec.json.decode(world.withdrawals.read_bytes()) == [gone]


@pytest.mark.parametrize(
    "content", [b"required = 0", b"required = " + b"9" * 5000, file_of(1, alice=UNKNOWN_KIND)]
)
async def test_a_broken_file_of_approvers_changes_nothing(world, content):
    """It is reported; a repaired one is, too."""
    approved = version(says(ALICE), says(BOB))
    world.path.write_bytes(content)
    for _ in range(2):
        assert not await world.approvals.reload()
    assert [each.first for each in world.recorded.of(KeysNotRead)] == [True, False]
    assert world.approvals.refusal(approved) is None
    world.people(ALICE, CAROL)
    assert await world.approvals.reload()
    assert [each.keys for each in world.recorded.of(KeysRead)] == [2]
    assert world.approvals.refusal(approved).startswith("1 of 2 approvals (alice)")


async def test_a_change_is_reported_once(world):
    """Who has approved the desired and the serving version."""
    for _ in range(3):
        await world.poll(version(says(ALICE, ago=1)))
    (change,) = world.recorded.of(ApprovalsChanged)
    assert (change.required, change.serving) == (2, None)
    assert change.desired[1].approved_by == ("alice",)
    approved = version(says(ALICE), says(BOB))
    await world.poll(approved)
    world.serves(approved)
    await world.poll(version(number="5"))
    change = world.recorded.of(ApprovalsChanged)[-1]
    assert (change.serving[1].approved_by, change.desired[1].approved_by) == (("alice", "bob"), ())


async def test_files_that_were_refused_are_described_as_such(world):
    """Not as approved, though nothing but the files is wrong."""
    other = version(says(ALICE), says(BOB, about=subject(MLmodel="c" * 64)))
    await world.poll(other)
    assert world.approvals.describe().desired[1].sufficient
    assert world.approvals.refusal(other, FILES)
    assert not world.approvals.describe().desired[1].sufficient
    assert world.approvals.refusal(other) is None  # they are fetched again


async def test_thousands_of_tags_are_not_read(world):
    """They are too many to count, whatever is among them."""
    many = version(says(ALICE), says(BOB), *(f"{{{n}" for n in range(1990)))
    await world.poll(many)
    assert len(world.approvals._file.approvers._known) <= MAX_ENVELOPES + 1
    assert "more than 200" in world.approvals.refusal(many)
