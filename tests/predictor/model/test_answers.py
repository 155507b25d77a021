"""Outputs of a graph become answers; labels keep their type, probabilities their names."""

import math

import numpy as np
import pytest

from predictor.errors import InvalidRecord, NotFinite
from predictor.model.answers import Answer, read_answers
from predictor.model.signature import ExtraOutput, Outputs, Signature, label_name


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
def test_a_label_or_score_that_json_cannot_hold_is_an_error(outputs, kind):
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


def test_an_invalid_row_leaves_the_other_answers():
    """The others have their answers."""
    scores = np.array([[np.nan, 0.5], [0.25, 0.75], [0.5, 0.5], [0.5, 0.5]])
    answers = read_answers(TENSOR, [np.array(["M", "B", "M", "X"]), scores])
    assert sorted(answers.errors) == [0, 3]
    assert [type(answer) for answer in answers] == [NotFinite, Answer, Answer, InvalidRecord]
    assert answers[1] == Answer("B", 0.75, {"M": 0.25, "B": 0.75})


@pytest.mark.parametrize(("label", "name"), [("M", "M"), (3, "3"), (True, "true"), (-1, "-1")])
def test_labels_as_json_keys(label, name):
    """A boolean is written as JSON writes it."""
    assert label_name(label) == name


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_does_not_lead_out_of_0_to_1(rows, dtype):
    """A forest's sum of 1.0000001 is 1, and what it leaves for the other class is 0."""
    scores = np.array([[-1.19e-07, 1.0000001]] * rows, dtype)
    for answer in read_answers(TENSOR, [np.array(["B"] * rows), scores]):
        assert answer == Answer("B", 1.0, {"M": 0.0, "B": 1.0})
    maps = [{"M": -1.19e-07, "B": 1.0000001}] * rows
    for answer in read_answers(MAPPED, [np.array(["B"] * rows), maps]):
        assert answer == Answer("B", 1.0, {"M": 0.0, "B": 1.0})


@pytest.mark.parametrize("scores", [[-0.01, 1.01], [0.5, 0.75], [1.5, 0.5], [1e308, 1e308]])
def test_a_score_outside_0_to_1_by_more_than_rounding_is_an_error(scores):
    """It is no probability, whatever the model calls it. What adds up wrong within [0, 1] is not looked for."""
    table = np.array([[0.5, 0.5], scores])
    first, second = read_answers(TENSOR, [np.array(["B", "B"]), table])
    assert first == Answer("B", 0.5, {"M": 0.5, "B": 0.5})
    within = max(scores) <= 1 and min(scores) >= 0
    assert isinstance(second, Answer if within else InvalidRecord)
    assert within or "outside [0, 1]" in str(second)


def test_the_scores_of_other_rows_do_not_matter():
    """Scores that add up to more than one within [0, 1] are answered beside a row that is refused, too."""
    table = np.array([[0.5, 0.7], [1.5, 0.5]])
    first, second = read_answers(TENSOR, [np.array(["B", "B"]), table])
    assert first == next(iter(read_answers(TENSOR, [np.array(["B"]), table[:1]])))
    assert isinstance(second, InvalidRecord)


def test_without_a_label_the_likeliest_class_is_the_prediction():
    """The first of several that are alike, as ONNX and NumPy have it."""
    kind = signature(Outputs(probabilities="p"), ("M", "B"))
    table = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    assert list(read_answers(kind, [table])) == [
        Answer("B", 0.75, {"M": 0.25, "B": 0.75}),
        Answer("M", 0.5, {"M": 0.5, "B": 0.5}),
    ]


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_one_column_is_the_probability_of_the_second_class(shape):
    """A sigmoid's."""
    kind = signature(Outputs(probabilities="p"), ("M", "B"))
    column = np.array([0.75, 0.25, np.nan], np.float32).reshape(shape)
    first, second, third = read_answers(kind, [column])
    assert first == Answer("B", 0.75, {"M": 0.25, "B": 0.75})
    assert second == Answer("M", 0.75, {"M": 0.75, "B": 0.25})
    assert isinstance(third, InvalidRecord)


def test_an_index_is_the_class_at_its_place():
    """An index that has no place is an error of its row."""
    kind = signature(Outputs("l", indexed=True), ("M", "B"))
    first, second, third, fourth = read_answers(kind, [np.array([1, 0, 2, -1])])
    assert (first, second) == (Answer("B"), Answer("M"))
    assert "2, which is not among its class labels" in str(third)
    assert isinstance(fourth, InvalidRecord)


EXTRA = tuple(map(ExtraOutput, ("scalar", "column", "table", "cube", "text", "map")))


def test_answers_have_other_outputs_by_name():
    """A row's share: a value, a list, or lists of them; one column is a value."""
    kind = signature(Outputs("l", extra=EXTRA))
    given = [
        np.array([1, 2]), np.array([0.5, np.nan]), np.array([[1], [2]], np.int32),
        np.array([[True, False]] * 2), np.zeros((2, 1, 2)), np.array(["a", "b"], object),
        [{3: 0.5}, {3: 0.25}],
    ]  # fmt: skip
    first, second = read_answers(kind, given)
    assert first == Answer(
        1,
        outputs={
            "scalar": 0.5, "column": 1, "table": [True, False], "cube": [[0.0, 0.0]], "text": "a",
            "map": {"3": 0.5},
        },
    )  # fmt: skip
    assert math.isnan(second.outputs["scalar"])


def test_outputs_by_target_become_outputs_by_row():
    """[T, N, C], or a sequence of T tables, whose targets may have different numbers of classes."""
    extra = (ExtraOutput("cube", 1), ExtraOutput("sequence", 1))
    cube = np.arange(12.0).reshape(2, 3, 2)
    sequence = [np.arange(6).reshape(3, 2), np.arange(9).reshape(3, 3)]
    answers = read_answers(
        signature(Outputs("l", several=True, extra=extra)), [np.zeros((3, 2), int), cube, sequence]
    )
    assert answers[1] == Answer(
        [0, 0], outputs={"cube": [[2.0, 3.0], [8.0, 9.0]], "sequence": [[2, 3], [3, 4, 5]]}
    )


def test_an_output_without_a_value_for_each_row_is_left_out():
    """As a graph may give it whose shape depends on the values."""
    kind = signature(Outputs(value="y", extra=(ExtraOutput("found"),)))
    answers = read_answers(kind, [np.array([[1.0], [2.0]]), np.array([7, 8, 9])])
    assert list(answers) == [Answer(1.0), Answer(2.0)]
