"""The rows that a parity check asks about."""

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from exporters.rows import generated_rows, threshold_rows
from exporters.trees import round_down


@pytest.fixture
def training(rows):
    return rows.train.features.to_numpy()


def test_generated_rows_fit_float32_and_go_beyond_the_training_ranges(training):
    made = generated_rows(training, count=1000, seed=3)
    assert made.shape == (1000, 30)
    assert (made == made.astype(np.float32)).all()
    low, high = training.min(axis=0), training.max(axis=0)
    inside = (made >= low) & (made <= high)
    assert inside.all(axis=1).sum() > 300
    assert (made < low).any(axis=0).all()
    assert (made > high).any(axis=0).all()
    np.testing.assert_array_equal(made, generated_rows(training, count=1000, seed=3))


def test_each_pair_of_threshold_rows_is_one_float32_apart_and_parts_at_its_split(rows, training):
    tree = DecisionTreeClassifier(random_state=0)
    pipeline = Pipeline([("classify", tree)]).fit(training, rows.train.diagnosis)
    left, right = np.split(threshold_rows(pipeline, training).astype(np.float32), 2)
    assert len(left) == tree.tree_.node_count - tree.get_n_leaves()
    moved = left != right
    assert (moved.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(np.nextafter(left, np.float32(np.inf))[moved], right[moved])
    assert (tree.apply(left) != tree.apply(right)).all()


def test_more_splits_than_wanted_are_sampled(rows, training):
    pipeline = Pipeline([("classify", GradientBoostingClassifier(n_estimators=20))])
    pipeline.fit(training, rows.train.diagnosis)
    assert threshold_rows(pipeline, training, splits=10).shape == (20, 30)


def test_no_threshold_rows_where_thresholds_are_not_in_the_units_of_the_features(rows, training):
    pipeline = Pipeline([("scale", StandardScaler()), ("classify", DecisionTreeClassifier())])
    pipeline.fit(training, rows.train.diagnosis)
    assert threshold_rows(pipeline, training).shape == (0, 30)


def test_no_threshold_rows_without_trees(fitted, training):
    assert threshold_rows(fitted("logistic_regression"), training).shape == (0, 30)


def test_rounding_down_keeps_every_comparison_of_a_float32(training):
    thresholds = training[:, 0] + 1e-9
    rounded = round_down(thresholds)
    assert rounded.dtype == np.float32
    for value in (rounded, np.nextafter(rounded, np.float32(np.inf))):
        np.testing.assert_array_equal(value.astype(float) <= thresholds, value <= rounded)
