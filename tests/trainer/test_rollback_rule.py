"""The rule of promotion and rollback, row by row, against a real MLflow server.

A row is a list of steps, each with the version that MLflow names after it. `3=1` is version 3,
which holds the files of version 1. `mlflow: …` is done with MLflow's own client, as its page would.
"""

import re
import threading

import pytest

from trainer.errors import TransitionError
from trainer.history import Place
from trainer.promotion import Policy

STAGE_ROWS = {
    "promote a higher number": [("promote 1", "1"), ("promote 2", "2")],
    "the first promotion takes any number": [("promote 2", "2")],
    "promote a lower number": [("promote 2", "2"), ("promote 1", "3=1")],
    "promote a lower number again while its copy serves": [
        ("promote 2", "2"),
        ("promote 1", "3=1"),
        ("promote 1", "3=1"),
        ("rollback", "2"),
    ],
    "promote a lower number, then roll back": [
        ("promote 2", "2"),
        ("promote 1", "3=1"),
        ("rollback", "2"),
    ],
    "promote a lower number, then demote it in MLflow": [
        ("promote 2", "2"),
        ("promote 1", "3=1"),
        ("mlflow: 3 to Archived", "2"),
    ],
    "demote in MLflow to Archived": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("mlflow: 2 to Archived", "1"),
    ],
    "demote in MLflow to None": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("mlflow: 2 to None", "1"),
    ],
    "demote in MLflow to Staging": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("mlflow: 2 to Staging", "1"),
    ],
    "demote the last one in MLflow": [("promote 1", "1"), ("mlflow: 1 to Archived", None)],
    "three promotions, then three demotions in MLflow": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("mlflow: 3 to Archived", "2"),
        ("mlflow: 2 to None", "1"),
        ("mlflow: 1 to Staging", None),
    ],
    "demote with the trainer": [("promote 1", "1"), ("promote 2", "2"), ("demote 2", "1")],
    "demote the last one with the trainer": [("promote 1", "1"), ("demote 1", None)],
    "roll back": [("promote 1", "1"), ("promote 2", "2"), ("rollback", "1")],
    "roll back twice": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("rollback", "2"),
        ("rollback", "1"),
    ],
    "roll back with nothing beneath": [("promote 1", "1"), ("rollback refused", "1")],
    "roll back with nothing in Production": [("rollback refused", None)],
    "promote again what was rolled back": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("rollback", "1"),
        ("promote 2", "2"),
        ("rollback", "1"),
    ],
    "promote a lower number after a chain": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("promote 1", "4=1"),
        ("rollback", "3"),
        ("rollback", "2"),
    ],
    "promote one that is in Production beneath the champion": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 1", "3=1"),
        ("mlflow: 3 to None", "2"),
        ("mlflow: 2 to None", "1"),
    ],
    "promote the champion": [("promote 2", "2"), ("promote 2", "2")],
    "demote one in the middle": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("demote 2", "3"),
        ("rollback", "1"),
    ],
    "demote one in the middle in MLflow": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("mlflow: 2 to Archived", "3"),
        ("mlflow: 3 to Archived", "1"),
    ],
    "someone archives the others while promoting in MLflow": [
        ("promote 1", "1"),
        ("mlflow: 2 to Production, archive others", "2"),
        ("rollback refused", "2"),
        ("promote 1", "3=1"),
        ("rollback", "2"),
    ],
    "someone promotes a lower number in MLflow": [
        ("promote 2", "2"),
        ("mlflow: 1 to Production", "2"),
        ("rollback", "1"),
    ],
    "promote from Staging": [("promote 1", "1"), ("stage 2", "1"), ("promote 2", "2")],
}

