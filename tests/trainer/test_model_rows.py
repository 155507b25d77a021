"""Columns of a file get the types of the model's signature."""

import numpy as np
import pandas as pd
import pytest
from mlflow.types import ColSpec, Schema
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from exporters.answers import PredictionKind
from trainer.errors import DataError, TrainerError
from trainer.model_rows import actual_values, column_types, from_table
from trainer.table import read_table


@pytest.fixture
def rows(tmp_path):
    """The rows of one column `x` with a type of the signature, in CSV or, with types, in Parquet."""

    def rows(values, kind, *, parquet=False):
        path = tmp_path / ("x.parquet" if parquet else "x.csv")
        frame = pd.DataFrame({"x": values, "y": "label"})
        frame.to_parquet(path) if parquet else frame.to_csv(path, index=False)
        types = column_types(None, Schema([ColSpec(kind, "x")]))
        return from_table(read_table(path), types, "y").features.x

    return rows


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["1", "2"], "string", ["1", "2"]),
        (["007", "2024-01-31"], "string", ["007", "2024-01-31"]),
        (["true", "a"], "string", ["true", "a"]),
        (["1", "2"], "double", [1.0, 2.0]),
        (["007", "8"], "double", [7.0, 8.0]),
        (["1", "2"], "long", [1, 2]),
        (["1.0", "2.0"], "integer", [1, 2]),
        (["True", "False"], "boolean", [True, False]),
        (["1", "0"], "boolean", [True, False]),
    ],
)
def test_the_signature_decides(rows, values, kind, expected):
    found = rows(values, kind)
    assert found.tolist() == expected
    assert type(found.tolist()[0]) is type(expected[0])


def test_missing_values(rows):
    assert np.isnan(rows(["1", "", "NA"], "double")[2])
    assert pd.isna(rows(["a", "", "1"], "string")[1])


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (["1", "old"], "double", "values such as 'old' .*takes double"),
        (["1.5", "2"], "long", "values such as '1.5' .*takes long"),
        (["1", ""], "long", "a missing one.* takes long"),
        (["2", "0"], "boolean", "takes boolean"),
        (["true", "false"], "double", "values such as 'true' .*takes double"),
        (["2024-01-31", "2024-02-01"], "double", "holds dates.*correct its values"),
        (["2024-01-31", "2024-02-01"], "datetime", "type DataType.datetime"),
    ],
)
def test_other_values_are_refused(rows, values, kind, message):
    with pytest.raises(DataError, match=message):
        rows(values, kind)


def test_numbers_in_parquet_are_no_texts(rows):
    """What they looked like as texts is not known: 7 may have been 007."""
    with pytest.raises(DataError, match=r"values such as 7 .type int.*takes string"):
        rows([7, 8], "string", parquet=True)
    assert rows(["7", "8"], "string", parquet=True).tolist() == ["7", "8"]


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("lenght,width\n1,2\n")
    signature = Schema([ColSpec("double", "length"), ColSpec("double", "width")])
    with pytest.raises(DataError, match=r"no column 'length'.*did you mean lenght"):
        from_table(read_table(path), column_types(None, signature), None)


def test_without_a_signature_the_columns_of_the_fit_count(tmp_path):
    """Its encoders know which of them are texts, although all of these look like numbers."""
    rows = {
        "zip": ["1", "2"] * 2,
        "ward": ["7", None] * 2,
        "note": ["1 2", "3 4"] * 2,
        "age": range(4),
    }
    frame = pd.DataFrame(rows)
    encode = make_column_transformer(
        (OneHotEncoder(), ["zip"]),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["ward"]),
        (CountVectorizer(token_pattern="[0-9]"), "note"),
        remainder="passthrough",
    )
    model = make_pipeline(encode, LinearRegression()).fit(
        frame.fillna({"ward": np.nan}), [1, 2, 3, 4]
    )
    types = column_types(model, None)
    path = tmp_path / "rows.csv"
    frame.assign(note=["1", "2", "3", "4"], day="2024-01-31").to_csv(path, index=False)
    found = from_table(read_table(path), types, None).features
    assert list(found) == ["zip", "ward", "note", "age"]
    assert found.zip.tolist() == ["1", "2", "1", "2"]
    assert found.ward.tolist()[0] == "7"
    assert found.note.tolist() == ["1", "2", "3", "4"]
    assert found.age.dtype == np.int64


def test_without_names_all_columns_count(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("day,length,label\n2024-01-31,1.5,a\n2024-02-01,2.5,b\n")
    with pytest.raises(DataError, match="the model needs column 'day'"):
        from_table(read_table(path), {}, "label")


@pytest.mark.parametrize(
    ("classes", "texts", "expected"),
    [
        (("no", "yes"), ["yes", "no"], ["yes", "no"]),
        ((0, 1), ["1", "0.0"], [1, 0]),
        ((False, True), ["True", "false"], [True, False]),
        (("False", "True"), ["True", "False"], ["True", "False"]),
    ],
)
def test_labels_of_a_file_become_those_of_the_model(classes, texts, expected):
    found = actual_values(np.array(texts, object), PredictionKind(True, True, classes))
    assert found.tolist() == expected


def test_the_values_of_a_regressor_are_numbers():
    task = PredictionKind(labels=False, probabilities=False)
    assert actual_values(np.array(["1", "2.5"], object), task).tolist() == [1, 2.5]
    with pytest.raises(TrainerError, match="'much', which is no number"):
        actual_values(np.array(["1", "much"], object), task)


def test_rows_without_a_target_are_left_out(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("length,label\n1.5,a\n2.5,\n3.5,b\n")
    rows = from_table(read_table(path), {}, "label")
    assert rows.features.length.tolist() == [1.5, 3.5]
    assert rows.labels.tolist() == ["a", "b"]
