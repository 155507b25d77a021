"""Two versions compute the same rows: which answers differ, and by how much."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from predictor.errors import InferenceTimeout
from predictor.model.answers import Answers
from predictor.shadow.compare import OTHER, Pair, why_not_comparable
from predictor.shadow.messages import Answered, Computation, Rows, Serving
from tests.predictor.graphs import (
    OURS,
    classifier,
    counting,
    graph,
    one_input_per_column,
    regressor,
    tensor,
    with_metadata,
)
from tests.predictor.parts import servable_of

NAMES = ["mean_radius", "mean_texture"]
TURNED = with_metadata(
    classifier((-2.0, 1.0)), feature_names=NAMES[::-1], class_labels=["malignant", "benign"]
)
ROWS = [(1.0, 0.0), (0.0, 1.0), (3.0, 2.0)]


@pytest.fixture
def make(tmp_path):
    """A servable of a graph."""
    numbers = iter(range(1, 99))

    def one(model, signature=None):
        number = next(numbers)
        return servable_of(tmp_path / str(number), model, signature, number)

    return one


def computed(servable, rows, seconds=0.0):
    """What a worker sends of one computation."""
    pack = servable.signature.pack
    answers = servable.answer([pack(*row) for row in rows] if pack else rows)
    given = b"".join(pack(*row) for row in rows) if pack else [list(row) for row in rows]
    return Computation(given, list(answers.predictions), answers.scores, seconds)


def compared(serving, shadow, *computations, answers=False):
    pair = Pair(Serving.of(serving, answers=answers), shadow)
    return pair.compare(Rows(5, [*computations]))


def test_the_same_model_has_no_difference(make):
    """Its features may be in another order."""
    serving, shadow = make(OURS), make(TURNED)
    found = compared(serving, shadow, computed(serving, ROWS), answers=True)
    assert (found.number, found.version, found.digest) == (5, "2", shadow.artifact.onnx_sha256)
    assert (found.rows, found.failed, found.not_finite, found.flips) == (3, 0, 0, [])
    assert found.largest == 0
    (answered,) = found.answers
    assert answered.predictions == list(
        serving.answer([serving.signature.pack(*r) for r in ROWS]).predictions
    )


def test_other_classes_are_counted_by_both(make):
    """And the difference is that of the positive class."""
    serving, shadow = make(OURS), make(with_metadata(classifier((-1.0, -2.0)), feature_names=NAMES))
    found = compared(serving, shadow, computed(serving, ROWS[:2]), computed(serving, ROWS[2:]))
    assert found.rows == 3
    assert found.flips == [("malignant", "benign", 1)]
    positive = [
        [each[0] for each in servable.answer([servable.signature.pack(*r) for r in ROWS]).scores]
        for servable in (serving, shadow)
    ]
    assert found.largest == pytest.approx(max(np.abs(np.subtract(*positive))))
    assert found.difference_sum == pytest.approx(np.abs(np.subtract(*positive)).sum())
    assert sum(count for _, count in found.differences) == 3
    assert found.answers is None


def test_a_text_of_a_client_is_no_label(make):
    """Only classes that a version lists are named."""
    serving, shadow = make(OURS), make(OURS)
    odd = Computation(computed(serving, ROWS[:1]).rows, ["a patient"], None, 0.0)
    assert compared(serving, shadow, odd).flips == [(OTHER, "malignant", 1)]


def test_classes_that_no_version_lists_are_small_whole_numbers(make):
    """Such as those of an outlier detector; others are not named."""
    nodes = [helper.make_node("MatMul", ["X", "w"], ["sum"])]
    nodes.append(helper.make_node("Cast", ["sum"], ["label"], to=TensorProto.INT64))
    outputs = [tensor("label", "int64", (None, 1))]
    serving, shadow = (
        make(graph(nodes, [tensor("X")], outputs, {"w": np.full((2, 1), weight, np.float32)}))
        for weight in (1, -1)
    )
    found = compared(serving, shadow, computed(serving, [(1.0, 0.0), (0.0, -1.0), (900.0, 0.0)]))
    assert {(a, b) for a, b, _ in found.flips} == {("1", "-1"), ("-1", "1"), (OTHER, OTHER)}


def test_regressors_are_compared_by_value(make):
    """An answer that is not finite is counted as such."""
    serving, shadow = make(regressor()), make(regressor(op="Log"))
    found = compared(serving, shadow, computed(serving, [(1.0, 0.0), (-3.0, 0.0), (0.5, 0.5)]))
    assert (found.rows, found.not_finite, found.failed) == (2, 1, 0)
    assert found.largest == 1
    assert found.flips == []


def test_regressors_with_other_numbers_of_targets(make):
    """Their values have no difference, and the record of one has no place for the other's."""
    serving, shadow = make(regressor()), make(regressor(targets=2))
    for one, other in ((serving, shadow), (shadow, serving)):
        found = compared(one, other, computed(one, [(1.0, 0.0)]), answers=True)
        assert (found.rows, found.failed) == (0, 1)
        assert found.answers == [Answered([None], [None])]


