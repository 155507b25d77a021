"""Explanations of servables of every kind: what is told, what is refused, and how long it takes."""

import gc
import time
import warnings
import weakref
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

from predictor.errors import InvalidRecord
from predictor.model.servable import Cost
from predictor.protocols.explain import sampling as plan
from predictor.protocols.explain.explainer import Explainer
from predictor.protocols.explain.sampling import NoBackground, NotExplainable, NotInTime
from tests.predictor.graphs import (
    GOOD,
    METADATA,
    OURS,
    classifier,
    converted,
    graph,
    one_input_per_column,
    regressor,
    tensor,
    with_metadata,
)
from tests.predictor.parts import servable_of
from tests.predictor.protocols.explain.parts import adds_up, by_name, explained

BACKGROUND = [[0.5, 0.25], [-1.0, 2.0], [0.0, 0.75]]


@pytest.fixture
def linear(tmp_path):
    entry = {"coefficients": [2.0, -4.0], "intercept": 0.0}
    return servable_of(tmp_path, with_metadata(OURS, background=BACKGROUND, linear=entry))


@pytest.fixture
def sampled(tmp_path):
    """The same without coefficients."""
    return servable_of(tmp_path, with_metadata(OURS, background=BACKGROUND))


def test_a_linear_model_in_log_odds(linear):
    """Of the two scores' softmax: twice `x - 2y`. Everything else is as `/predict` says it."""
    answer = explained(linear, {"mean_radius": 1.5, "mean_texture": 0.1})
    said = answer.pop("explanation")
    expected = linear.answer([(1.5, 0.1)])[0]
    assert answer == {
        "prediction": "malignant",
        "probability": expected.probability,
        "probabilities": expected.probabilities,
        "model_name": "m",
        "model_version": "1",
    }
    mean = np.mean(BACKGROUND, axis=0)
    assert [each["feature"] for each in said["contributions"]] == ["mean_texture", "mean_radius"]
    texture, radius = said["contributions"]
    assert texture["contribution"] == pytest.approx(-4 * (0.1 - mean[1]), abs=1e-6)
    assert radius["contribution"] == pytest.approx(2 * (1.5 - mean[0]), abs=1e-6)
    assert (radius["value"], texture["value"]) == (1.5, 0.1), "as it was sent, not as float32"
    assert texture["standard_error"] == radius["standard_error"] == 0
    assert said["value"] == pytest.approx(2 * (1.5 - 0.2))
    assert 1 / (1 + np.exp(-said["value"])) == pytest.approx(expected.probability, abs=1e-6)
    assert said["baseline"] == {
        "kind": "background", "rows": 3, "value": pytest.approx(2 * (mean[0] - 2 * mean[1])),
    }  # fmt: skip
    assert (said["output"], said["scale"]) == ("malignant", "log_odds")
    assert (said["method"], said["permutations"]) == ("linear", 0)


@pytest.mark.parametrize("record", [GOOD, {"mean_radius": -3.0, "mean_texture": 1.0}])
def test_the_positive_class_is_explained_whatever_is_predicted(record, linear, sampled):
    for servable in (linear, sampled):
        assert explained(servable, record)["explanation"]["output"] == "malignant"


@pytest.mark.parametrize(("radius", "label"), [(3.0, "malignant"), (-3.0, "benign")])
def test_without_a_positive_class_the_prediction_is_explained(radius, label, tmp_path):
    metadata = {key: value for key, value in METADATA.items() if key != "positive_class"}
    model = with_metadata(classifier(metadata=metadata), background=BACKGROUND)
    answer = explained(servable_of(tmp_path, model), {"mean_radius": radius, "mean_texture": 0.0})
    assert answer["prediction"] == answer["explanation"]["output"] == label
    assert adds_up(answer)
    assert by_name(answer)["mean_radius"] > 0


def test_sampling_explains_the_probability(sampled):
    """Of two features, every order is sampled: there is no error."""
    answer = explained(sampled, {"mean_radius": 1.5, "mean_texture": 0.1})
    said = answer["explanation"]
    assert (said["scale"], said["method"], said["permutations"]) == (
        "probability",
        "permutation",
        48,
    )
    assert said["value"] == answer["probabilities"]["malignant"]
    answers = [each.probabilities["malignant"] for each in sampled.answer(sampled.background)]
    assert said["baseline"] == {
        "kind": "background", "rows": 3, "value": pytest.approx(np.mean(answers)),
    }  # fmt: skip
    assert adds_up(answer)
    p = {
        (a, b): np.mean([
            sampled.answer([(1.5 if a else x, 0.1 if b else y)])[0].probabilities["malignant"]
            for x, y in BACKGROUND
        ])
        for a in (0, 1) for b in (0, 1)
    }  # fmt: skip
    radius = (p[1, 0] - p[0, 0] + p[1, 1] - p[0, 1]) / 2
    assert by_name(answer)["mean_radius"] == pytest.approx(radius, abs=1e-9)
    assert max(by_name(answer, "standard_error").values()) < 1e-9


