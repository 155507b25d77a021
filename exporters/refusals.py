"""Refusals: estimators and settings that skl2onnx seems to convert, but computes otherwise than the library."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfTransformer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.multiclass import OneVsOneClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier

from exporters.errors import ConversionError, RefusedStep


def refuse(model: Any) -> None:
    """Raise ConversionError, which names the step and says what to do, for a fitted model that has such a part."""
    for name, part in named_parts("model", model):
        for kinds, wrong, reason in _REFUSED:
            if isinstance(part, kinds) and wrong(part):
                raise ConversionError(f"{name} ({type(part).__name__})", RefusedStep(reason))


def named_parts(name: str, model: Any) -> Iterator[tuple[str, Any]]:
    """The model and the named estimators inside it, outermost first; fitted ones where the model has them."""
    yield name, model
    inner = [
        *getattr(model, "steps", ()),
        *(entry[:2] for entry in getattr(model, "transformers_", ())),
        *getattr(model, "transformer_list", ()),
        *getattr(model, "named_estimators_", {}).items(),
    ]
    for part_name, part in inner:
        if hasattr(part, "get_params"):
            yield from named_parts(part_name, part)


def _has_text_labels(part: Any) -> bool:
    return np.asarray(part.classes_).dtype.kind in "UO"


def _has_several_targets(part: Any) -> bool:
    return isinstance(getattr(part, "classes_", None), list)


def _targets_of_different_classes(part: Any) -> bool:
    if not _has_several_targets(part) or isinstance(part, MultiOutputClassifier | Pipeline):
        return False
    return len({len(each) for each in part.classes_}) > 1


def _adds_columns(part: Any) -> bool:
    indicator = getattr(part, "indicator_", None)
    return indicator is not None and len(indicator.features_) > 0


def _drops_columns(part: Any) -> bool:
    values = np.asarray(getattr(part, "statistics_", ()))
    return (
        values.dtype.kind == "f" and bool(np.isnan(values).any()) and not part.keep_empty_features
    )


def _keeps_missing(part: Any) -> bool:
    fills = part.encoded_missing_value
    # scikit-learn sorts them to the end: None, then NaN.
    missing = any(pd.isna(each[-1]) for each in part.categories_)
    return missing and isinstance(fills, float) and np.isnan(fills)


# Types, which of their estimators are refused, and why, with what helps.
_REFUSED: list[tuple[type[Any] | tuple[type[Any], ...], Callable[[Any], bool], str]] = [
    (
        GaussianProcessClassifier,
        lambda _: True,
        "its graph needs an operator that ONNX Runtime lacks; SVC with the same kernel is supported",
    ),
    (
        KNNImputer,
        lambda _: True,
        "a graph cannot fill rows that have no value at all; use SimpleImputer",
    ),
    (
        OneVsOneClassifier,
        _has_text_labels,
        "its converter knows no texts as labels; use OneVsRestClassifier",
    ),
    (
        MultiOutputClassifier,
        lambda part: not hasattr(part, "predict_proba"),
        "its estimators have no probabilities; use one with predict_proba, such as LogisticRegression",
    ),
    (
        DecisionTreeClassifier,
        _has_several_targets,
        "its converter gives wrong probabilities for several targets; use MultiOutputClassifier",
    ),
    (
        object,
        _targets_of_different_classes,
        "targets with different numbers of classes; use MultiOutputClassifier",
    ),
    (
        (KNeighborsClassifier, KNeighborsRegressor),
        lambda part: part.weights == "distance",
        (
            "with weights='distance', its graph divides by 0 for a row that equals one of the fit; fit with "
            "weights='uniform'"
        ),
    ),
    (
        (HistGradientBoostingClassifier, HistGradientBoostingRegressor),
        lambda part: getattr(part, "is_categorical_", None) is not None,
        (
            "its converter reads categorical_features as numbers; fit with categorical_features=None, behind a "
            "OneHotEncoder or an OrdinalEncoder for these columns"
        ),
    ),
    (
        SimpleImputer,
        _adds_columns,
        (
            "its converter leaves out the columns of add_indicator=True; fit with add_indicator=False, and give what "
            "was missing as columns of the table, if the model needs it"
        ),
    ),
    (
        SimpleImputer,
        _drops_columns,
        (
            "it drops a column that had no value in the fit, which its converter does not; fit with "
            "keep_empty_features=True, or without this column"
        ),
    ),
    (
        SimpleImputer,
        lambda part: part.missing_values is None,
        (
            "rows of a table have NaN for a missing text, never None; fit with missing_values=np.nan, on a column "
            "whose missing texts are np.nan"
        ),
    ),
    (
        OrdinalEncoder,
        _keeps_missing,
        (
            "its converter gives a missing value a number; fit with encoded_missing_value=-2, or behind a "
            "SimpleImputer"
        ),
    ),
    (
        (TfidfVectorizer, TfidfTransformer),
        lambda part: part.sublinear_tf,
        "its converter computes sublinear_tf=True otherwise; fit with sublinear_tf=False",
    ),
]
