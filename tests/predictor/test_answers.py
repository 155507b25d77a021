"""Outputs of a graph become answers; labels keep their type, probabilities their names."""

import numpy as np
import pytest

from predictor.errors import InvalidRecord
from predictor.records.answers import Answer, read_answers
from predictor.signature import Outputs, Signature, label_name


def signature(outputs, labels=()):
    return Signature((), (), outputs, labels)


TENSOR = signature(Outputs("l", "p"), ("M", "B"))
MAPPED = signature(Outputs("l", "p", mapped=True), ("M", "B"))


def test_columns_are_named_by_the_class_labels():
    """The probability is that of the prediction, not the largest."""
    outputs = [np.array(["B", "M"]), np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)]
    assert list(read_answers(TENSOR, outputs)) == [
        Answer("B", 0.25, {"M": 0.75, "B": 0.25}),
        Answer("M", 0.5, {"M": 0.5, "B": 0.5}),
    ]


def test_maps_are_read_by_their_keys():
    """As ZipMap gives them."""
    outputs = [np.array([7]), [{3: 0.25, 7: 0.75}]]
    assert list(read_answers(MAPPED, outputs)) == [Answer(7, 0.75, {"3": 0.25, "7": 0.75})]


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


def test_only_the_rows_that_are_wrong_are():
    """The others have their answers, also where a sum of the numbers is not finite."""
    scores = np.array([[np.nan, 0.5], [0.25, 0.75], [1e308, 1e308], [0.5, 0.5]])
    answers = read_answers(TENSOR, [np.array(["M", "B", "M", "X"]), scores])
    assert sorted(answers.faults) == [0, 3]
    assert [type(answer) for answer in answers] == [InvalidRecord, Answer, Answer, InvalidRecord]
    assert answers[1] == Answer("B", 0.75, {"M": 0.25, "B": 0.75})


@pytest.mark.parametrize(("label", "name"), [("M", "M"), (3, "3"), (True, "true"), (-1, "-1")])
def test_labels_as_json_keys(label, name):
    """A boolean is written as JSON writes it."""
    assert label_name(label) == name
