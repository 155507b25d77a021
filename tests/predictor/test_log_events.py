"""Log events are declared once; the code logs by the declaration, and docs/logs.md is written from it."""

import pytest
import structlog

from demo.processes import ROOT
from predictor.log_events import EVENTS, KEYS_NOT_READ, SWAPPED

TESTS = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]


def test_names_are_unique():
    """An operator finds one row for each event."""
    assert len({event.name for event in EVENTS}) == len(EVENTS) > 30


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_event_is_looked_for_by_a_test(event):
    """An event that no test mentions may never be logged."""
    assert any(f'"{event.name}"' in text or f"`{event.name}`" in text for text in TESTS)
    assert all((event.when, event.action))


def test_an_undeclared_field_fails_in_tests():
    """pyproject.toml makes the warning an error; in production it is one line more."""
    with pytest.raises(UserWarning, match="swapped declares no colour"):
        SWAPPED.log(colour="red")


def test_repetitions_have_a_level_of_their_own():
    """The first line is seen; the others do not fill the log."""
    with structlog.testing.capture_logs() as lines:
        KEYS_NOT_READ.log(variable="V", reason="gone")
        KEYS_NOT_READ.log(again=True, variable="V", reason="gone")
    assert [line["log_level"] for line in lines] == ["error", "debug"]
