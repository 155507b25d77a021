"""JSON texts that are read piece by piece: what is read, and what is refused, is as `json.loads` has it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.model import json_text
from predictor.model.json_text import JsonText

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(), inner, max_size=9),
    max_leaves=60,
)


@pytest.fixture(autouse=True, scope="module")
def _small_pieces():
    """So that short texts have many."""
    piece, json_text._PIECE = json_text._PIECE, 9
    yield
    json_text._PIECE = piece


def outcome(read, text):
    try:
        return "read", repr(read(text))
    except ValueError as error:
        return "refused", str(error)


def in_pieces(text):
    return JsonText(text, list).whole()


def at_once(text):
    return json.loads(text, object_pairs_hook=list)


@given(
    values, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])
)
def test_values_are_read(value, indent, separators):
    """Whatever their spaces."""
    text = json.dumps(value, indent=indent, separators=separators)
    assert outcome(in_pieces, text) == outcome(at_once, text)


@given(values, st.data())
def test_damaged_texts_are_refused_alike(value, data):
    """Any character added, changed or removed."""
    text = json.dumps(value)
    place = data.draw(st.integers(0, len(text)))
    more = data.draw(st.text('[]{},:"1a\\ ', max_size=2))
    text = text[:place] + more + text[place + data.draw(st.integers(0, 2)) :]
    assert outcome(in_pieces, text)[0] == outcome(at_once, text)[0]
    if outcome(at_once, text)[0] == "read":
        assert outcome(in_pieces, text) == outcome(at_once, text)


@pytest.mark.parametrize(
    "text",
    ["[1,]", "[,1]", '{"a":1,}', "{,}", "[1,2,3,4,5,6,7,8,9,]", "", "[1 2]", '{"a" 1}', "[1]x"],
)
def test_a_text_that_is_not_json_is_refused(text):
    """Also at the cuts between two pieces."""
    for read in (in_pieces, at_once):
        with pytest.raises(ValueError, match=r"[a-z]"):
            read(text)


def test_too_deep_a_text_is_refused():
    """As by the standard library."""
    with pytest.raises(RecursionError):
        in_pieces("[" * 100_000)
