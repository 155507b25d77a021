"""The records of transitions: one tag each, and who stands in line by them."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from trainer.errors import TransitionError
from trainer.history import Place, Transition, next_moment, one_line, recorded, succession

NOON = datetime(2026, 11, 23, 12, 1, 2, 123456, UTC)


def moved(version, origin, target, minute=0, *, replaced=None, pointer="@production"):
    when = NOON + timedelta(minutes=minute)
    return Transition(version, origin, target, when, "me@here", "", pointer, replaced)


def up(version, minute, replaced=None):
    return moved(version, Place.NONE, Place.PRODUCTION, minute, replaced=replaced)


def down(version, minute):
    return moved(version, Place.PRODUCTION, Place.NONE, minute)


def test_a_transition_is_one_tag_whose_key_is_its_time():
    made = Transition("2", Place.NONE, Place.PRODUCTION, NOON, "ann@ward", "better", "stage", "1")
    assert made.tag_key == "hotswap.transition.20261123T120102123456Z"
    assert json.loads(made.tag_value()) == {
        "from": "None",
        "to": "Production",
        "when": "2026-11-23T12:01:02.123456+00:00",
        "who": "ann@ward",
        "why": "better",
        "pointer": "stage",
        "replaced": "1",
    }
    assert recorded("2", {made.tag_key: made.tag_value(), "parity": "passed"}) == [made]


def test_the_key_is_in_utc_wherever_the_clock_is():
    abroad = NOON.astimezone(timezone(timedelta(hours=9)))
    made = Transition("2", Place.NONE, Place.STAGING, abroad, "", "", "stage")
    assert made.tag_key == "hotswap.transition.20261123T120102123456Z"


@pytest.mark.parametrize(
    "value",
    ["", "nonsense", "[]", "{}", "null", '{"from": "Moon"}', '{"from": null, "to": 3}', "[" * 4900],
    ids=lambda value: value[:20],
)
def test_a_tag_that_someone_else_wrote_is_passed_over(value):
    assert recorded("1", {"transition.x": value}) == []


def test_the_tag_of_an_older_trainer_counts():
    made = up("2", 0)
    older = made.tag_key.removeprefix("hotswap.")
    assert older.startswith("transition.")
    assert recorded("2", {older: made.tag_value()}) == [made]


def test_a_reason_is_one_line_and_not_too_long():
    assert one_line("  two\n lines ") == "two lines"
    assert one_line(None) == ""
    assert one_line("caf\udce9") == "caf?"
    assert len(one_line("x" * 1000)) == 1000
    with pytest.raises(TransitionError, match="1001 characters, more than the limit of 1000"):
        one_line("x" * 1001)


def test_a_clock_that_is_behind_does_not_change_the_order():
    last = down("1", minute=5)
    assert next_moment(NOON, [up("1", 1), last]) == last.when + timedelta(microseconds=1)
    later = last.when + timedelta(seconds=1)
    assert next_moment(later, [last]) == later
    assert next_moment(NOON, []) == NOON
    dated_by_hand = up("1", minute=2 * 24 * 60)
    assert next_moment(NOON, [last, dated_by_hand]) == last.when + timedelta(microseconds=1)
    end = Transition("1", Place.NONE, Place.NONE, datetime.max.replace(tzinfo=UTC), "", "", "stage")
    assert next_moment(NOON, [end]) == NOON


SUCCESSIONS = {
    "nothing happened": ([], ()),
    "one": ([up("1", 0)], ("1",)),
    "a chain": ([up("1", 0), up("2", 1, "1"), up("3", 2, "2")], ("1", "2", "3")),
    "in time order, whatever the order of the tags": (
        [up("3", 2, "2"), up("1", 0), up("2", 1, "1")],
        ("1", "2", "3"),
    ),
    "the top was demoted": ([up("1", 0), up("2", 1, "1"), down("2", 2)], ("1",)),
    "a middle one was demoted": (
        [up("1", 0), up("2", 1, "1"), up("3", 2, "2"), down("2", 3)],
        ("1", "3"),
    ),
    "promoted again, it stands once, on top": (
        [up("1", 0), up("2", 1, "1"), up("1", 2, "2")],
        ("2", "1"),
    ),
    "someone went back to 1 by hand before 3 was promoted": (
        [up("1", 0), up("2", 1, "1"), up("3", 2, "1")],
        ("1", "3"),
    ),
    "someone went on to 9 by hand before 3 was promoted": (
        [up("1", 0), up("3", 1, "9")],
        ("1", "9", "3"),
    ),
    "someone removed all by hand before 2 was promoted": ([up("1", 0), up("2", 1)], ("2",)),
    "Staging does not count": (
        [moved("1", Place.NONE, Place.STAGING), moved("1", Place.STAGING, Place.NONE, 1)],
        (),
    ),
    "what another pointer did does not count": (
        [moved("1", Place.NONE, Place.PRODUCTION, pointer="stage"), up("2", 1)],
        ("2",),
    ),
}


@pytest.mark.parametrize(("transitions", "expected"), SUCCESSIONS.values(), ids=SUCCESSIONS.keys())
def test_succession(transitions, expected):
    assert succession(transitions, "@production") == expected
