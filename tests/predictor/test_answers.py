"""Outputs of a graph become answers; labels keep their type, probabilities their names."""

import msgspec
import numpy as np
import pytest

from predictor.answers import Answer, NamedAnswer, label_name, read_answers
from predictor.errors import InvalidRecord
from predictor.signature import Outputs, Signature


def signature(outputs, labels=()):
    return Signature((), (), outputs, labels)


TENSOR = signature(Outputs("l", "p"), ("M", "B"))
MAPPED = signature(Outputs("l", "p", mapped=True), ("M", "B"))


def test_columns_are_named_by_the_class_labels():
    """The probability is that of the prediction, not the largest."""
    outputs = [np.array(["B", "M"]), np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)]
    assert read_answers(TENSOR, outputs) == [
        Answer("B", 0.25, {"M": 0.75, "B": 0.25}),
        Answer("M", 0.5, {"M": 0.5, "B": 0.5}),
    ]


def test_maps_are_read_by_their_keys():
    """As ZipMap gives them."""
    outputs = [np.array([7]), [{3: 0.25, 7: 0.75}]]
    assert read_answers(MAPPED, outputs) == [Answer(7, 0.75, {"3": 0.25, "7": 0.75})]


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [
        ([np.array(["M"]), np.array([[np.nan, 0.5]])], TENSOR),
        ([np.array(["M"]), np.array([[np.inf, 0.5]])], TENSOR),
        ([np.array(["X"]), np.array([[0.5, 0.5]])], TENSOR),
        ([np.array(["M"]), [{"M": float("nan"), "B": 0.5}]], MAPPED),
        ([np.array(["X"]), [{"M": 0.5, "B": 0.5}]], MAPPED),
        ([np.array([[np.nan]])], signature(Outputs(value="y"))),
        ([np.array([-np.inf])], signature(Outputs(value="y"))),
    ],
)
def test_what_cannot_be_said_is_an_error(outputs, kind):
    """Never null, NaN, or an exception."""
    assert isinstance(read_answers(kind, outputs)[0], InvalidRecord)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([[1], [2]]), [1, 2]),
        (np.array([1, 2]), [1, 2]),
        (np.array([True, False]), [True, False]),
        (np.array(["ä", ""], object), ["ä", ""]),
    ],
)
def test_labels_alone(labels, expected):
    """As plain Python values, whatever their shape."""
    assert [a.prediction for a in read_answers(signature(Outputs("l")), [labels])] == expected


def test_absent_probabilities_are_absent_on_the_wire():
    """Not null."""
    answer = NamedAnswer(1.5, msgspec.UNSET, msgspec.UNSET, "m", "7")
    assert msgspec.json.encode(answer) == b'{"prediction":1.5,"model_name":"m","model_version":"7"}'


@pytest.mark.parametrize(("label", "name"), [("M", "M"), (3, "3"), (True, "true"), (-1, "-1")])
def test_labels_as_json_keys(label, name):
    """A boolean is written as JSON writes it."""
    assert label_name(label) == name
