"""What an artifact says about its training data."""

import numpy as np
import pandas as pd

from exporters.table import read_table
from exporters.training_data import Description, background, feature_profiles

FRAME = pd.DataFrame({"dose": [3.0, 1.0, 2.5], "age": [30.0, 70.0, 50.0]})
LABELS = np.array(["a", "b", "a"])


def test_a_profile_describes_a_feature_and_the_range_of_its_values():
    known = {"dose": Description("drug", "what was given", "mg")}
    dose, age = feature_profiles(read_table(FRAME), known)
    assert (dose.name, dose.group, dose.description, dose.unit) == (
        "dose", "drug", "what was given", "mg",
    )  # fmt: skip
    assert (dose.minimum, dose.median, dose.maximum) == (1.0, 2.5, 3.0)
    assert (age.name, age.group, age.description, age.unit) == ("age", None, None, None)
    assert (age.minimum, age.median, age.maximum) == (30.0, 50.0, 70.0)


def test_texts_and_booleans_have_no_range_and_missing_values_do_not_count(mixed):
    frame, _ = mixed
    profiles = {each.name: each for each in feature_profiles(read_table(frame), {})}
    assert profiles["1st ward"].minimum is profiles["insured"].median is None
    assert profiles["größe (cm²)"].maximum == frame["größe (cm²)"].max()


def test_the_background_is_rows_of_the_data_with_each_label_in_proportion(rows):
    table, labels = read_table(rows.train.features), rows.train.target
    picked = background(table, labels)
    all_rows = [*map(tuple, rows.train.features.to_numpy().tolist())]
    places = [all_rows.index(tuple(row)) for row in picked]
    assert len(picked) == 50
    assert places == sorted(set(places))
    # A row between two labels is of one or of the other: 50 rows cannot halve it.
    assert abs((labels[places] == "malignant").sum() - 50 * (labels == "malignant").mean()) <= 1
    assert picked == background(table, labels)
    assert picked != background(table, labels, seed=1)


def test_a_small_data_set_is_its_own_background():
    assert background(read_table(FRAME), LABELS) == FRAME.to_numpy().tolist()
    assert background(read_table(FRAME.head(1)), None) == [[3.0, 30.0]]


def test_missing_values_and_texts_are_in_the_background_as_json_has_them(mixed):
    frame, _ = mixed
    picked = background(read_table(frame), None)
    assert {type(value) for row in picked for value in row} == {float, int, bool, str, type(None)}
