"""The slow way on its own: what it reads of a good body, and what it says of others."""

import json
import unicodedata

import pytest

from predictor.errors import FieldError, InvalidRecord, MalformedBody
from predictor.model import validation as faults
from predictor.model.signature import Feature
from predictor.model.validation import Fields

FIELDS = Fields((Feature("s", "string", "string"),))


def refused(body, fields=FIELDS, kind=InvalidRecord, read=faults.read_record):
    with pytest.raises(kind) as caught:
        read(body, fields)
    return caught.value


def test_a_good_body_is_read():
    """No fault is invented."""
    assert faults.read_record(b'{"s": "x"}', FIELDS) == ("x",)
    assert faults.read_instances(b'{"instances": [{"s": "x"}]}', FIELDS) == [("x",)]


def test_a_lone_surrogate_in_a_name_can_be_answered():
    """The error can be written as UTF-8: half a pair is shown as its escape."""
    error = refused(rb'{"s": "x", "\ud800": 1}')
    assert error.errors == (FieldError("\\ud800", "unknown feature"),)
    assert json.loads(json.dumps(error.errors[0].field).encode()) == "\\ud800"


def test_an_error_of_a_row_keeps_its_place():
    """`at` puts the row in front of the field, or is the field where the row itself is wrong."""
    error = refused(b'{"s": 1}').at("instances[3]")
    assert [e.field for e in error.errors] == ["instances[3].s"]
    error = refused(b"[]").at("instances[3]")
    assert [e.field for e in error.errors] == ["instances[3]"]


def test_malformed_says_where():
    """A person finds the place in the text."""
    assert "char 6" in str(refused(b'{"s": }', kind=MalformedBody))
    late = b'{"instances": [' + b'{"s": "x"},\n' * 10_000 + b'{"s": }]}'
    said = str(refused(late, kind=MalformedBody, read=faults.read_instances))
    with pytest.raises(ValueError, match="char 120021") as caught:
        json.loads(late)
    assert said == f"the body is not valid JSON: {caught.value}"


def test_reading_ends_with_the_last_fault_that_is_reported():
    """What follows is not looked at, and need not even be JSON."""
    body = b'{"instances": [' + b"{}," * 100_000 + b"oh no"
    errors = refused(body, read=faults.read_instances).errors
    assert len(errors) == 100
    assert errors[-1] == FieldError("instances[99].s", "missing")
    unknown = b"{" + b",".join(b'"a%d": 0' % i for i in range(20_000)) + b"}"
    assert len(refused(unknown).errors) == 100


NAMES = Fields(
    tuple(Feature(n, "number", "float32", -9.0, 9.0) for n in ("mean_radius", "worst-area"))
)


@pytest.mark.parametrize(
    ("record", "hint"),
    [
        ({"mean radius": 1, "worst-area": 1}, "send `mean_radius`, not `mean radius`"),
        ({"Mean Radius": 1, "worst.AREA": 1}, "send `mean_radius`, not `Mean Radius` (and 1 more)"),
        ({"meanRadius": 1, "worst-area": 1}, "differ only in spelling"),
        ({"features": [1, 2]}, "/invocations"),
        ({"data": [[1, 2]]}, "/predict/batch"),
        ({"instances": [{"mean_radius": 1}]}, "/predict/batch"),
        ({"a": [1, 2]}, "/v2/models/NAME/infer"),
        ([1, 2], "/invocations"),
    ],
)
def test_a_hint_names_the_probable_mistake(record, hint):
    """Beside the faults, each of which has its field."""
    assert hint in refused(json.dumps(record).encode(), NAMES).hint


@pytest.mark.parametrize(
    "record",
    [{"mean_radius": 1}, {"mean_radius": 1, "worst-area": 1, "mean radius": 1}, {"x": 1}, 5],
)
def test_unrelated_names_have_no_hint(record):
    """A name that is given is not misspelt; a number is no list."""
    assert refused(json.dumps(record).encode(), NAMES).hint == ""


def test_names_that_only_differ_in_spelling_are_no_hint():
    """Either of them may have been meant."""
    fields = Fields(tuple(Feature(n, "string", "string") for n in ("a b", "a_b")))
    assert refused(b'{"A B": "x"}', fields).hint == ""


def test_a_name_that_may_be_one_of_several_is_not_ignored():
    """Each of them may be missing, so it would be lost without a word."""
    features = [
        Feature(n, "number", "float32", -1.0, 1.0, required=n == "x") for n in ("x", "a b", "a_b")
    ]
    fields = Fields(tuple(features), ignore_unknown=True)
    assert [e.field for e in refused(b'{"x": 1, "A B": 1}', fields).errors] == ["A B"]
    assert faults.read_record(b'{"x": 1, "a b": 1, "a_b": 0, "A B": 1, "y": 1}', fields) == (
        1,
        1,
        0,
    )


@pytest.mark.parametrize("name", ["temp\u00e9rature", "\u212b", "\uff21\uff27\uff25", "\u304c"])
def test_letters_that_are_composed_otherwise_are_those_letters(name):
    """File systems and keyboards write the same text in different characters."""
    for form in ("NFD", "NFKD", "NFC"):
        other = unicodedata.normalize(form, name).upper()
        if other == name:
            continue
        fields = Fields(
            (Feature(name, "number", "float32", required=False), Feature("x", "string", "string")),
            ignore_unknown=True,
        )
        assert [
            e.field for e in refused(json.dumps({"x": "", other: 1}).encode(), fields).errors
        ] == [other]