ALIAS_ROWS = {
    "promote a higher number": [("promote 1", "1"), ("promote 2", "2")],
    "the first promotion takes any number": [("promote 2", "2")],
    "promote a lower number": [("promote 2", "2"), ("promote 1", "1")],
    "promote a lower number, then roll back": [
        ("promote 2", "2"),
        ("promote 1", "1"),
        ("rollback", "2"),
    ],
    "move the alias back in MLflow": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("mlflow: alias to 1", "1"),
    ],
    "delete the alias in MLflow": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("mlflow: alias to none", None),
        ("rollback refused", None),
    ],
    "three promotions, then three demotions with the trainer": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("demote 3", "2"),
        ("demote 2", "1"),
        ("demote 1", None),
    ],
    "roll back": [("promote 1", "1"), ("promote 2", "2"), ("rollback", "1")],
    "roll back twice": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("rollback", "2"),
        ("rollback", "1"),
    ],
    "roll back with nothing beneath": [("promote 1", "1"), ("rollback refused", "1")],
    "roll back with nothing in Production": [("rollback refused", None)],
    "promote again what was rolled back": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("rollback", "1"),
        ("promote 2", "2"),
        ("rollback", "1"),
    ],
    "promote a lower number after a chain": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("promote 1", "1"),
        ("rollback", "3"),
        ("rollback", "2"),
        ("rollback refused", "2"),
    ],
    "promote the champion": [("promote 2", "2"), ("promote 2", "2")],
    "demote one in the middle": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("demote 2", "3"),
        ("rollback", "1"),
    ],
    "roll back after someone moved the alias back in MLflow": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("promote 3", "3"),
        ("mlflow: alias to 2", "2"),
        ("rollback", "1"),
    ],
    "promote over what someone moved the alias back to": [
        ("promote 1", "1"),
        ("promote 2", "2"),
        ("mlflow: alias to 1", "1"),
        ("promote 3", "3"),
        ("rollback", "1"),
    ],
    "promote over what someone moved the alias on to": [
        ("promote 1", "1"),
        ("mlflow: alias to 2", "2"),
        ("promote 3", "3"),
        ("rollback", "2"),
        ("rollback", "1"),
    ],
    "promote from Staging": [("promote 1", "1"), ("stage 2", "1"), ("promote 2", "2")],
}


def rows(table):
    """The rows as parameters; one without a kind of step that no longer one has is left to `make test-all`."""
    known, quick = set(), set()
    for name, steps in sorted(table.items(), key=lambda row: -len(row[1])):
        new = {*kinds(steps)} - known
        known |= new
        quick |= {name} if new else set()
    return [
        pytest.param(steps, id=name, marks=() if name in quick else pytest.mark.whole)
        for name, steps in table.items()
    ]


def kinds(steps):
    """The steps without numbers, each with what it does to the number that serves: up, down, a copy, none."""
    before = 0
    for step, serves in steps:
        after = int((serves or "0")[0])
        copy = "=" in (serves or "")
        yield re.sub(r"\d", "N", step), copy, (after > before) - (after < before), after == 0
        before = after


@pytest.mark.parametrize("steps", rows(STAGE_ROWS))
def test_by_stage(shelf, steps):
    for _ in range(needed(steps)):
        shelf.add()
    for step, expected in steps:
        take(shelf, step, shelf.lifecycle())
        assert serving(shelf, shelf.latest(), expected) == expected, step


@pytest.mark.parametrize("steps", rows(ALIAS_ROWS))
def test_by_alias(shelf, steps):
    for _ in range(needed(steps)):
        shelf.add()
    for step, expected in steps:
        take(shelf, step, shelf.lifecycle("production"))
        assert shelf.named("production") == expected, step


def needed(steps):
    """How many versions a row speaks of, beside the copies."""
    promoted = re.compile(r"(?:promote|stage|alias to) (\d)|mlflow: (\d) to Production")
    found = [int(one or other) for step, _ in steps for one, other in promoted.findall(step)]
    return max(found, default=1)


def take(shelf, step, lifecycle):
    match step.replace(",", "").split():
        case ["promote", version]:
            lifecycle.promote(version, Policy())
        case ["stage", version]:
            lifecycle.stage(version)
        case ["demote", version]:
            lifecycle.demote(version)
        case ["rollback"]:
            lifecycle.roll_back()
        case ["rollback", "refused"]:
            with pytest.raises(TransitionError):
                lifecycle.roll_back()
        case ["mlflow:", "alias", "to", "none"]:
            shelf.client.delete_registered_model_alias(shelf.name, "production")
        case ["mlflow:", "alias", "to", version]:
            shelf.client.set_registered_model_alias(shelf.name, "production", version)
        case ["mlflow:", version, "to", stage, *archive]:
            shelf.set_stage(version, stage, archive=bool(archive))
        case _:
            raise ValueError(step)


def serving(shelf, version, expected):
    """The version, with `=` and the one whose files it holds where the row says so."""
    if version is None or "=" not in (expected or ""):
        return version
    versions = shelf.registry.versions()
    same = [n for n, other in versions.items() if other.source == versions[version].source]
    return f"{version}={min(same, key=int)}"


