"""Each split of each library's trees gets the two neighbouring values between which it decides otherwise."""

import lightgbm
import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from exporters import splits
from exporters.convert import convert
from exporters.estimators import round_down
from exporters.export import task_of
from exporters.splits import split_rows
from exporters.table import read_table


def at_splits(model, rows, precision="float32"):
    """The model fitted on the rows, and the rows at its splits."""
    model.fit(rows.train.features, rows.train.target)
    table = read_table(rows.train.features)
    return model, split_rows(convert(model, table, task_of(model, table), precision), table)


def test_both_sides_are_one_float32_apart_and_end_in_different_leaves(rows):
    tree, found = at_splits(DecisionTreeClassifier(random_state=0), rows)
    assert found.splits == found.tested == tree.tree_.node_count - tree.get_n_leaves()
    low, high = np.split(found.frame.to_numpy(np.float32), 2)
    moved = low != high
    assert (moved.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(np.nextafter(low, np.float32(np.inf))[moved], high[moved])
    assert (tree.apply(low) != tree.apply(high)).all()


def test_behind_a_scaler_the_value_is_searched(rows):
    model, found = at_splits(
        make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=0)), rows, "float64"
    )
    assert found.tested == found.splits > 10
    half = len(found.frame) // 2
    low, high = found.frame[:half], found.frame[half:]
    scaled = [model[0].transform(each) for each in (low, high)]
    leaves = [model[1].apply(each) for each in scaled]
    assert (leaves[0] != leaves[1]).all()


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        GradientBoostingClassifier(n_estimators=5),
        HistGradientBoostingClassifier(max_iter=5),
        lightgbm.LGBMClassifier(n_estimators=5, verbose=-1),
        StackingClassifier([("trees", lightgbm.LGBMClassifier(n_estimators=5, verbose=-1))]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_no_library_s_trees_are_overlooked(model, rows):
    _, found = at_splits(model, rows)
    assert found.tested == found.splits > 10


def test_more_splits_than_the_limit_are_sampled(rows, monkeypatch):
    monkeypatch.setattr(splits, "MAX_SPLITS", 10)
    _, found = at_splits(GradientBoostingClassifier(n_estimators=20), rows)
    assert found.tested == 10
    assert found.splits > 10


def test_a_model_without_trees_has_no_such_rows(rows):
    _, found = at_splits(make_pipeline(StandardScaler(), LogisticRegression()), rows)
    assert (len(found.frame), found.splits) == (0, 0)


def test_rounding_down_keeps_every_comparison_of_a_float32(rows):
    thresholds = rows.train.features.to_numpy()[:, 0] + 1e-9
    rounded = round_down(thresholds)
    assert rounded.dtype == np.float32
    for value in (rounded, np.nextafter(rounded, np.float32(np.inf))):
        np.testing.assert_array_equal(value.astype(float) <= thresholds, value <= rounded)
