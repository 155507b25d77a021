"""Estimators of scikit-learn that skl2onnx lacks, or converts only in part."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import RFE, SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from exporters.answers import session
from exporters.errors import ConversionError
from exporters.export import export
from trainer.wdbc import FEATURES

SCALED = make_pipeline(StandardScaler(), LogisticRegression())


@pytest.fixture(scope="module")
def few(rows):
    return rows.train.features[[*FEATURES[:4]]]


@pytest.mark.parametrize(
    "model",
    [
        FixedThresholdClassifier(SCALED, threshold=0.1, pos_label="malignant"),
        FixedThresholdClassifier(
            LogisticRegression(max_iter=1000), pos_label="benign", threshold=0.9
        ),
        TunedThresholdClassifierCV(GridSearchCV(SCALED, {}, cv=2), cv=2),
        CalibratedClassifierCV(SCALED, method="isotonic", cv=2),
        LinearDiscriminantAnalysis(),
        SelfTrainingClassifier(SCALED),
        make_pipeline(KBinsDiscretizer(3), LogisticRegression()),
        make_pipeline(SelectKBest(k=1), LogisticRegression()),
        make_pipeline(RFE(LogisticRegression(max_iter=1000)), SCALED),
        GradientBoostingClassifier(n_estimators=3),
        DummyClassifier(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_classifiers(few, rows, model):
    target = rows.train.target
    if isinstance(model, TunedThresholdClassifierCV | SelfTrainingClassifier):
        target = (target == "malignant").astype(int)
    parity = export(model.fit(few, target), few).parity
    assert parity.passed
    assert parity.measure == "probabilities"


def test_a_calibration_of_a_classifier_that_was_fitted_before(few, rows):
    fitted = SCALED.fit(few, rows.train.target)
    model = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(few, rows.train.target)
    assert export(model, few).parity.passed


@pytest.mark.parametrize(
    "transformation",
    [
        {"func": np.log1p, "inverse_func": np.expm1},
        {"transformer": StandardScaler()},
        {"transformer": MinMaxScaler()},
    ],
    ids=["logarithm", "standard", "range"],
)
@pytest.mark.parametrize("targets", [1, 2])
def test_a_regressor_of_a_transformed_target(few, transformation, targets):
    values = few.iloc[:, 0] if targets == 1 else few.iloc[:, :2]
    scaled = make_pipeline(StandardScaler(), LinearRegression())
    model = TransformedTargetRegressor(scaled, **transformation).fit(few, values / 10)
    assert export(model, few).parity.passed


def test_boosting_keeps_its_first_guess(few):
    model = GradientBoostingRegressor(n_estimators=3).fit(few, few.iloc[:, 0] * 2)
    assert export(model, few).parity.passed


@pytest.mark.parametrize("targets", [1, 2])
def test_a_constant_regressor(few, targets):
    values = few.iloc[:, 0] if targets == 1 else few.iloc[:, :2]
    assert export(DummyRegressor().fit(few, values), few).parity.passed


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(max_depth=4, random_state=0),
        DecisionTreeRegressor(max_depth=4, random_state=0),
        RandomForestClassifier(5, random_state=0),
        RandomForestRegressor(5, max_depth=4, random_state=0),
        ExtraTreesClassifier(5, random_state=0),
        BaggingClassifier(n_estimators=3, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_trees_send_missing_values_where_the_fit_did(few, rows, model):
    """Some splits part missing values from all others: their threshold is infinite."""
    gaps = few.mask(few.rank(pct=True) < 0.2)
    gaps.iloc[:, 1] = few.iloc[:, 1].mask(rows.train.target == "malignant")
    target = few.iloc[:, 0] if "Regressor" in type(model).__name__ else rows.train.target
    made = export(model.fit(gaps, target), gaps)
    assert made.parity.passed
    assert made.parity.rows_by_kind["missing value"] > 0


@pytest.mark.parametrize("function", [np.log1p, np.sqrt, np.square], ids=lambda each: each.__name__)
def test_columns_that_a_function_of_numpy_transforms(few, function):
    positive = few + few.max()
    model = make_pipeline(FunctionTransformer(function), StandardScaler(), LinearRegression())
    assert export(model.fit(positive, few.iloc[:, 0]), positive.head(20)).parity.passed


def test_the_logarithm_of_zero_has_no_prediction():
    """Scikit-learn's next step refuses what is infinite; a graph would compute with it."""
    counts = np.arange(100, 140).reshape(20, 2)
    model = make_pipeline(FunctionTransformer(np.log), LogisticRegression())
    made = export(model.fit(counts, np.arange(20) % 2), counts[1:2])
    (answered,) = session(made.content).run(["probabilities"], {"features": np.zeros((1, 2), "f")})
    assert np.isnan(answered).all()


def test_another_function_is_refused_by_name(few, rows):
    model = make_pipeline(FunctionTransformer(np.tanh), LogisticRegression())
    with pytest.raises(ConversionError, match=r"functiontransformer .*the func tanh"):
        export(model.fit(few, rows.train.target), few)


@pytest.mark.parametrize(
    "model",
    [
        RandomForestClassifier(5, random_state=0),
        make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())),
        KNeighborsClassifier(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_probabilities_of_several_targets_are_compared(few, rows, model):
    benign = np.where(rows.train.target == "benign", 1, 0)
    targets = np.column_stack([benign, np.digitize(few.iloc[:, 1], [15, 20])])
    if not isinstance(model, Pipeline):
        targets[:, 1] = targets[:, 1] > 0
    parity = export(model.fit(few, targets), few).parity
    assert parity.passed
    assert parity.measure == "probabilities"


@pytest.mark.parametrize(
    ("model", "help_"),
    [
        (DecisionTreeClassifier(), "wrong probabilities for several targets"),
        (MultiOutputClassifier(RidgeClassifier()), "have no probabilities"),
    ],
    ids=["a tree", "no probabilities"],
)
def test_several_targets_that_skl2onnx_converts_wrongly_are_refused(few, model, help_):
    with pytest.raises(ConversionError, match=help_):
        export(model.fit(few, few.iloc[:, :2] > few.iloc[:, :2].mean()), few)


def test_another_transformation_is_refused_by_name(few):
    model = TransformedTargetRegressor(
        LinearRegression(), transformer=QuantileTransformer(n_quantiles=10)
    )
    with pytest.raises(ConversionError, match="transformed by QuantileTransformer"):
        export(model.fit(few, few.iloc[:, 0]), few)


def test_a_network_of_several_targets(few):
    model = make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=5, max_iter=20, random_state=0)
    )
    assert export(model.fit(few, few.iloc[:, :3] / 100), few).parity.passed


def test_several_targets_with_a_tie_are_compared_by_their_probabilities(few, rows):
    """Half of the trees vote for either label: float32 and float64 can decide otherwise."""
    target = np.column_stack([rows.train.target == "malignant", few.iloc[:, 0] > 14]).astype(int)
    model = RandomForestClassifier(10, max_depth=3, random_state=0).fit(few, target)
    assert export(model, few).parity.passed


def test_an_incomplete_converter_is_refused_with_another_estimator_to_use(few, rows):
    model = OneVsOneClassifier(LogisticRegression(max_iter=1000)).fit(few, rows.train.target)
    with pytest.raises(ConversionError, match="use OneVsRestClassifier"):
        export(model, few)
