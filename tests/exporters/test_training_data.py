"""What an artifact says about its training data."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest

from exporters.sklearn_onnx import export
from exporters.training_data import Description, TrainingData, background, feature_profiles
from trainer.measurements import DESCRIPTIONS
from trainer.wdbc import FEATURES

FRAME = pd.DataFrame({"dose": [3.0, 1.0, 2.5], "age": [30.0, 70.0, 50.0]})
LABELS = np.array(["a", "b", "a"])


def test_a_profile_says_what_a_feature_is_and_where_its_values_lay():
    """A feature that nobody described has its numbers all the same."""
    known = {"dose": Description("drug", "what was given", "mg")}
    dose, age = feature_profiles(TrainingData(FRAME, LABELS, known))
    assert (dose.name, dose.group, dose.description, dose.unit) == (
        "dose", "drug", "what was given", "mg",
    )  # fmt: skip
    assert (dose.minimum, dose.median, dose.maximum) == (1.0, 2.5, 3.0)
    assert (age.name, age.group, age.description, age.unit) == ("age", None, None, None)
    assert (age.minimum, age.median, age.maximum) == (30.0, 50.0, 70.0)


def test_the_background_is_rows_of_the_data_with_each_label_in_proportion(rows):
    """A row among several is of one label or of the other: 50 rows cannot halve it."""
    training = TrainingData(rows.train.features, rows.train.diagnosis)
    picked = background(training)
    all_rows = [*map(tuple, rows.train.features.to_numpy().tolist())]
    places = [all_rows.index(tuple(row)) for row in picked]
    assert len(picked) == 50
    assert places == sorted(set(places))
    malignant = (rows.train.diagnosis[places] == "malignant").sum()
    assert abs(malignant - 50 * (rows.train.diagnosis == "malignant").mean()) <= 1
    assert picked == background(training)
    assert picked != background(training, seed=1)


def test_a_small_data_set_is_its_own_background():
    """Every row, once."""
    assert background(TrainingData(FRAME, LABELS)) == FRAME.to_numpy().tolist()


def test_the_background_of_one_row():
    """Even spacing over a single place."""
    only = TrainingData(FRAME.head(1), LABELS[:1])
    assert background(only) == [[3.0, 30.0]]


@pytest.fixture(scope="module")
def training(rows):
    return TrainingData(rows.train.features, rows.train.diagnosis, DESCRIPTIONS)


def test_the_training_data_travel_inside_the_file_alike_each_time(fitted, rows, training):
    """The same bytes for the same data: a version's digest says what it was made of."""
    pipeline = fitted("logistic_regression")
    exported = export(pipeline, rows.test.features, "malignant", training)
    assert export(pipeline, rows.test.features, "malignant", training) == exported
    said = onnx.load_from_string(exported.content).metadata_props
    props = {each.key: json.loads(each.value) for each in said}
    assert props["background"] == background(training)
    profiles = props["feature_profiles"]
    assert [profile["name"] for profile in profiles] == list(FEATURES)
    assert set(profiles[0]) == {
        "name", "group", "description", "unit", "minimum", "median", "maximum",
    }  # fmt: skip
    column = rows.train.features["worst_area"]
    worst_area = profiles[FEATURES.index("worst_area")]
    assert worst_area["group"] == "worst"
    assert (worst_area["minimum"], worst_area["maximum"]) == (column.min(), column.max())


def test_an_export_without_training_data_says_nothing_of_them(fitted, rows):
    """Neither ranges nor a background."""
    exported = export(fitted("logistic_regression"), rows.test.features, "malignant")
    keys = {each.key for each in onnx.load_from_string(exported.content).metadata_props}
    assert keys == {
        "feature_names", "class_labels", "positive_class", "recorded_examples", "linear",
    }  # fmt: skip
