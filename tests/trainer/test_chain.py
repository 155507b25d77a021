"""The chain of the history: what was changed, removed or inserted is shown, and what was only at the same moment."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from approvals.envelope import seal
from approvals.statement import APPROVAL_TAG, Statement, Subject
from trainer import tag_names
from trainer.chain import entries, next_links, verify
from trainer.history import Place, Transition, read_transition, recorded
from trainer.promotion import Policy
from trainer.signing_keys import FileSigner

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANN, BOB, EVE = (FileSigner(name, Ed25519PrivateKey.generate()) for name in ("ann", "bob", "eve"))
KEYS = {each.name: (each.public_key,) for each in (ANN, BOB)}


@dataclass
class Registry:
    """The tags of the versions of one model, as MLflow would have them."""

    tags: dict = field(default_factory=dict)

    def move(self, version, hour, signer=ANN, *, seen=None, model="m", seconds=0):
        """A transition by somebody who sees these tags, and all if not said."""
        links, start = next_links(entries("m", self.tags if seen is None else seen))
        when = NOON + timedelta(hours=hour, seconds=seconds)
        made = Transition(
            version, Place.NONE, Place.PRODUCTION, when, signer.name if signer else "somebody", "why",
            "stage", model=model, previous=links, start=start,
        )  # fmt: skip
        return self.put(made, signer)

    def put(self, made, signer=None, version=None):
        key = made.tag_key
        self.tags.setdefault(version or made.version, {})[key] = made.tag_value(
            signer, "models:/m-1"
        )
        return key

    def old(self, version, hour, why=""):
        """An entry of an older trainer."""
        when = NOON + timedelta(hours=hour)
        return self.put(Transition(version, Place.NONE, Place.STAGING, when, "old", why, "stage"))

    def copy(self):
        return {version: dict(tags) for version, tags in self.tags.items()}

    def check(self, keys=KEYS):
        report = verify(entries("m", self.tags), keys)
        return [
            (each.id.partition("/")[0], each.status.value, each.fault) for each in report.entries
        ]

    def remarks(self):
        return [each.remark for each in verify(entries("m", self.tags), KEYS).entries]

    def edit(self, version, key, **changes):
        """Change the record of an unsigned entry."""
        record = json.loads(self.tags[version][key]) | changes
        self.tags[version][key] = json.dumps(record)


VERIFIED = "verified"


def signed_history():
    registry = Registry()
    keys = [registry.move(version, hour) for hour, version in enumerate("1213")]
    return registry, keys


def test_a_signed_history_is_verified_across_versions():
    registry, _ = signed_history()
    report = verify(entries("m", registry.tags), KEYS)
    assert [each.who for each in report.entries] == ["ann"] * 4
    assert registry.check() == [(version, VERIFIED, False) for version in "1213"]
    assert report.intact
    (head,) = report.heads
    assert head.entry.startswith("3/")
    assert report.has(head.sha256)
    assert not report.has("0" * 64)


def test_old_entries_stay_readable_and_are_covered_by_the_first_signature():
    registry = Registry()
    for hour in range(3):
        registry.old("1", hour)
    registry.move("2", 3, None)
    registry.move("2", 4)
    assert registry.check() == [
        *[("1", "unsigned", False)] * 3,
        ("2", "unsigned", False),
        ("2", VERIFIED, False),
    ]
    assert len(recorded("1", registry.tags["1"])) == 3
    assert registry.remarks()[0] == "covered by a later signature"


def test_without_signatures_nothing_is_proven():
    registry = Registry()
    registry.old("1", 0)
    registry.move("1", 1, None)
    assert registry.check() == [("1", "unsigned", True)] * 2
    assert Registry().check() == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_entry_that_was_removed_leaves_a_gap(place):
    registry, keys = signed_history()
    version = "1213"[place]
    del registry.tags[version][keys[place]]
    expected = [(each, VERIFIED, False) for each in "1213"]
    expected[place] = (version, "removed", True)
    assert registry.check() == expected


def test_two_that_were_removed_leave_one_gap():
    """What is before them is not blamed."""
    registry, keys = signed_history()
    del registry.tags["2"][keys[1]]
    del registry.tags["1"][keys[2]]
    assert registry.check() == [
        ("1", VERIFIED, False),
        ("1", "removed", True),
        ("3", VERIFIED, False),
    ]


def test_a_version_that_was_deleted():
    registry, _ = signed_history()
    del registry.tags["2"]
    assert ("2", "removed", True) in registry.check()


def test_the_newest_entries_can_be_cut_off():
    """The chain cannot show it; a hash that was noted before does."""
    registry, keys = signed_history()
    (head,) = verify(entries("m", registry.tags), KEYS).heads
    del registry.tags["3"][keys[3]]
    report = verify(entries("m", registry.tags), KEYS)
    assert report.intact
    assert not report.has(head.sha256)


def test_a_signed_entry_that_was_changed():
    registry, keys = signed_history()
    envelope = json.loads(registry.tags["3"][keys[3]])
    other = json.loads(registry.tags["1"][keys[0]])
    registry.tags["3"][keys[3]] = json.dumps(envelope | {"payload": other["payload"]})
    assert (
        "3",
        "changed",
        True,
    ) not in registry.check()  # it is about version 1 now, and counts nowhere
    registry.tags["1"][keys[0]] = json.dumps(other | {"signatures": envelope["signatures"]})
    assert registry.check()[0] == ("1", "changed", True)


@pytest.mark.parametrize("value", ["", "{}", "nonsense", '{"payload": "e30="}'])
def test_an_entry_that_is_not_readable_any_more(value):
    registry, keys = signed_history()
    registry.tags["2"][keys[1]] = value
    expected = [(each, VERIFIED, False) for each in "1213"]
    expected[1] = ("2", "changed", True)
    assert registry.check() == expected


def test_an_unsigned_entry_that_was_changed():
    """The next one names another hash."""
    registry = Registry()
    keys = [registry.move("1", hour, None) for hour in range(2)]
    registry.move("1", 2)
    registry.edit("1", keys[0], who="somebody else")
    assert registry.check()[0] == ("1", "changed", True)
    assert registry.check()[1] == ("1", "unsigned", False)
    registry.edit("1", keys[1], why="for another reason")
    assert [each[1] for each in registry.check()] == ["unsigned", "changed", VERIFIED]


def test_a_signature_that_was_taken_away():
    """An entry cannot become one that nobody has to have signed."""
    registry, keys = signed_history()
    said = read_transition("1", registry.tags["1"][keys[2]])
    registry.put(said)
    assert registry.check()[2] == ("1", "changed", True)
    said = read_transition("3", registry.tags["3"][keys[3]])
    registry.put(said)
    assert registry.check()[3] == ("3", "unsigned", True)


def test_an_unsigned_entry_cannot_blame_a_signed_one():
    registry, _ = signed_history()
    made = registry.move("3", 5, None)
    record = json.loads(registry.tags["3"][made])
    record["previous"][0]["sha256"] = "0" * 64
    registry.edit("3", made, previous=record["previous"])
    assert registry.check() == [
        *[(each, VERIFIED, False) for each in "1213"],
        ("3", "changed", True),
    ]


@pytest.mark.parametrize(
    "signer", [None, EVE, BOB], ids=["unsigned", "unknown key", "key of another"]
)
def test_an_entry_that_was_inserted(signer):
    """Later, with an earlier date: those around it do not know it."""
    registry = Registry()
    registry.move("1", 0)
    seen = registry.copy()
    registry.move("2", 1)
    registry.move("1", 4)
    registry.move("3", 2.5, signer, seen=seen)
    assert registry.check()[2] == ("3", "inserted", True)
    assert [each for each in registry.check() if not each[2]] == [
        (version, VERIFIED, False) for version in "121"
    ]


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("key", ["hotswap.transition.20261123T150000000001Z", "transition."])
def test_a_copy_of_an_entry_in_another_tag(place, key):
    """Anybody who may write tags can make one, and its signature fits. Neither it nor a next entry blames others."""
    registry, keys = signed_history()
    version = "1213"[place]
    original = keys[place]
    key = key if key.endswith("Z") else key + original.rpartition(".")[2]
    registry.tags[version][key] = registry.tags[version][original]
    blamed = (version, "inserted", True)
    assert sorted(registry.check()) == sorted(
        [*((each, VERIFIED, False) for each in "1213"), blamed]
    )
    assert not any("fork" in each for each in registry.remarks())
    registry.move("2", 9)
    assert sorted(registry.check()) == sorted(
        [*((each, VERIFIED, False) for each in "12132"), blamed]
    )
    del registry.tags[version][key]
    assert registry.check() == [(each, VERIFIED, False) for each in "12132"]


def test_an_entry_that_was_moved_to_another_tag():
    """Its own place is empty."""
    registry, keys = signed_history()
    registry.tags["2"]["hotswap.transition.20261123T130000000001Z"] = registry.tags["2"].pop(
        keys[1]
    )
    found = [("1", VERIFIED), ("1", VERIFIED), ("2", "inserted"), ("2", "removed"), ("3", VERIFIED)]
    assert sorted(each[:2] for each in registry.check()) == found


def test_the_next_entry_does_not_make_an_inserted_one_good():
    registry = Registry()
    registry.move("1", 0)
    seen = registry.copy()
    registry.move("2", 1)
    registry.move("1", 4)
    registry.move("3", 2.5, None, seen=seen)
    registry.move("1", 5)
    assert registry.check()[2] == ("3", "inserted", True)
    registry.move("3", 5.5, None)
    registry.move("1", 6)
    assert registry.check()[5] == ("3", "unsigned", True)


def test_an_entry_of_an_older_trainer_after_the_chain_began():
    registry, _ = signed_history()
    registry.old("1", 2.5)
    assert registry.check()[3] == ("1", "inserted", True)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda r: r.old("1", 2), "inserted"),
        (lambda r: r.tags["1"].popitem(), "removed"),
        (lambda r: r.edit("1", min(r.tags["1"]), why="x"), "changed"),
    ],
)
def test_the_entries_before_the_chain_are_counted_and_hashed(change, status):
    registry = Registry()
    for hour in (0, 1):
        registry.old("1", hour)
    registry.move("2", 3)
    change(registry)
    assert ("before the chain", status, True) in registry.check()


def test_two_at_the_same_moment_are_a_fork_and_no_attack():
    """Neither saw the other; the next entry names both."""
    registry = Registry()
    registry.move("1", 0)
    seen = registry.copy()
    registry.move("2", 1)
    registry.move("3", 1, BOB, seen=seen, seconds=2)
    assert registry.check() == [(each, VERIFIED, False) for each in "123"]
    assert len(verify(entries("m", registry.tags), KEYS).heads) == 2
    one, other = registry.remarks()[1:]
    assert one.startswith("a fork: at the same moment as 3/")
    assert other.startswith("a fork: at the same moment as 2/")
    registry.move("1", 2)
    registry.move("2", 3)
    assert registry.check() == [(each, VERIFIED, False) for each in "12312"]


def test_two_that_start_the_chain_at_the_same_moment():
    registry = Registry()
    registry.old("1", -1)
    seen = registry.copy()
    registry.move("2", 0)
    registry.move("3", 0, seen=seen, seconds=1)
    registry.move("1", 1)
    assert not any(fault for _, _, fault in registry.check())


def test_a_key_that_nobody_knows():
    registry = Registry()
    registry.move("1", 0, EVE)
    registry.move("1", 1)
    assert registry.check() == [("1", "unknown key", True), ("1", VERIFIED, False)]
    assert registry.remarks()[0] == "signed by no known key; not changed since"


def test_copies_of_entries_count_nowhere():
    """MLflow copies a version with its tags: within a model, and to another."""
    registry, _ = signed_history()
    registry.tags["9"] = dict(registry.tags["1"])
    assert registry.check() == [(each, VERIFIED, False) for each in "1213"]
    assert recorded("9", registry.tags["9"]) == []
    assert verify(entries("other", registry.tags), KEYS).entries == ()


def test_an_approval_is_no_transition_and_a_transition_no_approval():
    """They have different types, so neither can be used as the other."""
    registry, _ = signed_history()
    approved = seal(Statement(Subject("m", "1", {}), "approve", "", "ann", NOON).payload(), ANN)
    assert read_transition("1", approved) is None
    with pytest.raises(Exception, match="not a statement about a model version"):
        Statement.read(entries("m", registry.tags)[0].envelope.payload)
    assert not APPROVAL_TAG.startswith(tag_names.TRANSITIONS)


class Stale:
    """A pointer whose first state is older than what somebody else has done since."""

    def __init__(self, pointer, states):
        self._pointer = pointer
        self._states = states

    def __getattr__(self, name):
        return getattr(self._pointer, name)

    def state(self):
        return self._states.pop() if self._states else self._pointer.state()


def test_a_promotion_of_two_people_at_once(shelf):
    """On the real server: both are recorded, and the next transition names both."""
    for _ in range(3):
        shelf.add()
    first = shelf.lifecycle()
    first.promote("1", Policy())
    second = shelf.lifecycle(who="other@here")
    state = second._pointer.state()
    second._pointer = Stale(second._pointer, [state])
    first.promote("2", Policy())
    second.promote("3", Policy())
    first.roll_back()
    tags = {number: each.tags for number, each in shelf.registry.versions().items()}
    report = verify(entries(shelf.name, tags), {})
    assert [each.status for each in report.entries] == ["unsigned"] * 4
    assert "a fork" in report.entries[1].remark
    assert len(report.heads) == 1


def test_the_command(ward):
    """Signed by a key that is chosen, verified with a file of approvers, and a tag that somebody edits."""
    for _ in range(2):
        ward.add()
    ward.person("alice")
    assert "no transition" in ward.ok("history", "--verify")
    assert ward.run("history", "--anchor", "").exit_code == 1  # a variable that is not set
    ward.ok("promote", "1", "--to", "Production", "--reason", "first")
    ward.ok("promote", "2", "--to", "Production", "--key", "alice", "--who", "not her")
    people = ["--approvers", ward.approvers(1, "alice")]
    shown = ward.ok("history", "--verify", *people)
    assert [line.split()[5:7] for line in shown.splitlines()[1:3]][1][
        0
    ] == "alice" or "verified" in shown
    hash_of_head = shown.split()[-1]
    assert "alice" in ward.ok("history", "2")
    assert ward.run("history", "--verify", "--anchor", hash_of_head, *people).exit_code == 0
    ((key, value),) = ward.tags("1", tag_names.TRANSITION).items()
    ward.shelf.registry.set_tag("1", key, value.replace("first", "other"))
    edited = ward.run("history", "--verify", *people)
    assert (edited.exit_code, "changed" in edited.output) == (1, True)
    ((key, _),) = ward.tags("2", tag_names.TRANSITION).items()
    ward.shelf.registry.delete_tag("2", key)
    cut = ward.run("history", "--verify", "--anchor", hash_of_head, *people)
    assert "no entry has the hash" in cut.output
