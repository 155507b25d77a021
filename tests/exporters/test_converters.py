"""Boosting libraries' models are converted with the same comparisons, alone and inside other estimators."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import AdaBoostClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from exporters.errors import ConversionError, ExportError
from exporters.export import export


@pytest.fixture(scope="module")
def signed():
    """Rows on both sides of 0, where LightGBM has thresholds; a number to predict."""
    random = np.random.default_rng(11)
    frame = pd.DataFrame(np.round(random.normal(size=(120, 3)) * 3, 2), columns=["a", "b", "c"])
    return frame, frame.to_numpy() @ [1.0, 0.5, -0.25] + 10


def boosting(kind=lightgbm.LGBMRegressor, **settings):
    return kind(**{"n_estimators": 8, "verbose": -1, "min_child_samples": 5, **settings})


@pytest.mark.parametrize("classes", [2, 3])
def test_a_random_forest_of_lightgbm_is_a_mean(signed, classes):
    frame, values = signed
    settings = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    assert export(boosting(**settings).fit(frame, values), frame).parity.passed
    labels = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3] if classes > 2 else [1 / 2]))
    model = boosting(lightgbm.LGBMClassifier, **settings).fit(frame, labels)
    assert export(model, frame).parity.passed


def test_a_boosted_regressor_behind_a_scaler_is_computed_in_float64(signed):
    frame, values = signed
    model = make_pipeline(StandardScaler(), boosting()).fit(frame, values)
    assert export(model, frame).parity.precision == "float64"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: CalibratedClassifierCV(model, cv=2),
        lambda model: VotingClassifier(
            [("trees", model), ("line", LogisticRegression())], voting="soft"
        ),
    ],
    ids=["calibrated", "voting"],
)
@pytest.mark.parametrize("classes", [2, 3])
def test_boosting_inside_other_classifiers(signed, wrap, classes):
    frame, values = signed
    numbers = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3] if classes > 2 else [1 / 2]))
    model = wrap(boosting(lightgbm.LGBMClassifier, n_estimators=4))
    parity = export(model.fit(frame, np.array(["low", "mid", "top"])[numbers]), frame).parity
    assert parity.measure == "probabilities"
    assert parity.splits_tested > 10


def test_boolean_labels_of_an_estimator_whose_converter_knows_only_texts_and_integers(signed):
    frame, values = signed
    model = AdaBoostClassifier(n_estimators=3).fit(frame, values > 10)
    assert export(model, frame).parity.passed


@pytest.mark.parametrize(
    ("kind", "settings", "help_"),
    [
        (lightgbm.LGBMRegressor, {"linear_tree": True}, "linear_tree=False"),
        (lightgbm.LGBMClassifier, {"objective": "multiclassova"}, "objective='multiclass'"),
    ],
)
def test_what_the_converter_would_compute_otherwise_is_refused(signed, kind, settings, help_):
    frame, values = signed
    labels = np.digitize(values, np.quantile(values, [1 / 3, 2 / 3]))
    model = boosting(kind, **settings).fit(frame, labels)
    with pytest.raises(ConversionError, match=help_):
        export(model, frame)


def test_a_bare_booster_is_refused_with_what_to_give_instead(signed):
    frame, values = signed
    with pytest.raises(ExportError, match="give the estimator, such as LGBMClassifier"):
        export(boosting().fit(frame, values).booster_, frame)
