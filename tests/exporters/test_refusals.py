"""What skl2onnx would compute otherwise is refused before it is converted, with the step and what to do."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from exporters.errors import ConversionError
from exporters.export import export

FRAME = pd.DataFrame(
    {
        "age": np.arange(40.0),
        "dose": np.where(np.arange(40) % 5, np.arange(40) % 3, np.nan),
        "empty": np.full(40, np.nan),
        "ward": np.array(["north", "south", None, "west"] * 10, object),
        "note": np.array(["red red blue", "blue green", "green red", "blue"] * 10, object),
    }
)
# pandas infers a type whose missing texts are NaN.
FRAME["ward"] = FRAME["ward"].astype(object).where(FRAME["ward"].notna(), None)
TARGET = np.arange(40) % 2
LAST = LogisticRegression()
NEAREST = KNeighborsClassifier(weights="distance")


def of_column(name, *steps):
    """A model of one column, which these steps prepare."""
    return make_pipeline(make_column_transformer((make_pipeline(*steps), [name])), LAST)


@pytest.mark.parametrize(
    ("model", "columns", "step", "advice"),
    [
        (NEAREST, ["age"], "model (KNeighborsClassifier)", "weights='uniform'"),
        (VotingClassifier([("near", NEAREST), ("last", LAST)]), ["age"], "near (KN", "uniform"),
        (GridSearchCV(NEAREST, {"n_neighbors": [1, 3]}, cv=2), ["age"], "model (KN", "uniform"),
        (
            HistGradientBoostingClassifier(categorical_features=["dose"]),
            ["age", "dose"],
            "model (HistGradientBoostingClassifier)",
            "categorical_features=None",
        ),
        (
            make_pipeline(SimpleImputer(add_indicator=True), LAST),
            ["dose"],
            "simpleimputer (SimpleImputer)",
            "add_indicator=False",
        ),
        (
            make_pipeline(SimpleImputer(), LAST),
            ["dose", "empty"],
            "simpleimputer (SimpleImputer)",
            "keep_empty_features=True",
        ),
        (
            of_column(
                "ward",
                SimpleImputer(missing_values=None, strategy="most_frequent"),
                OneHotEncoder(),
            ),
            ["ward"],
            "simpleimputer (SimpleImputer)",
            "missing_values=np.nan",
        ),
        (
            make_pipeline(
                make_column_transformer((OrdinalEncoder(), ["ward"])),
                lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=2, verbose=-1),
            ),
            ["ward"],
            "ordinalencoder (OrdinalEncoder)",
            "encoded_missing_value=-2",
        ),
        (
            make_pipeline(
                make_column_transformer((TfidfVectorizer(sublinear_tf=True), "note")), LAST
            ),
            ["note"],
            "tfidfvectorizer (TfidfVectorizer)",
            "sublinear_tf=False",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_the_step_is_named_with_what_to_do(model, columns, step, advice):
    rows = FRAME[columns]
    with pytest.raises(ConversionError) as refused:
        export(model.fit(rows, TARGET), rows)
    assert step in str(refused.value)
    assert str(refused.value).endswith(".")
    assert advice in str(refused.value)
    assert "update_registered_converter" not in str(refused.value)


@pytest.mark.parametrize("settings", [{"zero_as_missing": True}, {"reg_sqrt": True}], ids=str)
def test_settings_of_lightgbm_that_its_converter_does_not_read(settings):
    model = lightgbm.LGBMRegressor(n_estimators=2, min_child_samples=2, verbose=-1, **settings)
    with pytest.raises(ConversionError, match=next(iter(settings))):
        export(model.fit(FRAME[["age"]], FRAME["age"] ** 2), FRAME[["age"]])


def test_an_empty_text_can_be_what_is_missing():
    rows = FRAME[["ward"]].fillna("")
    imputer = SimpleImputer(missing_values="", strategy="most_frequent")
    model = of_column("ward", imputer, OneHotEncoder(handle_unknown="ignore"))
    assert export(model.fit(rows, TARGET), rows).parity.passed
