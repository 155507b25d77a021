"""The time of a promotion, from the trainer's tags."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from predictor.model_version import ModelUri, ModelVersion
from predictor.operations.transitions import promoted_at
from trainer.history import Place, Transition
from trainer.signing_keys import FileSigner
from trainer.tag_names import STAGE_CHANGED

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 13, tzinfo=UTC)


MOVED_MS = 1_795_000_000_000


def moved(target: Place, when: datetime, pointer: str = "stage") -> dict[str, str]:
    """The tags of one transition. The later of two in one mapping must come last, as the trainer writes them."""
    made = Transition("7", Place.NONE, target, when, "ann", "", pointer)
    mark = {STAGE_CHANGED: made.stage_mark(MOVED_MS)} if pointer == "stage" else {}
    return {made.tag_key: made.tag_value(), **mark}


def promoted(
    tags: dict[str, str],
    uri: str = "models:/m/Production",
    *,
    updated_ms: int = MOVED_MS,
    number: str = "7",
) -> float | None:
    version = ModelVersion("m", number, "s", 1, "r", updated_ms, tags)
    return promoted_at(version, ModelUri.parse(uri))


def test_only_the_pointer_that_the_service_follows_counts():
    """A stage says nothing about an alias, nor an alias about another."""
    tags = moved(Place.PRODUCTION, NOON, "@champion") | moved(Place.ARCHIVED, LATER)
    assert promoted(tags, "models:/m@champion") == NOON.timestamp()
    assert promoted(tags, "models:/m@other") is None
    assert promoted(tags) is None


def test_the_last_promotion_counts():
    tags = moved(Place.PRODUCTION, NOON) | moved(Place.PRODUCTION, LATER) | {"seed": "1"}
    assert promoted(tags) == LATER.timestamp()


def test_a_version_moved_out_of_production_has_no_promotion_time():
    """If it serves, it was moved by other means, without a date."""
    assert promoted(moved(Place.PRODUCTION, NOON) | moved(Place.ARCHIVED, LATER)) is None


def test_a_stage_that_mlflow_changed_since_has_no_promotion_time():
    """The version may have been moved away and back. So may an alias, of which MLflow keeps no time."""
    assert promoted(moved(Place.PRODUCTION, NOON), updated_ms=MOVED_MS + 1) is None
    by_alias = moved(Place.PRODUCTION, NOON, "@champion")
    assert promoted(by_alias, "models:/m@champion", updated_ms=MOVED_MS + 1) == NOON.timestamp()


def test_the_mark_of_an_earlier_transition_does_not_count():
    """Whoever reads between the two tags of a transition, or after one that failed."""
    tags = moved(Place.PRODUCTION, LATER) | {
        STAGE_CHANGED: moved(Place.PRODUCTION, NOON)[STAGE_CHANGED]
    }
    assert promoted(tags) is None
    assert (
        promoted({STAGE_CHANGED: "noon"} | {k: v for k, v in tags.items() if k != STAGE_CHANGED})
        is None
    )


def test_tags_that_mlflow_copied_from_another_version_do_not_count():
    made = Transition("7", Place.NONE, Place.PRODUCTION, NOON, "ann", "", "@champion", model="m")
    tags = {made.tag_key: made.tag_value()}
    assert promoted(tags, "models:/m@champion") == NOON.timestamp()
    assert promoted(tags, "models:/m@champion", number="8") is None


@pytest.mark.parametrize(
    "value",
    ["", "[]", "{", '{"to": "Production"}', '{"to": "Production", "when": "noon"}', "\ud800"],
)
def test_an_invalid_tag_is_ignored(value):
    assert promoted({"transition.x": value}) is None
    tags = {"transition.x": value, **moved(Place.PRODUCTION, NOON)}
    assert promoted(tags) == NOON.timestamp()


def test_the_tag_of_an_older_trainer_counts():
    """For an alias: it kept no mark of a stage."""
    tags = moved(Place.PRODUCTION, NOON, "@champion")
    older = {key.removeprefix("hotswap."): value for key, value in tags.items()}
    assert older.keys() != tags.keys()
    assert promoted(older, "models:/m@champion") == NOON.timestamp()


def test_a_moment_without_a_zone_is_in_utc():
    value = '{"to": "Production", "when": "2026-11-23T12:00:00"}'
    mark = moved(Place.PRODUCTION, NOON)[STAGE_CHANGED]
    assert promoted({"transition.x": value, STAGE_CHANGED: mark}) == NOON.timestamp()


def test_a_signed_tag_counts():
    """By any author: the time is shown, and decides nothing."""
    signer = FileSigner("ann", Ed25519PrivateKey.generate())
    made = Transition("7", Place.NONE, Place.PRODUCTION, NOON, "ann", "", "stage", model="m")
    mark = {STAGE_CHANGED: made.stage_mark(MOVED_MS)}
    assert promoted({made.tag_key: made.tag_value(signer), **mark}) == NOON.timestamp()
    for broken in ('{"payload": 3}', '{"payload": "%%%%"}', '{"payload": "e30="}'):
        assert promoted({made.tag_key: broken}) is None
