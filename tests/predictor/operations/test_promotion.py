"""The time of a promotion, from the trainer's tags."""

from datetime import UTC, datetime

import pytest

from predictor.operations.health import promoted_at
from trainer.history import Place, Transition

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 23, 13, tzinfo=UTC)


def moved(target: Place, when: datetime) -> dict[str, str]:
    made = Transition("7", Place.NONE, target, when, "ann", "", "stage")
    return {made.tag_key: made.tag_value}


def test_the_last_promotion_counts():
    tags = moved(Place.PRODUCTION, LATER) | moved(Place.PRODUCTION, NOON) | {"seed": "1"}
    assert promoted_at(tags) == LATER.timestamp()


def test_a_version_moved_out_of_production_has_no_promotion_time():
    """If it serves, it was moved by other means, without a date."""
    assert promoted_at(moved(Place.PRODUCTION, NOON) | moved(Place.ARCHIVED, LATER)) is None


@pytest.mark.parametrize(
    "value",
    ["", "[]", "{", '{"to": "Production"}', '{"to": "Production", "when": "noon"}', "\ud800"],
)
def test_an_invalid_tag_is_ignored(value):
    assert promoted_at({"transition.x": value}) is None
    tags = {"transition.x": value, **moved(Place.PRODUCTION, NOON)}
    assert promoted_at(tags) == NOON.timestamp()


def test_a_moment_without_a_zone_is_in_utc():
    value = '{"to": "Production", "when": "2026-11-23T12:00:00"}'
    assert promoted_at({"transition.x": value}) == NOON.timestamp()
