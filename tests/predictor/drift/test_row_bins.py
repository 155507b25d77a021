"""Rows are counted in the bins of the training data, as numpy and Python count them."""

from collections import Counter

import numpy as np
import pytest

from predictor.drift.row_bins import SCORE, RowBins
from predictor.errors import InvalidRecord
from predictor.model.answers import Answer, Answers
from tests.predictor.graphs import (
    METADATA,
    classifier,
    one_input_per_column,
    regressor,
    with_metadata,
)
from tests.predictor.parts import servable_of

RADIUS = {
    "name": "mean_radius", "edges": [0.5, 1.5], "counts": [3, 4, 2], "missing": 1,
    "minimum": 0.25, "maximum": 2,
}  # fmt: skip
TEXTURE = {"name": "mean_texture", "edges": [], "counts": [9], "minimum": 0, "maximum": 0}
SCORES = {"name": "score", "edges": [0.5], "counts": [4, 5], "minimum": 0.1, "maximum": 0.9}
SCORE_BINS = {"kind": "probability", "of": "malignant", "rows": "held_out", "bins": SCORES}


def bins_of(folder, *, features=(RADIUS, TEXTURE), score=SCORE_BINS, maximum=200):
    bins = {"features": [*features], **({"score": score} if score else {})}
    model = classifier(metadata={**METADATA, "training_bins": bins})
    return RowBins(servable_of(folder, model), maximum)


def packed(servable_rows):
    return [np.array(row, np.float32).tobytes() for row in servable_rows]


def counted(bins, rows, answers):
    """The counts by feature and label, without zeros."""
    labels = [(each.name, label) for each in bins.labelled for label in each.labels]
    found = zip(labels, bins.count(rows, [answers]).tolist(), strict=True)
    return {label: count for label, count in found if count}


def answers(bins, probabilities):
    signature = bins._signature
    scores = [[p, 1 - p] for p in probabilities]
    return Answers(signature, ["malignant"] * len(scores), scores)


def test_each_row_is_in_one_bin_of_each_feature(tmp_path):
    """A bin includes its upper edge; the ends of the range are in the range."""
    bins = bins_of(tmp_path)
    values = [0.2, 0.25, 0.5, 0.51, 1.5, 2.0, 2.1, np.nan]
    rows = packed([[value, 0] for value in values])
    found = counted(bins, rows, answers(bins, [0.05, 0.1, 0.5, 0.5, 0.6, 0.9, 0.95, 0.2]))
    assert found == {
        ("mean_radius", "(below)"): 1, ("mean_radius", "up to 0.5"): 2,
        ("mean_radius", "0.5 to 1.5"): 2, ("mean_radius", "over 1.5"): 1,
        ("mean_radius", "(above)"): 1, ("mean_radius", "(missing)"): 1, ("mean_texture", "any"): 8,
        (SCORE, "(below)"): 1, (SCORE, "up to 0.5"): 4, (SCORE, "over 0.5"): 2, (SCORE, "(above)"): 1,
    }  # fmt: skip


def test_the_training_rows_have_the_same_labels(tmp_path):
    radius, texture, score = bins_of(tmp_path).labelled
    assert dict(zip(radius.labels, radius.training, strict=True)) == {
        "(below)": 0, "up to 0.5": 3, "0.5 to 1.5": 4, "over 1.5": 2, "(above)": 0, "(missing)": 1,
    }  # fmt: skip
    assert texture.training == (0, 9, 0, 0)
    assert score.training == (0, 4, 5, 0, 0)


def test_scores_of_fitted_rows_are_no_reference(tmp_path):
    """They are better than those of any other rows."""
    *_, score = bins_of(tmp_path, score={**SCORE_BINS, "rows": "fitted"}).labelled
    assert (score.name, score.training) == (SCORE, None)


def test_many_random_rows_are_counted_as_by_numpy(tmp_path):
    random = np.random.default_rng(0)
    edges = np.unique(random.normal(size=19).astype(np.float32)).astype(float).tolist()
    feature = {
        "name": "mean_radius", "edges": edges, "counts": [1] * (len(edges) + 1),
        "minimum": -5.0, "maximum": 5.0,
    }  # fmt: skip
    bins = bins_of(tmp_path, features=[feature, TEXTURE], score=None)
    table = random.normal(size=(3000, 2)).astype(np.float32)
    counts = bins.count(packed(table), [answers(bins, [0.5] * 3000)])
    expected, _ = np.histogram(table[:, 0], [-np.inf, *edges, np.inf])
    first = len(bins.labelled[0].labels)
    assert counts.tolist()[:first] == [0, *expected.tolist(), 0, 0]
    assert counts[first:].sum() == 3000


