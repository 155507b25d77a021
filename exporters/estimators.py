"""What a fitted model consists of, and a copy of it that converts to the same comparisons in float32."""

import copy
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import RFE, VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer
from sklearn.semi_supervised import SelfTrainingClassifier

from exporters.converters import library_of
from exporters.table import MISSING_TEXT, Column

_THRESHOLDS = re.compile(r"^threshold=(.+)$", re.MULTILINE)
_LEAVES = re.compile(r"^(leaf_value=)(.+)$", re.MULTILINE)
_TREE_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)  # in bytes; may be left out


def parts(model: Any) -> list[Any]:
    """The model and all estimators inside it, each once, outermost first."""
    return [each for each in _holders(model) if hasattr(each, "get_params")]


def _holders(model: Any) -> list[Any]:
    """The estimators, and the objects in which scikit-learn keeps some, such as those of a calibration."""
    found: dict[int, Any] = {}
    pending = [model]
    while pending:
        part = pending.pop(0)
        if id(part) in found:
            continue
        if isinstance(part, list | tuple):
            pending += part
        elif isinstance(part, dict):
            pending += part.values()
        elif isinstance(part, np.ndarray) and part.dtype == object:
            pending += part.ravel().tolist()
        elif _holds_estimators(part):
            found[id(part)] = part
            pending += vars(part).values()
    return [*found.values()]


def best_estimator(model: Any) -> Any:
    """What predicts in place of a search object, a FrozenEstimator or a self-training classifier; else the model."""
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif isinstance(model, FrozenEstimator):
            model = model.estimator
        elif isinstance(model, SelfTrainingClassifier):
            model = model.estimator_
        else:
            return model


def for_conversion(model: Any, *, float32: bool) -> Any:
    """A copy of a model that the converters take, with the same predictions.

    Search objects are replaced by what they found. Imputers of texts look for MISSING_TEXT, because a graph
    has no missing text. With `float32`, thresholds that the library compares in float64, and the converter
    rounds to the nearest float32, are rounded down: then `value <= threshold` is the same for every float32.
    """
    copied = _replaced(copy.deepcopy(model))
    for holder in _holders(copied):
        for name, value in vars(holder).items():
            if name != "init_":  # gradient boosting's first guess, which its converter reads
                setattr(holder, name, _replaced(value))
    for part in parts(copied):
        statistics = getattr(part, "statistics_", None)
        of_texts = statistics is not None and np.asarray(statistics).dtype == object
        if of_texts and not isinstance(part.missing_values, str):
            part.missing_values = MISSING_TEXT
        _use_plain_forms(part)
        if float32:
            _round_thresholds(part)
    return copied


def _replaced(value: Any) -> Any:
    """An attribute of a copied estimator, with what predicts in place of search objects and the like."""
    if type(value) in {list, tuple}:
        return type(value)(_replaced(each) for each in value)
    if isinstance(value, Pipeline):
        last = value.steps[-1]
        value.steps = [
            *((name, _as_step(best_estimator(step))) for name, step in value.steps[:-1]),
            (last[0], _replaced(last[1])),
        ]
        return value
    found = best_estimator(value)
    return _as_linear(found) if type(found) in _LINEAR else found


def _as_step(step: Any) -> Any:
    """A recursive elimination as a plain selection of columns: skl2onnx would take it for a classifier."""
    if not isinstance(step, RFE):
        return step
    selection = VarianceThreshold(0.5)
    selection.variances_ = step.support_.astype(np.float64)
    selection.n_features_in_ = step.n_features_in_
    return selection


_LINEAR = {LinearDiscriminantAnalysis, DummyClassifier, DummyRegressor}


def _as_linear(model: Any) -> Any:
    """The linear model that predicts the same, for one that skl2onnx converts wrongly or not at all."""
    width = model.n_features_in_
    if type(model) is DummyRegressor:
        constant = model.constant_.ravel()
        return _fitted(
            LinearRegression(), coef_=np.zeros((len(constant), width)), intercept_=constant
        )
    if type(model) is LinearDiscriminantAnalysis:
        coefficients, intercepts = model.coef_, model.intercept_
    elif model.strategy == "prior" and model.n_outputs_ == 1:
        intercepts = np.log(model.class_prior_)
        if len(intercepts) == 2:  # noqa: PLR2004
            intercepts = np.diff(intercepts)
        coefficients = np.zeros((len(intercepts), width))
    else:
        return model
    classes = model.classes_
    if classes.dtype == np.bool_:
        classes = classes.astype(np.int64)
    return _fitted(
        LogisticRegression(), coef_=coefficients, intercept_=intercepts, classes_=classes
    )


