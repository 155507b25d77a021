"""The slow way on its own: what it says of a body that has nothing wrong, and of hostile names."""

import json

from predictor.errors import FieldError, MalformedBody
from predictor.records import faults
from predictor.signature import Feature

FEATURES = (Feature("s", "string", "string"),)


def test_nothing_wrong_is_none():
    """No fault is invented."""
    assert faults.of_record(b'{"s": "x"}', FEATURES) is None
    assert faults.of_instances(b'{"instances": [{"s": "x"}]}', FEATURES) is None


def test_a_lone_surrogate_in_a_name_can_be_answered():
    """The error can be written as UTF-8: half a pair is shown as its escape."""
    error = faults.of_record(rb'{"s": "x", "\ud800": 1}', FEATURES)
    assert error.errors == (FieldError("\\ud800", "unknown feature"),)
    assert json.loads(json.dumps(error.errors[0].field).encode()) == "\\ud800"


def test_an_error_of_a_row_keeps_its_place():
    """`at` puts the row in front of the field, or is the field where the row itself is wrong."""
    error = faults.of_record(b'{"s": 1}', FEATURES).at("instances[3]")
    assert [e.field for e in error.errors] == ["instances[3].s"]
    error = faults.of_record(b"[]", FEATURES).at("instances[3]")
    assert [e.field for e in error.errors] == ["instances[3]"]


def test_malformed_says_where():
    """A person finds the place in the text."""
    error = faults.of_record(b'{"s": }', FEATURES)
    assert isinstance(error, MalformedBody)
    assert "char 6" in str(error)
