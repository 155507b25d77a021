"""What an artifact says about its training data is read, checked, and refused where it is wrong."""

import json

import pytest

from predictor.errors import LoadError
from predictor.model.training_ranges import FeatureProfile
from tests.predictor.graphs import METADATA, classifier, one_input_per_column, with_metadata
from tests.predictor.parts import servable_of

RADIUS = {
    "name": "mean_radius", "group": "mean", "description": "how large", "unit": None,
    "minimum": -1.0, "median": 0.5, "maximum": 2,
}  # fmt: skip
TEXTURE = {"name": "mean_texture", "minimum": -3.0, "maximum": 3.0}
PROFILES = [RADIUS, TEXTURE]
BACKGROUND = [[1.0, 0], [0.5, -0.5]]


def ours(**metadata):
    return classifier(metadata={**METADATA, **metadata})


def refused(folder, model):
    with pytest.raises(LoadError) as caught:
        servable_of(folder, model)
    assert caught.value.stage == "signature"
    return caught.value.reason


def test_profiles_and_background_are_the_servables(tmp_path):
    """In the order of the features, with what is unknown as None."""
    servable = servable_of(tmp_path, ours(feature_profiles=PROFILES, background=BACKGROUND))
    assert servable.profiles == (
        FeatureProfile("mean_radius", "mean", "how large", None, -1.0, 0.5, 2.0),
        FeatureProfile("mean_texture", minimum=-3.0, maximum=3.0),
    )
    assert servable.background == ((1.0, 0.0), (0.5, -0.5))
    assert all(isinstance(value, float) for row in servable.background for value in row)


def test_a_graph_without_them_is_served_without(tmp_path):
    """Older versions of ours, and other people's."""
    for number, model in enumerate((ours(), classifier(), one_input_per_column())):
        servable = servable_of(tmp_path / str(number), model)
        assert (servable.profiles, servable.background) == ((), ())


def test_features_that_are_no_numbers(tmp_path):
    """Are described, and have no range; a background has a value of each."""
    model = with_metadata(
        one_input_per_column(),
        feature_profiles=[
            {"name": "age", "minimum": 18, "median": 40, "maximum": 99, "unit": "years"},
            {"name": "smoker", "description": "at present"},
            {"name": "dose", "minimum": 0.5, "maximum": 0.5},
            {"name": "code"},
        ],
        background=[[40, True, 0.5, "A"]],
    )
    servable = servable_of(tmp_path, model)
    assert servable.profiles[0].unit == "years"
    assert servable.profiles[1].minimum is None
    assert servable.background == ((40, True, 0.5, "A"),)


@pytest.mark.parametrize(
    ("profiles", "message"),
    [
        ([RADIUS], "of its features"),
        ([TEXTURE, RADIUS], "of its features"),
        ([RADIUS, TEXTURE, TEXTURE], "of its features"),
        ([RADIUS, {**TEXTURE, "name": "texture"}], "of its features"),
        ([RADIUS, {**TEXTURE, "minimum": 4.0}], "order"),
        ([RADIUS, {**TEXTURE, "median": 4.0}], "order"),
        ([RADIUS, {**TEXTURE, "median": -4.0}], "order"),
        ([RADIUS, {**TEXTURE, "minimum": None}], "without the other"),
        ([RADIUS, {**TEXTURE, "maximum": None}], "without the other"),
        ([RADIUS, {**TEXTURE, "maximum": 1e39}], "fit float32"),
        ([RADIUS, {**TEXTURE, "minimum": "low"}], "not readable"),
        ([RADIUS, {**TEXTURE, "minimum": float("nan")}], "not readable"),
        ([RADIUS, {**TEXTURE, "maximum": float("inf")}], "not readable"),
        ([RADIUS, {**TEXTURE, "description": "x" * 1001}], "not readable"),
        ([RADIUS, {**TEXTURE, "unit": "x" * 201}], "not readable"),
        ([RADIUS, {**TEXTURE, "unit": 1}], "not readable"),
        ([RADIUS, "mean_texture"], "not readable"),
        ({"mean_radius": RADIUS}, "not readable"),
    ],
)
def test_profiles_that_contradict_the_features_are_refused(tmp_path, profiles, message):
    """What is there and cannot be right is not taken for nothing."""
    assert message in refused(tmp_path, ours(feature_profiles=profiles))


def test_ranges_of_booleans_and_strings_are_refused(tmp_path):
    """A yes or no has no median."""
    profiles = [{"name": name} for name in ("age", "smoker", "dose", "code")]
    profiles[1]["median"] = 1.0
    model = with_metadata(one_input_per_column(), feature_profiles=profiles)
    assert "a boolean has no minimum" in refused(tmp_path, model)


@pytest.mark.parametrize(
    ("background", "message"),
    [
        ([[123.5]], "row 1 has 1 values"),
        ([[123.5, 1.0, 1.0]], "row 1 has 3 values"),
        ([[1.0, 0.0], [1.0, "123.5"]], "row 2, 'mean_texture'"),
        ([[123.5, None]], "row 1, 'mean_texture'"),
        ([[123.5, float("nan")]], "not readable"),
        ([[123.5, 1e39]], "row 1, 'mean_texture'"),
        ([123.5], "not readable"),
        ({"mean_radius": 123.5}, "not readable"),
        ([[0.0, 0.0]] * 1001, "over 1000 rows"),
    ],
)
def test_a_background_that_is_not_of_the_features_is_refused(tmp_path, background, message):
    """By place, and without a value: it is some patient's."""
    reason = refused(tmp_path, ours(background=background))
    assert message in reason
    assert "123.5" not in reason


def test_metadata_that_are_cut_off_are_refused(tmp_path):
    """Not JSON at all."""
    text = json.dumps(BACKGROUND)[:-1]
    assert "not readable" in refused(tmp_path, with_metadata(ours(), as_text={"background": text}))