def test_predictions_of_two_types_are_not_compared(make):
    """The record has one type for both: a text among numbers would make its file unreadable."""
    nodes = [helper.make_node("MatMul", ["X", "w"], ["sum"])]
    nodes.append(helper.make_node("Cast", ["sum"], ["label"], to=TensorProto.INT64))
    weights = {"w": np.ones((2, 1), np.float32)}
    whole = graph(nodes, [tensor("X")], [tensor("label", "int64", (None, 1))], weights)
    serving, shadow = make(with_metadata(whole, feature_names=NAMES)), make(OURS)
    assert not serving.signature.class_labels
    assert why_not_comparable(Serving.of(serving), shadow) == (
        "its prediction is text, that of the serving version whole number"
    )
    odd = Computation(computed(shadow, [(1.0, 0.0)]).rows, [1], None, 0.0)
    found = compared(shadow, shadow, odd, answers=True)
    assert (found.rows, found.failed, found.answers) == (0, 1, [Answered([None], [None])])


def test_columns_of_their_own_types(make):
    """Rows are values then, texts too."""
    serving, shadow = make(one_input_per_column()), make(one_input_per_column())
    found = compared(
        serving, shadow, computed(serving, [(41, True, 0.5, "A"), (7, False, 1.5, "C")])
    )
    assert (found.rows, found.largest) == (2, 0)


def test_seconds_are_counted_in_pairs(make):
    """Where those of the serving version are not known, only the metric has those of the shadow."""
    serving, shadow = make(OURS), make(OURS)
    known, unknown = computed(serving, ROWS, seconds=0.5), computed(serving, ROWS)
    found = compared(serving, shadow, known, unknown)
    assert sum(count for _, count in found.serving_seconds) == 1
    assert sum(count for _, count in found.shadow_seconds) == 1
    assert sum(count for _, count in found.second_buckets) == 2
    assert found.second_sum > 0


class Stopped:
    """A shadow whose calls are stopped at their time limit."""

    def __init__(self, servable):
        self._servable = servable
        self.rows_a_call = 2

    def __getattr__(self, name):
        return getattr(self._servable, name)

    def answer(self, rows) -> Answers:
        raise InferenceTimeout(1.0)


def test_a_timeout_is_raised_and_each_call_is_told(make):
    """Its process watches how long a call takes, not how many there are."""
    serving = make(OURS)
    begun = []
    with pytest.raises(InferenceTimeout):
        Pair(Serving.of(serving), Stopped(serving)).compare(
            Rows(1, [computed(serving, ROWS)]), lambda: begun.append(1)
        )
    assert begun == [1]


@pytest.mark.parametrize(
    ("shadow", "reason"),
    [
        (regressor(), "it has no 'mean_radius'"),
        (with_metadata(regressor(), feature_names=NAMES), "it is a regressor, and the serving version is a classifier"),
        (
            with_metadata(classifier(labels=(0, 1)), feature_names=NAMES, class_labels=[0, 1]),
            "its prediction is whole number, that of the serving version text",
        ),
        (with_metadata(counting(), feature_names=["mean_radius", "x"]), "it has 'x' as well"),
        (TURNED, None),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(make, shadow, reason):
    """Other features, another kind of answer, another type of classes."""
    found = why_not_comparable(Serving.of(make(OURS)), make(shadow))
    assert (reason is None and found is None) or reason in found


def test_a_feature_of_another_type(make):
    """The graph's own type counts."""
    serving = Serving.of(make(OURS))
    shadow = make(OURS)
    others = [type(each)(each.name, "float64", each.required) for each in serving.features]
    changed = Serving(
        serving.model_name, serving.version, serving.digest, others, serving.class_labels,
        serving.positive_class, serving.prediction, serving.is_value, serving.answers,
    )  # fmt: skip
    assert "'mean_radius' is float32 instead of float64" in why_not_comparable(changed, shadow)


def test_a_feature_that_only_the_serving_version_may_miss(make):
    """Clients may leave it out, and the shadow would not accept that."""
    optional = with_metadata(OURS, optional_features=["mean_texture"])
    reason = why_not_comparable(Serving.of(make(optional)), make(OURS))
    assert "it needs mean_texture in each record" in reason
