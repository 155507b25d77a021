"""The estimators of the table in docs/estimators.md: scikit-learn's own `all_estimators()`, and the boosting libraries."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier, is_outlier_detector, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    BaggingClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import all_estimators

from compatibility.scikit_learn import INNER, SMALLER

ROWS = 120
_RANDOM = np.random.default_rng(11)
# Two decimals, as in most files: float32 and float64 hold different values.
_VALUES = np.round(_RANDOM.normal(size=(ROWS, 4)) * 3, 2)
_SCORE = _VALUES @ [1.0, 0.5, -0.25, 0.0] + _RANDOM.normal(size=ROWS) / 3
_THIRDS = np.digitize(_SCORE, np.quantile(_SCORE, [1 / 3, 2 / 3]))
_HALVES = (np.median(_SCORE) < _SCORE).astype(int)

FRAME = pd.DataFrame(_VALUES, columns=["age", "dose", "pulse", "weight"])
GAPS = FRAME.mask(_RANDOM.random(FRAME.shape) < 0.1)  # noqa: PLR2004
MIXED = GAPS[["age", "dose"]].assign(
    beds=np.arange(ROWS) % 4,
    insured=np.arange(ROWS) % 3 == 0,
    ward=np.array(["Ost", "West", "Süd"], object)[np.arange(ROWS) % 3],
    note=np.array(["pain in the chest", "no pain", "cough", "fever and cough"], object)[
        np.arange(ROWS) % 4
    ],
)
NOTES = MIXED[["note"]]
TARGETS: dict[str, Any] = {
    "2 text classes": np.array(["benign", "malignant"])[_HALVES],
    "2 number classes": _HALVES,
    "2 boolean classes": _HALVES.astype(bool),
    "3 text classes": np.array(["benign", "malignant", "unsure"])[_THIRDS],
    "3 number classes": _THIRDS,
    "2 labels a row": np.column_stack([_HALVES, _THIRDS]),
    "a number": _SCORE - np.min(_SCORE) + 0.5,
    "2 numbers": np.column_stack([_SCORE - np.min(_SCORE) + 0.5, _VALUES[:, 1] ** 2]),
    "a rank": _THIRDS,
    "clusters": None,
    "outliers": None,
}
_STEPS: dict[str, dict[str, Any]] = {
    "OrdinalEncoder": {"handle_unknown": "use_encoded_value", "unknown_value": -1},
    "DictionaryLearning": {"n_components": 2, "max_iter": 5},
    "KNeighborsTransformer": {"n_neighbors": 3},
    "LatentDirichletAllocation": {"n_components": 2, "max_iter": 2},
    "QuantileTransformer": {"n_quantiles": 20},
    "GenericUnivariateSelect": {"mode": "k_best", "param": 2},
    "RFE": {"estimator": LogisticRegression()},
    "RFECV": {"estimator": LogisticRegression()},
    "SelectFromModel": {"estimator": LogisticRegression()},
    "SelectKBest": {"k": 2},
    "SelectPercentile": {"percentile": 50},
    "SequentialFeatureSelector": {"estimator": LogisticRegression()},
    "ColumnTransformer": {
        "transformers": [("scale", StandardScaler(), [0, 1])], "remainder": "passthrough",
    },
    "FeatureUnion": {"transformer_list": [("scale", StandardScaler()), ("bins", SimpleImputer())]},
    "GaussianRandomProjection": {"n_components": 2},
    "SparseRandomProjection": {"n_components": 2},
    "PolynomialCountSketch": {"n_components": 8},
}  # fmt: skip
_FINAL: dict[str, dict[str, Any]] = {
    "Pipeline": {"steps": [("scale", StandardScaler()), ("line", LogisticRegression())]},
    "CCA": {"n_components": 1},
    "LocalOutlierFactor": {"novelty": True},
    "OrthogonalMatchingPursuitCV": {"max_iter": 3},
    "PLSCanonical": {"n_components": 1},
    "PLSRegression": {"n_components": 1},
    "RadiusNeighborsClassifier": {"radius": 30.0},
    "RadiusNeighborsRegressor": {"radius": 30.0},
    "TransformedTargetRegressor": {"func": np.log1p, "inverse_func": np.expm1},
    "GaussianMixture": {"n_components": 3},
    "KMeans": {"n_clusters": 3},
    "IsotonicRegression": {"out_of_bounds": "clip"},
}
_QUICK = {
    "LGBMClassifier", "LGBMRegressor", "LGBMRanker", "LGBMRegressor (rf)", "StandardScaler, LGBMRegressor",
    "CalibratedClassifierCV of LGBMClassifier", "ColumnTransformer with texts, LGBMClassifier",
    "CalibratedClassifierCV", "GaussianNB", "HistGradientBoostingRegressor", "KMeans", "KNeighborsClassifier",
    "LinearDiscriminantAnalysis", "LogisticRegression", "MLPRegressor", "PLSRegression", "PowerTransformer", "RFE",
    "RandomForestClassifier", "SVC", "TfidfVectorizer", "TransformedTargetRegressor", "FixedThresholdClassifier",
}  # fmt: skip
_TEXT = {"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"}
_CATEGORIES = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}


@dataclass(frozen=True)
class Proof:
    """One row of the table before the test; `fit` returns the fitted model, and the rows for the export."""

    library: str
    estimator: str
    predicts: str
    fit: Callable[[], tuple[Any, Any]] = field(repr=False, compare=False)
    quick: bool = False  # part of every run of the tests


def cases() -> Iterator[Proof]:
    """All of them."""
    yield from scikit_learn()
    yield from _lightgbm()
    yield from _xgboost()
    yield from _catboost()


def scikit_learn() -> Iterator[Proof]:
    """Each estimator that predicts, alone; and each transformer as the step before a logistic regression."""
    for name, kind in all_estimators():
        made = _made(name, kind)
        if made is None:
            continue
        if (hasattr(kind, "predict") or name in _FINAL) and not name.startswith("RFE"):
            for predicts in _kinds(made, name):
                yield Proof("scikit-learn", name, predicts, partial(_fitted, made, FRAME, predicts),
                            quick=name in _QUICK)  # fmt: skip
        elif hasattr(kind, "transform"):
            rows = NOTES if name in _TEXT | _CATEGORIES else FRAME
            step = make_column_transformer((made, "note")) if name in _TEXT else made
            model = make_pipeline(step, LogisticRegression(max_iter=300))
            yield Proof("scikit-learn", f"{name}, LogisticRegression", "2 text classes",
                        partial(_fitted, model, rows, "2 text classes"), quick=name in _QUICK)  # fmt: skip


def _made(name: str, kind: type[Any]) -> Any:
    try:
        made = kind(**{**INNER, **_STEPS, **_FINAL}.get(name, {}))
    except TypeError:  # no table of numbers suits it
        return None
    known = made.get_params()
    return made.set_params(**{key: value for key, value in SMALLER.items() if key in known})


_ONLY = {
    "ClassifierChain": ["2 labels a row"],
    "MultiOutputClassifier": ["2 labels a row"],
    "SelfTrainingClassifier": ["2 number classes", "3 number classes"],
    "MLPRegressor": ["a number", "2 numbers"],
}


def _kinds(made: Any, name: str) -> list[str]:
    """What to let an estimator predict."""
    if name in _ONLY:
        return _ONLY[name]
    tags = made.__sklearn_tags__()
    if is_classifier(made):
        more = ["3 text classes"] if tags.classifier_tags.multi_class else []
        several = ["2 labels a row"] if tags.target_tags.multi_output else []
        return ["2 text classes", "2 boolean classes", *more, *several]
    if is_regressor(made):
        if name.startswith(("MultiTask", "MultiOutput", "RegressorChain")):
            return ["2 numbers"]
        return ["a number", *(["2 numbers"] if tags.target_tags.multi_output else [])]
    return ["outliers"] if is_outlier_detector(made) else ["clusters"]


def _fitted(estimator: Any, rows: Any, predicts: str, **settings: Any) -> tuple[Any, Any]:
    """A fitted clone, on rows that suit it: only positive ones, whole numbers, or one column."""
    target = TARGETS[predicts]
    failure: Exception | None = None
    tried = (
        [rows] if rows is not FRAME else [FRAME, FRAME.abs(), FRAME.abs().round(), FRAME[["age"]]]
    )
    for suited in tried:
        try:
            return clone(estimator).fit(suited, target, **settings), suited
        except ValueError as error:
            failure = failure or error
            if not re.search("egative|positive|1d|Isotonic", str(error)):
                break
    raise failure or AssertionError


def _lightgbm() -> Iterator[Proof]:
    settings = {"n_estimators": 10, "random_state": 0, "verbose": -1, "min_child_samples": 5}
    made = partial(_boosting, "lightgbm", settings)
    yield from _in_all_forms("LightGBM", "LGBMClassifier", "LGBMRegressor", made)
    bagged = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    for words, name, predicts, more in (
        ("dart", "LGBMClassifier", "2 text classes", {"boosting_type": "dart"}),
        ("rf", "LGBMClassifier", "3 text classes", bagged),
        ("rf", "LGBMRegressor", "a number", bagged),
        ("linear_tree", "LGBMRegressor", "a number", {"linear_tree": True}),
        ("poisson", "LGBMRegressor", "a number", {"objective": "poisson"}),
        ("quantile", "LGBMRegressor", "a number", {"objective": "quantile"}),
        ("multiclassova", "LGBMClassifier", "3 text classes", {"objective": "multiclassova"}),
    ):  # fmt: skip
        yield _case("LightGBM", f"{name} ({words})", predicts, partial(made, name, **more))
    ranker = partial(made, "LGBMRanker")
    yield _case("LightGBM", "LGBMRanker", "a rank", ranker, group=[ROWS // 3] * 3)


def _xgboost() -> Iterator[Proof]:
    made = partial(_boosting, "xgboost", {"n_estimators": 10, "random_state": 0, "n_jobs": 1})
    yield from _in_all_forms("XGBoost", "XGBClassifier", "XGBRegressor", made)
    yield _case("XGBoost", "XGBRFClassifier", "3 number classes", partial(made, "XGBRFClassifier"))
    yield _case("XGBoost", "XGBRFRegressor", "a number", partial(made, "XGBRFRegressor"))
    for words, name, predicts, more in (
        ("dart", "XGBClassifier", "2 number classes", {"booster": "dart"}),
        ("gblinear", "XGBClassifier", "2 number classes", {"booster": "gblinear"}),
        ("base_score", "XGBClassifier", "2 number classes", {"base_score": 0.25}),
        ("gblinear", "XGBRegressor", "a number", {"booster": "gblinear"}),
        ("count:poisson", "XGBRegressor", "a number", {"objective": "count:poisson"}),
        ("reg:gamma", "XGBRegressor", "a number", {"objective": "reg:gamma"}),
        ("reg:logistic", "XGBRegressor", "2 number classes", {"objective": "reg:logistic"}),
        ("several targets", "XGBRegressor", "2 numbers", {}),
    ):  # fmt: skip
        yield _case("XGBoost", f"{name} ({words})", predicts, partial(made, name, **more))
    ranker = partial(made, "XGBRanker")
    yield _case("XGBoost", "XGBRanker", "a rank", ranker, qid=np.arange(ROWS) // (ROWS // 3))


def _catboost() -> Iterator[Proof]:
    settings = {"iterations": 10, "verbose": 0, "allow_writing_files": False, "random_seed": 0}
    made = partial(_boosting, "catboost", {**settings, "thread_count": 1})
    yield from _in_all_forms("CatBoost", "CatBoostClassifier", "CatBoostRegressor", made)
    several = partial(made, "CatBoostRegressor", loss_function="MultiRMSE")
    yield _case("CatBoost", "CatBoostRegressor (MultiRMSE)", "2 numbers", several)
    ranker = partial(made, "CatBoostRanker")
    yield _case(
        "CatBoost", "CatBoostRanker", "a rank", ranker, group_id=np.arange(ROWS) // (ROWS // 3)
    )


def _boosting(module: str, settings: dict[str, Any], name: str, **more: Any) -> Any:
    """An estimator; the library is imported when a case is fitted."""
    return getattr(import_module(module), name)(**{**settings, **more})


def _case(
    library: str, words: str, predicts: str, made: Callable[[], Any], rows: Any = FRAME, **settings: Any
) -> Proof:  # fmt: skip
    def fit() -> tuple[Any, Any]:
        return _fitted(made(), rows, predicts, **settings)

    quick = words in _QUICK and "3" not in predicts
    return Proof(library, words, predicts, fit, quick)


def _in_all_forms(
    library: str, classifier: str, regressor: str, made: Callable[..., Any]
) -> Iterator[Proof]:
    """A classifier and a regressor alone, in pipelines, and inside scikit-learn's meta-estimators."""
    case = partial(_case, library)
    two, three = (
        ("2 number classes", "3 number classes")
        if library == "XGBoost"
        else ("2 text classes", "3 text classes")
    )
    chooses, values = partial(made, classifier), partial(made, regressor)
    for predicts in dict.fromkeys(("2 number classes", "2 boolean classes", two, three)):
        yield case(classifier, predicts, chooses)
    yield case(f"{classifier}, missing values", two, chooses, GAPS)
    yield case(f"{classifier}, missing values", three, chooses, GAPS)
    yield case(regressor, "a number", values)
    yield case(f"{regressor}, missing values", "a number", values, GAPS)
    yield case(
        f"StandardScaler, {regressor}",
        "a number",
        lambda: make_pipeline(StandardScaler(), values()),
    )
    yield case(
        f"ColumnTransformer with texts, {regressor}", "a number", lambda: _columns(values()), MIXED
    )
    wrapped: dict[str, Callable[[], Any]] = {
        f"StandardScaler, {classifier}": lambda: make_pipeline(StandardScaler(), chooses()),
        f"SelectFromModel of {classifier}, LogisticRegression": lambda: make_pipeline(
            SelectFromModel(chooses()), LogisticRegression()
        ),
        f"CalibratedClassifierCV of {classifier}": lambda: CalibratedClassifierCV(chooses(), cv=2),
        f"CalibratedClassifierCV (isotonic) of {classifier}": lambda: CalibratedClassifierCV(
            chooses(), cv=2, method="isotonic"
        ),
        f"CalibratedClassifierCV of a frozen {classifier}": lambda: CalibratedClassifierCV(
            FrozenEstimator(chooses().fit(FRAME, TARGETS[two]))
        ),
        f"FixedThresholdClassifier of {classifier}": lambda: FixedThresholdClassifier(
            chooses(), threshold=0.3
        ),
        f"VotingClassifier of {classifier}": lambda: VotingClassifier(
            [("boosting", chooses()), ("line", LogisticRegression())], voting="soft"
        ),
        f"StackingClassifier of {classifier}": lambda: StackingClassifier(
            [("boosting", chooses()), ("line", LogisticRegression())], cv=2
        ),
        f"BaggingClassifier of {classifier}": lambda: BaggingClassifier(
            chooses(), 3, random_state=0
        ),
        f"GridSearchCV of {classifier}": lambda: GridSearchCV(
            chooses(), {"max_depth": [2, 3]}, cv=2
        ),
    }
    for words, build in wrapped.items():
        yield case(words, two, build)
        if "Threshold" not in words and "frozen" not in words:
            yield case(words, three, build)
    yield case(
        f"ColumnTransformer with texts, {classifier}", two, lambda: _columns(chooses()), MIXED
    )
    yield case(
        f"ColumnTransformer with texts, {classifier}", three, lambda: _columns(chooses()), MIXED
    )
    yield case(
        f"MultiOutputClassifier of {classifier}",
        "2 labels a row",
        lambda: MultiOutputClassifier(chooses()),
    )
    yield case(
        f"MultiOutputRegressor of {regressor}", "2 numbers", lambda: MultiOutputRegressor(values())
    )
    yield case(f"TransformedTargetRegressor of {regressor}", "a number", lambda: TransformedTargetRegressor(
        values(), func=np.log1p, inverse_func=np.expm1))  # fmt: skip
    yield case(f"StackingRegressor of {regressor}", "a number", lambda: StackingRegressor(
        [("boosting", values()), ("line", LinearRegression())], cv=2))  # fmt: skip


def _columns(final: Any) -> Any:
    """A pipeline for columns of every kind, with gaps."""
    return make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "dose"]),
            ("passthrough", ["beds", "insured"]),
            (OneHotEncoder(handle_unknown="ignore"), ["ward"]),
            (TfidfVectorizer(), "note"),
            sparse_threshold=0,
        ),
        final,
    )
