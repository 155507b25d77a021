"""Rows of any kind of table become a frame whose columns are numbers, booleans or texts."""

import datetime as dt

import lightgbm
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from exporters.errors import ExportError
from exporters.estimators import fitted_names
from exporters.table import read_table

FRAME = pd.DataFrame(
    {
        "age": [40, 50],
        "dose": [1.5, np.nan],
        "smoker": [True, False],
        "ward": ["a", None],
        "small": np.array([1, 2], np.uint8),
    }
)


@pytest.mark.parametrize(
    "table",
    [
        FRAME,
        pl.from_pandas(FRAME),
        pa.Table.from_pandas(FRAME),
        FRAME.convert_dtypes(),
        FRAME.astype({"ward": "category"}),
        FRAME.to_dict("records"),
    ],
    ids=["pandas", "polars", "arrow", "nullable dtypes", "category", "records"],
)
def test_each_kind_of_table_has_the_same_columns(table):
    read = read_table(table)
    assert [(column.name, column.kind, column.optional) for column in read.columns] == [
        ("age", "integer", False),
        ("dose", "number", True),
        ("smoker", "boolean", False),
        ("ward", "text", True),
        ("small", "integer", False),
    ]
    assert read.json_rows() == [[40, 1.5, True, "a", 1], [50, None, False, None, 2]]
    assert not read.one_tensor


def test_an_array_has_numbered_columns_and_is_given_back_as_an_array():
    read = read_table(np.array([[1.0, 2.0]]))
    assert read.names == ["feature_0", "feature_1"]
    assert read.one_tensor
    assert isinstance(read.for_library(), np.ndarray)


def test_columns_are_put_into_the_order_of_the_fit_and_others_left_out():
    read = read_table(FRAME, ["dose", "age"])
    assert read.names == ["dose", "age"]


def test_a_column_without_any_value_is_a_number_that_may_be_missing():
    read = read_table(pd.DataFrame({"a": [None, None]}))
    assert [(column.kind, column.optional) for column in read.columns] == [("number", True)]


def test_columns_that_lightgbm_renamed_are_recognised():
    frame = pd.DataFrame({"mean radius": np.arange(50.0), "area (cm²)": np.arange(50.0)})
    model = lightgbm.LGBMRegressor(verbose=-1).fit(frame, np.arange(50.0))
    assert read_table(frame, fitted_names(model)).names == ["mean radius", "area (cm²)"]
    array = lightgbm.LGBMRegressor(verbose=-1).fit(frame.to_numpy(), np.arange(50.0))
    assert fitted_names(array) is None


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pd.DataFrame({"when": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]}),
            "column 'when' has values of type Timestamp",
        ),
        (pd.DataFrame({"mix": [1, "a"]}), "column 'mix' has values of type int, str"),
        (pd.DataFrame({"mix": [True, 3.5]}), "column 'mix' has values of type"),
        (pd.DataFrame({"flag": [True, None]}, dtype=object), "column 'flag' has booleans and gaps"),
        (pd.DataFrame({"a": [np.inf, 1]}), "column 'a' has infinite values"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "X has the columns a more than once"),
        (pd.DataFrame({"a": []}), "X has no rows"),
        (np.array([1.0, 2.0]), r"its shape is \(2,\)"),
        (pd.DataFrame({"a": [{"b": 1}]}), "column 'a' has values of type dict"),
    ],
)
def test_what_a_client_could_not_send_is_refused_by_name(table, message):
    with pytest.raises(ExportError, match=message):
        read_table(table)


def test_a_missing_column_is_named_with_a_similar_one():
    with pytest.raises(ExportError, match=r"X lacks Dose, .*'dose' is similar to 'Dose'"):
        read_table(FRAME, ["age", "Dose"])