def test_the_same_record_gets_the_same_answer(tmp_path):
    """From another process that serves the same version too, and in whatever order it is written."""
    rows, target = load_iris(return_X_y=True)
    warnings.simplefilter("ignore", ConvergenceWarning)
    network = MLPClassifier((8,), max_iter=60, random_state=0).fit(rows, target)
    model = with_metadata(converted(network, 4, zipmap=False), background=rows[::10].tolist())
    servable, again = (servable_of(tmp_path, model) for _ in range(2))
    record = {f"feature_{i}": value for i, value in enumerate([6.0, 2.9, 4.5, 1.5])}
    answer = explained(servable, record)
    assert any(by_name(answer, "standard_error").values())
    assert explained(again, dict(reversed(record.items()))) == answer
    several = Explainer()
    assert explained(servable, record, several) == explained(servable, record, several) == answer


MIXED = [[40, True, 1.5, "A"], [50, False, 0.25, "B"], [61, True, 2.0, "C"]]


def test_texts_integers_and_booleans(tmp_path):
    """A sum: each contributes what it differs by from the mean of the background."""
    model = with_metadata(one_input_per_column(), background=MIXED)
    record = {"age": 70, "smoker": False, "dose": 0.5, "code": "B"}
    answer = explained(servable_of(tmp_path, model), record)
    assert by_name(answer) == {
        "age": pytest.approx(70 - 151 / 3),
        "smoker": pytest.approx(-2 / 3),
        "dose": pytest.approx(0.5 - 3.75 / 3),
        "code": pytest.approx(200 - 299 / 3),
    }
    assert by_name(answer, "value") == record
    said = answer["explanation"]
    assert (said["output"], said["scale"]) == ("prediction", "value")
    assert said["value"] == 270.5
    assert adds_up(answer)


def test_a_graph_of_single_rows(tmp_path):
    """Row by row, where it takes no more."""
    model = with_metadata(classifier(rows=1), background=BACKGROUND)
    servable = servable_of(tmp_path, model)
    assert servable.signature.one_row_at_a_time
    answer = explained(servable, {"feature_0": 1.5, "feature_1": 0.1})
    assert adds_up(answer)
    assert answer["explanation"]["baseline"]["rows"] == 3


@pytest.mark.parametrize("labels", [("setosa", "versicolor", "virginica"), (3, 5, 70)], ids=str)
def test_a_list_of_maps(labels, tmp_path):
    """As skl2onnx writes probabilities by default; it is the same explanation as of a table."""
    rows, target = load_iris(return_X_y=True)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0)
    tree.fit(rows.astype(np.float32), np.array(labels)[target])
    record = {f"feature_{i}": value for i, value in enumerate([6.0, 2.9, 4.5, 1.5])}
    told = []
    for zipmap in (True, False):
        model = with_metadata(converted(tree, 4, zipmap=zipmap), background=rows[::30].tolist())
        servable = servable_of(tmp_path, model)
        assert servable.signature.outputs.mapped == zipmap
        told.append(explained(servable, record))
        assert adds_up(told[-1])
        assert told[-1]["explanation"]["output"] == str(labels[1])
    one, other = (each["explanation"]["baseline"] for each in told)
    assert one == other
    errors = by_name(told[0], "standard_error")
    for name, contribution in by_name(told[0]).items():
        assert abs(contribution - by_name(told[1])[name]) <= 6 * errors[name] + 1e-9


def test_large_numbers_are_told_as_they_are(tmp_path):
    """A number that no 64-bit integer holds is a number all the same."""
    model = with_metadata(regressor(), background=BACKGROUND)
    servable = servable_of(tmp_path, model)
    record = {"feature_0": 10**25, "feature_1": 2}
    answer = explained(servable, record)
    assert by_name(answer, "value") == {"feature_0": 1e25, "feature_1": 2.0}


def test_a_version_without_a_background(tmp_path):
    with pytest.raises(NoBackground, match="has no background"):
        explained(servable_of(tmp_path, OURS), GOOD)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (regressor(targets=2), "several numbers"),
        (classifier((1.0, -2.0), post_transform="NONE"), "without probabilities"),
    ],
)
def test_answers_that_are_not_one_number(model, says, tmp_path):
    servable = servable_of(tmp_path, with_metadata(model, background=BACKGROUND))
    with pytest.raises(NotExplainable, match=says):
        explained(servable, {"feature_0": 1.0, "feature_1": 0.5})


