"""The counts of training rows by bin are read, checked, and refused where they are wrong."""

import pytest

from predictor.errors import LoadError
from predictor.model.training_bins import Bins, TrainingBins
from tests.predictor.graphs import METADATA, classifier, one_input_per_column, with_metadata
from tests.predictor.parts import servable_of

RADIUS = {
    "name": "mean_radius", "edges": [0.5, 1.5], "counts": [3, 4, 2], "missing": 1,
    "minimum": 0.25, "maximum": 2,
}  # fmt: skip
TEXTURE = {"name": "mean_texture", "edges": [], "counts": [9]}
PROBABILITY = {"name": "score", "edges": [0.5], "counts": [4, 5], "minimum": 0, "maximum": 1}
SCORE = {"kind": "probability", "of": "malignant", "rows": "held_out", "bins": PROBABILITY}


def with_bins(features, score=None):
    bins = {"features": features, **({"score": score} if score else {})}
    return classifier(metadata={**METADATA, "training_bins": bins})


def test_bins_are_the_servables(tmp_path):
    found = servable_of(tmp_path, with_bins([RADIUS, TEXTURE], SCORE)).training_bins
    assert found.features[0] == Bins("mean_radius", [3, 4, 2], 1, [0.5, 1.5], 0.25, 2.0)
    assert found.features[1] == Bins("mean_texture", [9], edges=[])
    assert (found.score.kind, found.score.of, found.score.rows) == (
        "probability", "malignant", "held_out",
    )  # fmt: skip


def test_a_graph_without_them_is_served_without(tmp_path):
    """Older versions of ours, and other people's."""
    assert servable_of(tmp_path, classifier()).training_bins == TrainingBins()


def test_texts_and_booleans_have_categories(tmp_path):
    features = [
        {"name": "age", "edges": [40], "counts": [1, 2]},
        {"name": "smoker", "categories": ["false", "true"], "counts": [1, 2, 0]},
        {"name": "dose", "edges": [], "counts": [3]},
        {"name": "code", "categories": ["A"], "counts": [2, 1]},
    ]
    model = with_metadata(one_input_per_column(), training_bins={"features": features})
    assert servable_of(tmp_path, model).training_bins.features[3].categories == ["A"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"name": "radius"}, "not of its features, in order"),
        ({"counts": [1, 2]}, "one count more than edges"),
        ({"counts": [1, 2, -1]}, "not readable"),
        ({"edges": [1.5, 0.5]}, "in this order"),
        ({"edges": [0.5, 0.5]}, "in this order"),
        ({"minimum": 0.75}, "in this order"),
        ({"minimum": None}, "without the other"),
        ({"edges": None}, "either edges or categories"),
        ({"edges": None, "categories": ["A", "B"]}, "a number has edges"),
        ({"edges": [*range(1, 33)], "counts": [0] * 33}, "not readable"),
    ],
)
def test_wrong_bins_are_refused(tmp_path, changed, reason):
    with pytest.raises(LoadError, match=reason) as caught:
        servable_of(tmp_path, with_bins([{**RADIUS, **changed}, TEXTURE]))
    assert caught.value.stage == "signature"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"of": "unknown"}, "not among the class labels"),
        ({"bins": {**PROBABILITY, "counts": [1]}}, "one count more"),
        ({"kind": "label"}, "a text has categories"),
    ],
)
def test_wrong_bins_of_the_score_are_refused(tmp_path, changed, reason):
    with pytest.raises(LoadError, match=reason):
        servable_of(tmp_path, with_bins([RADIUS, TEXTURE], {**SCORE, **changed}))


def test_equal_categories_are_refused(tmp_path):
    features = [
        {"name": "age", "edges": [], "counts": [1]},
        {"name": "smoker", "edges": [], "counts": [1]},
        {"name": "dose", "edges": [], "counts": [3]},
        {"name": "code", "categories": ["A", "A"], "counts": [2, 1, 0]},
    ]
    model = with_metadata(one_input_per_column(), training_bins={"features": features})
    with pytest.raises(LoadError, match="must differ"):
        servable_of(tmp_path, model)