def _fitted(model: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(model, name, value)
    model.n_features_in_ = attributes["coef_"].shape[1]
    return model


def _use_plain_forms(part: Any) -> None:
    """Replace settings of a copied estimator that converters do not know, where predictions stay the same."""
    classes = vars(part).get("classes_")
    if isinstance(classes, np.ndarray) and classes.dtype == np.bool_:
        part.classes_ = classes.astype(np.int64)  # the graph's last node makes them booleans again
    if hasattr(part, "tree_"):
        # Scikit-learn's trees compare float32 with these. An infinite one parts missing values from all others:
        # skl2onnx would search its neighbours forever.
        largest = float(np.finfo(np.float32).max)
        part.tree_.threshold[:] = round_down(np.clip(part.tree_.threshold, -largest, largest))
    if hasattr(part, "flatten_transform"):
        part.flatten_transform = False
    if type(part) is KBinsDiscretizer and part.encode == "onehot":
        part.encode = "onehot-dense"
    if getattr(part, "_Booster", None) is None:
        return
    if library_of(part) == "xgboost":
        part.get_booster().feature_names = None  # the converter reads numbers: f0, f1, …
    elif part.boosting_type == "rf":
        _sum_instead_of_mean(part)


def _sum_instead_of_mean(part: Any) -> None:
    """Turn a random forest of LightGBM, whose number of trees the converter assumes, into boosting."""
    import lightgbm

    text = part.booster_.model_to_string()
    iterations = part.booster_.num_trees() // part.booster_.num_model_per_iteration()

    def scaled(line: "re.Match[str]") -> str:
        values = np.array(line[2].split(), np.float64) / iterations
        return line[1] + " ".join(repr(float(value)) for value in values)

    text = _LEAVES.sub(scaled, _TREE_SIZES.sub("", text).replace("average_output\n", ""))
    part._Booster = lightgbm.Booster(model_str=text)  # noqa: SLF001
    part.boosting_type = "gbdt"


def fitted_names(model: Any) -> list[Any] | None:
    """The names of the columns that a model was fitted with; None if it was fitted without names."""
    known = getattr(best_estimator(model), "feature_names_in_", None)
    if known is None or (library_of(model) == "lightgbm" and _numbered(known)):
        return None
    return [*known]


def _numbered(names: Any) -> bool:
    """Whether these are the names that LightGBM gives to the columns of an array."""
    return all(str(name) == f"Column_{number}" for number, name in enumerate(names))


def imputed(model: Any, columns: tuple[Column, ...]) -> set[str]:
    """The columns whose missing values an imputer of the model fills."""
    names = [column.name for column in columns]
    if type(model).__name__.endswith("Imputer"):
        return set(names)
    found: set[str] = set()
    if hasattr(model, "transformers_"):
        for _, transformer, chosen in model.transformers_:
            picked = _chosen(chosen, columns)
            found |= imputed(transformer, picked)
    elif hasattr(model, "steps") and model.steps:
        first = next((step for _, step in model.steps if step not in (None, "passthrough")), None)
        found = imputed(first, columns)
        if not found and type(first).__name__ in _KEEPS_COLUMNS:
            remaining = [step for _, step in model.steps]
            found = imputed(_Rest(remaining[remaining.index(first) + 1 :]), columns)
    elif hasattr(model, "best_estimator_"):
        found = imputed(best_estimator(model), columns)
    return found


# Scalers keep the number and order of columns, and missing values.
_KEEPS_COLUMNS = {
    "StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "CastTransformer",
}  # fmt: skip


class _Rest:
    """The steps of a pipeline after the first."""

    def __init__(self, steps: list[Any]) -> None:
        self.steps = [(str(number), step) for number, step in enumerate(steps)]


def _chosen(chosen: Any, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The columns that a ColumnTransformer gives to one transformer: names, indices, a mask or a slice."""
    if isinstance(chosen, str | int):
        chosen = [chosen]
    if isinstance(chosen, slice):
        return columns[chosen]
    picked = list(chosen)
    if picked and isinstance(picked[0], bool | np.bool_):
        return tuple(column for column, taken in zip(columns, picked, strict=True) if taken)
    by_name = {column.name: column for column in columns}
    return tuple(
        by_name[each] if isinstance(each, str) else columns[each]
        for each in picked
        if not isinstance(each, str) or each in by_name
    )


def round_down(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each value. It compares with any float32 as the value does."""
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > values, below, nearest)


Thresholds = dict[tuple[int, float], float]
"""Thresholds that a library compares in float64, by the feature and the float32 that a converter writes."""


def float64_thresholds(model: Any) -> Thresholds:
    """Those of histogram gradient boosting and LightGBM; thresholds with the same float32 are left out."""
    found: dict[tuple[int, float], set[float]] = {}
    for part in parts(model):
        for nodes in _histogram_nodes(part):
            for node in nodes[nodes["is_leaf"] == 0]:
                threshold = float(node["num_threshold"])
                key = (int(node["feature_idx"]), float(np.float32(threshold)))
                found.setdefault(key, set()).add(threshold)
        if library_of(part) == "lightgbm" and getattr(part, "_Booster", None) is not None:
            text = part.booster_.model_to_string()
            splits = re.findall(r"^split_feature=(.+)$", text, re.MULTILINE)
            for features, values in zip(splits, _THRESHOLDS.findall(text), strict=True):
                for feature, value in zip(features.split(), values.split(), strict=True):
                    key = (int(feature), float(np.float32(float(value))))
                    found.setdefault(key, set()).add(float(_of_zero(np.float64(value), np.float64)))
    return {key: next(iter(values)) for key, values in found.items() if len(values) == 1}


def imputed_values(model: Any) -> dict[float, float]:
    """What imputers fill in, by the float32 that a converter writes; values with the same are left out."""
    found: dict[float, set[float]] = {}
    for part in parts(model):
        statistics = np.asarray(getattr(part, "statistics_", ()))
        if statistics.dtype.kind == "f":
            for value in statistics.tolist():
                found.setdefault(float(np.float32(value)), set()).add(value)
    return {key: next(iter(values)) for key, values in found.items() if len(values) == 1}


def _round_thresholds(part: Any) -> None:
    """Histogram gradient boosting and LightGBM; skl2onnx does it for scikit-learn's other trees."""
    for nodes in _histogram_nodes(part):
        nodes["num_threshold"] = round_down(nodes["num_threshold"])
    if library_of(part) == "lightgbm" and getattr(part, "_Booster", None) is not None:
        import lightgbm

        text = _TREE_SIZES.sub("", part.booster_.model_to_string())
        part._Booster = lightgbm.Booster(model_str=_THRESHOLDS.sub(_rounded, text))  # noqa: SLF001


def _rounded(line: "re.Match[str]") -> str:
    exact = np.array(line[1].split(), np.float64)
    numbers = _of_zero(round_down(exact), np.float32).astype(np.float64)
    return "threshold=" + " ".join(repr(float(number)) for number in numbers)


# LightGBM reads a smaller number as 0: https://github.com/microsoft/LightGBM/blob/v4.6.0/include/LightGBM/meta.h
_ZERO = np.float32(1e-35)


def _of_zero(thresholds: Any, dtype: Any) -> Any:
    """LightGBM's thresholds, with those just below and above 0 moved past what it reads as 0."""
    below = np.nextafter(dtype(-_ZERO), dtype(-np.inf))
    moved = np.where((thresholds < 0) & (thresholds >= -_ZERO), below, thresholds)
    return np.where((moved >= 0) & (moved < _ZERO), dtype(_ZERO), moved)


def _histogram_nodes(estimator: Any) -> Iterator[NDArray[Any]]:
    for iteration in getattr(estimator, "_predictors", []):
        for predictor in iteration:
            yield predictor.nodes


def _holds_estimators(part: Any) -> bool:
    """An estimator, or an object in which scikit-learn keeps one, such as those of a calibration."""
    if isinstance(part, type) or not hasattr(part, "__dict__"):
        return False
    return hasattr(part, "get_params") or hasattr(part, "estimator")