def test_a_mixture_without_a_finite_answer(tmp_path):
    """The logarithm of a sum: the record's is finite, with a feature of the background it is none."""
    model = with_metadata(regressor(op="Log"), background=[[1.0, 2.0], [-4.0, 9.0]])
    servable = servable_of(tmp_path, model)
    assert adds_up(explained(servable, {"feature_0": 1.0, "feature_1": 5.0}))
    with pytest.raises(InvalidRecord, match="no finite answer for this record with some features"):
        explained(servable, {"feature_0": 4.0, "feature_1": 2.0})


def test_a_mixture_that_the_model_refuses(tmp_path):
    """A look-up by the sum of two features, which the table has no row for."""
    nodes = [
        helper.make_node("ReduceSum", ["X", "axes"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "place"], ["value"]),
    ]
    model = graph(
        nodes, [tensor("X")], [tensor("value", shape=(None,))],
        {"axes": np.array([1]), "table": np.arange(4, dtype=np.float32)},
    )  # fmt: skip
    servable = servable_of(tmp_path, with_metadata(model, background=[[0.0, 0.0], [3.0, 0.0]]))
    assert adds_up(explained(servable, {"feature_0": 1.0, "feature_1": 0.0}))
    with pytest.raises(
        InvalidRecord, match=r"the model fails: .*indices element out of data bounds"
    ):
        explained(servable, {"feature_0": 0.0, "feature_1": 2.0})


def test_what_predict_refuses_is_refused_alike(sampled):
    with pytest.raises(InvalidRecord, match="mean_texture: missing"):
        explained(sampled, {"mean_radius": 1.0})


class Slow:
    """A session that takes its time for each row, as long as it is said to."""

    def __init__(self, session, seconds):
        self._session = session
        self.seconds = seconds
        self.rows = 0

    def run(self, names, feed, options=None):
        rows = len(next(iter(feed.values())))
        self.rows += rows
        time.sleep(self.seconds * rows)
        return self._session.run(names, feed, options)


def slow(tmp_path, seconds):
    """A version of ten features that has so slow a session, and the session."""
    rows = np.random.default_rng(1).normal(size=(50, 10)).astype(np.float32)
    model = converted(SGDRegressor().fit(rows, rows[:, 0]), 10)
    servable = servable_of(tmp_path, with_metadata(model, background=rows.tolist()))
    session = Slow(servable.session, seconds)
    made = replace(servable, session=session, cost=Cost(seconds, 0.0))
    return made, session


RECORD = {f"feature_{i}": 0.5 for i in range(10)}


def test_a_slow_model_is_explained_within_the_bound(tmp_path):
    """0.5 ms a row: of 50 background rows, 16 make it, and the error is larger."""
    servable, session = slow(tmp_path, 0.0005)
    explainer = Explainer()
    explained(servable, RECORD, explainer)  # measures
    session.rows, started = 0, time.perf_counter()
    answer = explained(servable, RECORD, explainer)
    seconds = time.perf_counter() - started
    assert adds_up(answer)
    assert answer["explanation"]["baseline"]["rows"] == 16
    assert answer["explanation"]["permutations"] == 32
    assert session.rows == 1 + 16 + 16 * 2 * 9
    assert seconds < 1.5 * plan.PLANNED_SECONDS
    assert any(by_name(answer, "standard_error").values())


def test_a_very_slow_model_is_refused_and_not_tried_for_long(tmp_path):
    servable, session = slow(tmp_path, 0.05)
    with pytest.raises(NotExplainable, match=r"takes [\d.]+ ms for a row"):
        explained(servable, RECORD)
    assert session.rows < 10


def test_a_machine_that_became_busy_ends_it(tmp_path):
    """Planned when rows were quick, and now they are not: what cannot be in time is not waited for."""
    servable, session = slow(tmp_path, 0.0)
    explainer = Explainer()
    whole = explained(servable, RECORD, explainer)["explanation"]["permutations"]
    session.seconds = 0.0005
    started = time.perf_counter()
    answer = explained(servable, RECORD, explainer)
    assert 0 < answer["explanation"]["permutations"] < whole
    assert adds_up(answer)
    session.seconds = 0.02
    with pytest.raises(NotInTime, match="not explained within 1 s of computing"):
        explained(servable, {**RECORD, "feature_0": 1.0}, explainer)
    # One call of 50 rows is over before anybody looks at the clock again, and one of 900.
    assert time.perf_counter() - started < 30


def test_a_plan_does_not_keep_its_servable(tmp_path):
    """A version that was swapped out leaves memory, also after its answers were explained."""
    servable = servable_of(tmp_path, with_metadata(regressor(), background=BACKGROUND))
    explainer = Explainer()
    explained(servable, {"feature_0": 1.0, "feature_1": 0.5}, explainer)
    kept = weakref.ref(servable)
    del servable
    gc.collect()
    assert kept() is None
