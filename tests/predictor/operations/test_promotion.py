"""The time of a promotion, from the trainer's tags."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from predictor.model_version import ModelUri
from predictor.operations.transitions import promoted_at
from trainer.history import Place, Transition
from trainer.signing_keys import FileSigner

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 13, tzinfo=UTC)


def moved(target: Place, when: datetime, pointer: str = "stage") -> dict[str, str]:
    made = Transition("7", Place.NONE, target, when, "ann", "", pointer)
    return {made.tag_key: made.tag_value()}


def promoted(tags: dict[str, str], uri: str = "models:/m/Production") -> float | None:
    return promoted_at(tags, ModelUri.parse(uri))


def test_only_the_pointer_that_the_service_follows_counts():
    """A stage says nothing about an alias, nor an alias about another."""
    tags = moved(Place.PRODUCTION, NOON, "@champion") | moved(Place.ARCHIVED, LATER)
    assert promoted(tags, "models:/m@champion") == NOON.timestamp()
    assert promoted(tags, "models:/m@other") is None
    assert promoted(tags) is None


def test_the_last_promotion_counts():
    tags = moved(Place.PRODUCTION, LATER) | moved(Place.PRODUCTION, NOON) | {"seed": "1"}
    assert promoted(tags) == LATER.timestamp()


def test_a_version_moved_out_of_production_has_no_promotion_time():
    """If it serves, it was moved by other means, without a date."""
    assert promoted(moved(Place.PRODUCTION, NOON) | moved(Place.ARCHIVED, LATER)) is None


@pytest.mark.parametrize(
    "value",
    ["", "[]", "{", '{"to": "Production"}', '{"to": "Production", "when": "noon"}', "\ud800"],
)
def test_an_invalid_tag_is_ignored(value):
    assert promoted({"transition.x": value}) is None
    tags = {"transition.x": value, **moved(Place.PRODUCTION, NOON)}
    assert promoted(tags) == NOON.timestamp()


def test_the_tag_of_an_older_trainer_counts():
    tags = moved(Place.PRODUCTION, NOON)
    older = {key.removeprefix("hotswap."): value for key, value in tags.items()}
    assert older.keys() != tags.keys()
    assert promoted(older) == NOON.timestamp()


def test_a_moment_without_a_zone_is_in_utc():
    value = '{"to": "Production", "when": "2026-11-23T12:00:00"}'
    assert promoted({"transition.x": value}) == NOON.timestamp()


def test_a_signed_tag_counts():
    """By any author: the time is shown, and decides nothing."""
    signer = FileSigner("ann", Ed25519PrivateKey.generate())
    made = Transition("7", Place.NONE, Place.PRODUCTION, NOON, "ann", "", "stage", model="m")
    assert promoted({made.tag_key: made.tag_value(signer)}) == NOON.timestamp()
    for broken in ('{"payload": 3}', '{"payload": "%%%%"}', '{"payload": "e30="}'):
        assert promoted({made.tag_key: broken}) is None
