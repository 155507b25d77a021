"""Coefficients in the metadata count once the model's own predictions prove them."""

import numpy as np
import pytest

from predictor.errors import LoadError
from predictor.model.answers import Answer
from tests.predictor.graphs import (
    METADATA,
    OURS,
    classifier,
    one_input_per_column,
    regressor,
    with_metadata,
)
from tests.predictor.parts import servable_of

BACKGROUND = [[1.0, 0.5], [-0.5, 0.25], [0.0, 0.0]]
LINEAR = {"coefficients": [2.0, -4.0], "intercept": 0.0}  # of OURS, in log-odds of malignant
SUM = {"coefficients": [1.0, 1.0], "intercept": 0.0}  # of `regressor()`


def test_log_odds_of_the_positive_class(tmp_path):
    servable = servable_of(tmp_path, with_metadata(OURS, background=BACKGROUND, linear=LINEAR))
    linear = servable.linear
    assert linear is not None
    assert (linear.label, linear.weights.tolist()) == ("malignant", [2.0, -4.0])
    assert linear.scores(np.array(BACKGROUND)).tolist() == [0.0, -2.0, 0.0]


def test_the_value_of_a_regression(tmp_path):
    model = with_metadata(regressor(), background=BACKGROUND, linear=SUM)
    linear = servable_of(tmp_path, model).linear
    assert linear is not None
    assert linear.label is None
    assert linear.scores(np.array(BACKGROUND)).tolist() == [1.5, -0.25, 0.0]


def test_a_linear_graph_without_the_entry_is_not_known_to_be_linear(tmp_path):
    assert servable_of(tmp_path, with_metadata(OURS, background=BACKGROUND)).linear is None


def test_without_a_background_there_is_nothing_to_explain(tmp_path):
    assert servable_of(tmp_path, with_metadata(OURS, linear=LINEAR)).linear is None


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": [2.001, -4.0]},
        {"coefficients": [-2.0, 4.0]},
        {"intercept": 0.001},
    ],
    ids=["coefficient", "of the other class", "intercept"],
)
def test_coefficients_that_contradict_the_model_are_refused(change, tmp_path):
    model = with_metadata(OURS, background=BACKGROUND, linear=LINEAR | change)
    with pytest.raises(LoadError, match=r"contradict the model in row [12] of") as raised:
        servable_of(tmp_path, model)
    assert raised.value.stage == "signature"


@pytest.mark.parametrize(
    ("model", "more", "reason"),
    [
        (OURS, {"linear": {"coefficients": [1.0], "intercept": 0.0}}, "1 coefficients, not one"),
        (OURS, {"linear": {"intercept": 0.0}}, "missing required field `coefficients`"),
        (regressor(targets=2), {"linear": SUM}, "contradict the model"),
        (
            classifier(metadata={**METADATA, "positive_class": None, "recorded_examples": []}),
            {"linear": LINEAR},
            "no positive_class of two",
        ),
        (
            regressor(),
            {"linear": SUM, "optional_features": ["feature_1"]},
            "optional_features may be missing",
        ),
        (
            one_input_per_column(),
            {
                "linear": {"coefficients": [1.0] * 4, "intercept": 0.0},
                "background": [[40, True, 1.5, "A"]],
            },
            "not take one table of numbers",
        ),
    ],
    ids=["too few", "unreadable", "two targets", "no positive class", "missing values", "columns"],
)
def test_an_entry_of_another_shape_is_refused(model, more, reason, tmp_path):
    with pytest.raises(LoadError, match=reason) as raised:
        servable_of(tmp_path, with_metadata(model, **{"background": BACKGROUND} | more))
    assert raised.value.stage == "signature"


def test_every_row_must_have_the_prediction(tmp_path):
    """Nor does a model without probabilities prove anything."""
    servable = servable_of(tmp_path, with_metadata(OURS, background=BACKGROUND, linear=LINEAR))
    rows, answers = np.array(BACKGROUND), list(servable.answer(servable.background))
    servable.linear.check(rows, answers)
    for wrong in (Answer("malignant"), LoadError("examples", "fails"), answers[1]):
        with pytest.raises(LoadError, match="row 3"):
            servable.linear.check(rows, [*answers[:2], wrong])