@pytest.mark.whole
@pytest.mark.parametrize("alias", [None, "production"], ids=["stage", "alias"])
def test_no_moment_in_which_nothing_is_in_production(shelf, alias):
    """During promotions up and down and rollbacks, every request gets a version."""
    for _ in range(3):
        shelf.add()
    lifecycle = shelf.lifecycle(alias)
    lifecycle.promote("1", Policy())
    answers, done = [], threading.Event()

    def ask():
        while not done.is_set():
            answers.append(shelf.named(alias) if alias else shelf.latest())

    asking = threading.Thread(target=ask)
    asking.start()
    for version in ("2", "3", "1"):
        lifecycle.promote(version, Policy())
    for _ in range(2):
        lifecycle.roll_back()
    done.set()
    asking.join()

    assert None not in answers
    assert len(set(answers)) > 1


def test_a_copy_keeps_what_the_version_says_about_itself(shelf):
    """Description, run, source and annotations are the same; the transitions stay with the old."""
    shelf.add(tags={"parity": "passed", "dataset_digest": "d1", "seed": "7"})
    shelf.add()
    lifecycle = shelf.lifecycle()
    lifecycle.stage("1")
    lifecycle.promote("2", Policy())

    outcome = lifecycle.promote("1", Policy())

    assert (outcome.version, outcome.copied_from) == ("3", "1")
    old, copy = (shelf.registry.version(number) for number in ("1", "3"))
    assert (copy.source, copy.run_id, copy.description) == (old.source, old.run_id, old.description)
    tags = {key: tag for key, tag in copy.tags.items() if not key.startswith("hotswap.transition.")}
    assert tags.pop("hotswap.stage_changed") != old.tags["hotswap.stage_changed"]
    assert tags.pop("hotswap.registration") != old.tags["hotswap.registration"]
    assert tags == {
        "parity": "passed",
        "dataset_digest": "d1",
        "seed": "7",
        "hotswap.copied_from": "1",
    }
    assert sum(key.startswith("hotswap.transition.") for key in copy.tags) == 1


def test_refused_rollback_names_the_version_that_was_there_before(shelf):
    shelf.add(), shelf.add()
    shelf.lifecycle().promote("1", Policy())
    shelf.set_stage("2", "Production", archive=True)
    with pytest.raises(
        TransitionError, match=r"promote 1 --to Production --model .* brings back version 1"
    ):
        shelf.lifecycle().roll_back()


def test_refused_rollback_names_no_version_that_was_rolled_back(shelf):
    shelf.add(), shelf.add()
    lifecycle = shelf.lifecycle()
    lifecycle.promote("1", Policy())
    lifecycle.promote("2", Policy())
    lifecycle.roll_back()
    with pytest.raises(TransitionError, match="none; promote another version, and"):
        lifecycle.roll_back()


def test_by_alias_no_stage_is_read_or_written(shelf):
    """Stages that say otherwise change nothing, and are not changed."""
    for _ in range(3):
        shelf.add()
    shelf.set_stage("3", "Production")
    stages = stages_of(shelf.everything())
    blind = BlindToStages(shelf.client)
    sighted, shelf = shelf, type(shelf)(blind, shelf.name, shelf.new_run)
    lifecycle = shelf.lifecycle("production")

    lifecycle.promote("1", Policy())
    lifecycle.stage("2")
    lifecycle.promote("2", Policy())
    lifecycle.promote("1", Policy())
    assert shelf.named("production") == "1"
    lifecycle.roll_back()
    assert shelf.named("production") == "2"
    lifecycle.demote("2", Place.STAGING)
    assert (shelf.named("production"), shelf.named("staging")) == (None, "2")

    assert stages_of(sighted.everything()) == stages


def stages_of(everything):
    return {number: stage for number, (stage, *_) in everything[1].items()}


class BlindToStages:
    """MLflow's client, on which every way to a stage is an error."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        assert name not in {
            "transition_model_version_stage",
            "get_latest_versions",
            "get_model_version_stages",
        }, f"{name} is about stages"
        return getattr(self.client, name)

    def search_model_versions(self, *args, **kwargs):
        page = self.client.search_model_versions(*args, **kwargs)
        page[:] = [StagelessVersion(version) for version in page]
        return page


class StagelessVersion:
    def __init__(self, version):
        self._version = version

    def __getattr__(self, name):
        assert name != "current_stage", "a stage was read"
        return getattr(self._version, name)
