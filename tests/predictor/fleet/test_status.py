"""The status of one process: what others hear of it, and when."""

import json

import pytest

from predictor.events import LoadFailed, RegistryAnswered, RegistryFailed, Swapped
from predictor.fleet.status import ReplicaStatus, replica_name, subject_of, token
from predictor.model_version import ModelVersion

THREE, FOUR = (ModelVersion("m", number, f"models:/m/{number}", 0) for number in ("3", "4"))


@pytest.fixture
def status() -> ReplicaStatus:
    return ReplicaStatus("pod-a:8000", "models:/m/Production")


def fields(status: ReplicaStatus) -> tuple[object, ...]:
    found = json.loads(status.encode())
    return found["serves"], found["desired"], found["fault"]


def test_a_promotion_is_news_twice(status):
    """The registry names a version, then it serves; a poll that changes nothing is no news."""
    assert fields(status) == (None, None, None)
    assert status.observe(RegistryAnswered(THREE, changed=True))
    assert fields(status) == (None, "3", None)
    assert status.observe(Swapped(None, THREE, "promoted"))
    assert fields(status) == ("3", "3", None)
    assert not status.observe(RegistryAnswered(THREE, changed=False))
    assert status.observe(RegistryAnswered(None, changed=True, no_version_reason="demoted"))
    assert status.observe(Swapped(THREE, None, "withdrawn"))
    assert fields(status) == (None, None, None)


def test_a_failed_load_is_a_fault_until_another_version_is_named(status):
    """Polls that name the same version do not hide it."""
    status.observe(RegistryAnswered(FOUR, changed=True))
    failed = LoadFailed(FOUR, "digest", "the files changed", 1, 2.0, THREE)
    assert status.observe(failed)
    status.observe(RegistryAnswered(FOUR, changed=False))
    assert fields(status)[2] == "version 4, digest: the files changed"
    status.observe(RegistryAnswered(THREE, changed=True))
    assert fields(status) == (None, "3", None)


def test_a_registry_that_does_not_answer_is_a_fault_until_it_does(status):
    """The time of its last answer stays."""
    status.observe(RegistryAnswered(THREE, changed=True))
    answered = json.loads(status.encode())["registry_answered_at"]
    assert status.observe(RegistryFailed("unreachable", "no route " * 200, None, first=True))
    assert not status.observe(RegistryFailed("unreachable", "no route " * 200, None, first=False))
    found = json.loads(status.encode())
    assert found["registry_answered_at"] == answered
    assert len(found["fault"]) == 500
    assert status.observe(RegistryAnswered(THREE, changed=False))
    assert fields(status)[2] is None


def test_names_become_tokens_that_nats_accepts():
    """No dot, wildcard or space; different names stay different."""
    assert subject_of("models:/breast-cancer/Production") == "hotswap.look.breast-cancer"
    assert subject_of("models:/a.b@c") == "hotswap.look.a=2Eb"
    names = ["a.b", "a b", "a*", "a>", "a=2Eb", "ü", "a/b", "a_b"]
    tokens = [token(name) for name in names]
    assert len(set(tokens)) == len(names)
    for each in tokens:
        assert not set(each) & set(". *>/"), each
        assert each.isascii()


def test_workers_have_names_of_their_own():
    """A lone process has the name of its machine and port."""
    assert replica_name(8000, 2) == f"{replica_name(8000, None)}/2"
    assert replica_name(8000, None).endswith(":8000")