def test_only_the_first_features_are_counted(tmp_path):
    bins = bins_of(tmp_path, maximum=1)
    assert [each.name for each in bins.labelled] == ["mean_radius", SCORE]
    assert counted(bins, packed([[1, 0]]), answers(bins, [0.5]))["mean_radius", "0.5 to 1.5"] == 1


def test_a_row_without_an_answer(tmp_path):
    """It is counted, and its score is missing; so is one whose rows were computed one by one."""
    bins = bins_of(tmp_path)
    signature = bins._signature
    failed = InvalidRecord([])
    alone = Answers.of(signature, [Answer("malignant", 0.7, {"malignant": 0.7}), failed])
    found = counted(bins, packed([[1, 0], [1, 0]]), alone)
    assert found[SCORE, "over 0.5"] == found[SCORE, "(no answer)"] == 1
    assert found["mean_radius", "0.5 to 1.5"] == 2
    columns = Answers(signature, ["malignant"] * 2, [[0.7, 0.3], [0.1, 0.9]], errors={1: failed})
    assert counted(bins, packed([[1, 0], [1, 0]]), columns) == found


@pytest.mark.parametrize(
    ("kind", "label"), [("largest_probability", "over 0.5"), ("probability", "up to 0.5")]
)
def test_the_score_is_what_the_artifact_says(tmp_path, kind, label):
    bins = bins_of(tmp_path, score={**SCORE_BINS, "kind": kind})
    assert counted(bins, packed([[1, 0]]), answers(bins, [0.3]))[SCORE, label] == 1


def test_a_value_is_a_score(tmp_path):
    score = {"kind": "value", "rows": "fitted", "bins": SCORES}
    features = [{**RADIUS, "name": "x0"}, {**TEXTURE, "name": "x1"}]
    model = with_metadata(
        regressor(), feature_names=["x0", "x1"], training_bins={"features": features, "score": score}
    )  # fmt: skip
    servable = servable_of(tmp_path, model)
    rows = packed([[0.4, 0.2], [1, 1]])
    found = counted(RowBins(servable, 9), rows, servable.answer(rows))
    assert found[SCORE, "over 0.5"] == found[SCORE, "(above)"] == 1


def test_columns_of_all_types(tmp_path):
    """Texts by category, booleans as false and true, a missing text as missing."""
    features = [
        {"name": "age", "edges": [40, 60], "counts": [1, 2, 3], "minimum": 18, "maximum": 99},
        {"name": "smoker", "categories": ["false", "true"], "counts": [4, 2, 0]},
        {"name": "dose", "edges": [0.1], "counts": [3, 3]},
        {"name": "code", "categories": ["A", "(other)"], "counts": [2, 1, 3]},
    ]
    model = with_metadata(
        one_input_per_column(), optional_features=["code"], missing_text="nan",
        training_bins={"features": features},
    )  # fmt: skip
    servable = servable_of(tmp_path, model)
    rows = [
        (40, True, 0.1, "A"), (41, False, 0.2, "B"), (17, True, 9.0, "nan"), (99, True, 1e300, "(other)"),
    ]  # fmt: skip
    bins = RowBins(servable, 200)
    assert counted(bins, rows, servable.answer(rows)) == {
        ("age", "up to 40"): 1, ("age", "40 to 60"): 1, ("age", "(below)"): 1, ("age", "over 60"): 1,
        ("smoker", "true"): 3, ("smoker", "false"): 1, ("dose", "up to 0.1"): 1, ("dose", "over 0.1"): 3,
        ("code", "A"): 1, ("code", "'(other)'"): 1, ("code", "(other)"): 1, ("code", "(missing)"): 1,
    }  # fmt: skip
    assert all(len(each.labels) == len(each.training) for each in bins.labelled)
    assert Counter(len(each.labels) for each in bins.labelled) == {6: 1, 3: 2, 4: 1}


def test_labels_are_a_score(tmp_path):
    score = {
        "kind": "label", "rows": "held_out",
        "bins": {"name": "score", "categories": ["malignant"], "counts": [7, 2]},
    }  # fmt: skip
    bins = bins_of(tmp_path, score=score)
    given = Answers(
        bins._signature, ["malignant", "benign", "benign"], errors={2: InvalidRecord([])}
    )
    found = counted(bins, packed([[1, 0]] * 3), given)
    assert found[SCORE, "malignant"] == found[SCORE, "(other)"] == found[SCORE, "(no answer)"] == 1
