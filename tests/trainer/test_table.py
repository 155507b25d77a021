"""Any table: what its columns hold is inferred, and what cannot be used is refused with what to do."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from trainer.data import Choices, load_table, split
from trainer.errors import DataError

ROWS = 60


def write(folder, columns, name="table.csv", **options):
    """A file with these columns of ROWS values each; returns its path."""
    path = folder / name
    pd.DataFrame(columns).to_csv(path, index=False, **options)
    return path


def target(rows=ROWS):
    return ["yes" if row % 3 == 0 else "no" for row in range(rows)]


def numbers(rows=ROWS):
    return [row * 0.37 % 1 for row in range(rows)]


def loaded(folder, values, **choices):
    """The column `x` with these values, loaded beside a number and a target."""
    columns = {"x": values, "number": numbers(len(values)), "y": target(len(values))}
    return load_table(write(folder, columns), Choices("y", **choices))


def column(dataset, name="x"):
    return next(each for each in dataset.columns if each.name == name)


def repeated(*values):
    return [values[(row // 2) % len(values)] for row in range(ROWS)]


INFERRED = {
    "numbers": (repeated("1.5", " 2 ", "-3e2"), "number", "number", np.float64),
    "stray blanks and gaps": (repeated("1.5", " ", "n/a", "?"), "number", "number", np.float64),
    "integers": (repeated("1", "-2", "0"), "integer", "number", np.int64),
    "integers with gaps": (repeated("1", "", "4"), "number", "number", np.float64),
    "booleans": (repeated("True", "false", "TRUE"), "boolean", "number", np.bool_),
    "booleans with gaps": (repeated("True", "", "False"), "boolean", "number", np.float64),
    "categories": (repeated("red", "grün", "NA"), "text", "category", object),
    "codes with leading zeros": (repeated("007", "010", "7"), "text", "category", object),
    "one value": (repeated("same"), "text", "dropped", None),
    "nothing": (repeated("", "NA"), "number", "dropped", None),
    "identifiers": ([f"p-{row}" for row in range(ROWS)], "text", "dropped", None),
    "a running number": (list(range(100, 100 + ROWS)), "integer", "dropped", None),
    "a running number with gaps": ([row + row // 10 for row in range(ROWS)], "integer", "dropped", None),
    "growing integers": ([row * 3 for row in range(ROWS)], "integer", "number", np.int64),
    "sentences": ([f"patient {row} feels fine" for row in range(ROWS)], "text", "words", object),
    "mostly different texts": ([f"n{row // 3 * 2}{row % 2}" for row in range(ROWS)], "text", "dropped", None),
    "a number of most values": ([*map(str, numbers(ROWS - 1)), "unknown"], "text", "dropped", None),
}  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "use", "dtype"), INFERRED.values(), ids=INFERRED.keys())
def test_a_columns_type_and_use_are_inferred(tmp_path, values, kind, use, dtype):
    dataset = loaded(tmp_path, values)
    assert (column(dataset).kind, column(dataset).use) == (kind, use)
    assert column(dataset).note
    assert ("x" in dataset.features) == (use != "dropped")
    if dtype is not None:
        assert dataset.features["x"].dtype == dtype
    assert column(dataset).missing == sum(
        str(each).strip() in {"", "n/a", "?", "NA"} for each in values
    )


def test_the_least_frequent_of_many_categories_share_no_place(tmp_path):
    values = [f"town {row // 3}" for row in range(600)]
    values[:6] = ["big"] * 6
    found = column(loaded(tmp_path, values))
    assert len(found.categories) == 100
    assert "big" in found.categories
    assert "the 100 most frequent" in found.note


@pytest.mark.parametrize("value", ["1,234.50", "$5.25", "17 %", "4'500", "80 kg"])
def test_numbers_that_are_not_plain_are_remarked(tmp_path, value):
    assert (
        f"if values such as {value!r} are numbers"
        in column(loaded(tmp_path, [value] * 30 + ["1,000"] * 30)).note
    )
    assert "are numbers" not in column(loaded(tmp_path, repeated("red 1", "blue 2"))).note


def test_a_missing_category_is_a_category_and_missing_words_are_no_words(tmp_path):
    found = loaded(tmp_path, repeated("red", "", "blue"))
    assert found.features["x"].isna().sum() == 20
    assert found.features["x"].isna().equals(pd.Series(repeated("red", "", "blue")) == "")
    assert [str(each) for each in column(found).categories] == ["blue", "red", "nan"]
    sentences = [f"a longer note {row}" if row % 2 else "" for row in range(ROWS)]
    assert (loaded(tmp_path, sentences).features["x"] == "").sum() == ROWS / 2


@pytest.mark.parametrize(
    ("separator", "decimal"), [(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")]
)
def test_separators_and_decimal_commas(tmp_path, separator, decimal):
    columns = {"number": numbers(), "text, with comma": repeated("a;b", "c,d"), "y": target()}
    plain = load_table(write(tmp_path, columns), Choices("y"))
    path = write(tmp_path, columns, "other.csv", sep=separator, decimal=decimal)
    other = load_table(path, Choices("y"))
    pd.testing.assert_frame_equal(other.features, plain.features)
    assert other.digest == plain.digest


def test_a_byte_order_mark_and_line_ends_do_no_harm(tmp_path):
    path = write(tmp_path, {"größe": numbers(), "y": target()})
    expected = load_table(path, Choices("y"))
    text = path.read_text()
    for encoding, end in (("utf-8-sig", "\r\n"), ("utf-16", "\n")):
        path.write_bytes(("\n" + text.replace("\n", end) + end).encode(encoding))
        assert load_table(path, Choices("y")).digest == expected.digest


def test_parquet_keeps_the_types_that_the_file_has(tmp_path):
    frame = pd.DataFrame(
        {
            "integer": range(0, 2 * ROWS, 2),
            "gaps": pd.array([1, None, 3] * 20, dtype="Int64"),
            "flag": [True, False, True] * 20,
            "flags": pd.array([True, None, False] * 20, dtype="boolean"),
            "category": pd.Categorical(["a", None, "b"] * 20),
            "decimal": [Decimal("1.5"), Decimal(2), None] * 20,
            "code": ["1", "2", "3"] * 20,
            "y": target(),
        }
    )
    path = tmp_path / "table.parquet"
    frame.to_parquet(path)
    dataset = load_table(path, Choices("y"))
    kinds = {
        each.name: (each.kind, str(dataset.features[each.name].dtype)) for each in dataset.columns
    }
    assert kinds == {
        "integer": ("integer", "int64"),
        "gaps": ("number", "float64"),
        "flag": ("boolean", "bool"),
        "flags": ("boolean", "float64"),
        "category": ("text", "object"),
        "decimal": ("number", "float64"),
        "code": ("text", "object"),
    }


REFUSED_COLUMNS = {
    "dates": (repeated("2024-01-31", "2024-02-01 10:00"), "'x' holds dates (such as 2024-01-31)"),
    "other dates": (repeated("31.1.2024", "1.2.24"), "put numbers in its place, such as days"),
    "infinity": (repeated("1", "inf"), "'x' has infinite values; leave them empty, or --drop x"),
    "beyond float32": (repeated("1", "1e39"), "beyond 3.4e+38"),
}


@pytest.mark.parametrize(
    ("values", "message"), REFUSED_COLUMNS.values(), ids=REFUSED_COLUMNS.keys()
)
def test_a_column_that_no_model_can_use_is_refused_unless_it_is_dropped(tmp_path, values, message):
    with pytest.raises(DataError) as raised:
        loaded(tmp_path, values)
    assert message in str(raised.value)
    assert "--drop x" in str(raised.value)
    assert list(loaded(tmp_path, values, dropped=["x"]).features) == ["number"]


@pytest.mark.parametrize(
    "values", [[date(2024, 1, 1)] * ROWS, pd.date_range("2024", periods=ROWS), [[1, 2]] * ROWS]
)
def test_a_type_of_parquet_that_no_model_can_use_is_refused(tmp_path, values):
    path = tmp_path / "table.parquet"
    pd.DataFrame({"x": values, "number": numbers(), "y": target()}).to_parquet(path)
    with pytest.raises(DataError, match=r"column 'x' holds .*--drop x"):
        load_table(path, Choices("y"))
    assert list(load_table(path, Choices("y", dropped=["x"])).features) == ["number"]


REFUSED_FILES = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n", "it is empty"),
    "only a header": (b"x,y\n", "it has no rows"),
    "one column": (b"y\n" + b"yes\nno\n" * 30, "no column is left to learn from"),
    "a spreadsheet": (b"PK\x03\x04\xff\xfe\x00", "neither UTF-8 text nor Parquet; save it as CSV"),
    "Latin-1": ("größe,y\n1,2\n".encode("latin-1"), "neither UTF-8 text nor Parquet"),
    "null bytes": (b"x,y\n\0,1\n", "neither CSV nor Parquet"),
    "damaged Parquet": (b"PAR1" + b"\0" * 20, "it is damaged"),
    "a name twice": (b"x,y,x\n1,2,3\n", "the columns x more than once; rename them"),
    "a long row": (b"x,y\n1,2\n3,4,5\n", "line 3 has 3 columns, the header 2; write an empty"),
    "long rows": (b"x,y\n1,2,3\n3,4,5\n", "line 2 has 3 columns, the header 2"),
    "a short row": (b"x,y,z\n1,2,3\n\n3,4\n", "line 4 has 2 columns, the header 3"),
    "an open quote": (b'x,y\n"1,2\n3,4\n', "line 3 has 1 columns, the header 2"),
    "a huge field": (b"x,y\n" + b"1" * 200_000 + b",2\n", "line 2: field larger than"),
    "few rows": (b"x,y\n1,a\n2,b\n", "only 2 of its rows have a y, at least 20 are needed"),
}


@pytest.mark.parametrize(("content", "message"), REFUSED_FILES.values(), ids=REFUSED_FILES.keys())
def test_a_file_that_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load_table(path, Choices("y"))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        load_table(tmp_path / "nowhere.csv", Choices("y"))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (Choices("diagnose"), "no column 'diagnose' for --target; did you mean diagnosis?"),
        (Choices("zzz"), "no column 'zzz' for --target; it has number, diagnosis"),
        (Choices("diagnosis", dropped=["numbr"]), "for --drop; did you mean number?"),
        (Choices("diagnosis", identifier="id"), "no column 'id' for --id"),
        (Choices("diagnosis", dropped=["diagnosis"]), "'diagnosis' is the target"),
        (Choices("diagnosis", dropped=["number"]), "no column is left to learn from"),
    ],
)
def test_a_wrong_name_is_refused_with_names_like_it(tmp_path, choices, message):
    path = write(tmp_path, {"number": numbers(), "diagnosis": target()})
    with pytest.raises(DataError) as raised:
        load_table(path, choices)
    assert message in str(raised.value)


def test_columns_without_a_name_and_identifiers_are_kept_out(tmp_path):
    path = tmp_path / "table.csv"
    frame = pd.DataFrame({"patient": repeated(4, 8, 9), "number": numbers(), "y": target()})
    frame.to_csv(path)  # with pandas' index as a first column without a name
    dataset = load_table(path, Choices("y", identifier="patient"))
    assert list(dataset.features) == ["number"]
    assert [each.note for each in dataset.columns[:2]] == ["it has no name", "--id"]
    assert any("patient repeats" in remark for remark in dataset.remarks)


def test_a_column_that_says_the_class_is_remarked(tmp_path):
    found = loaded(tmp_path, ["1" if each == "yes" else "0" for each in target()])
    assert any("y follows from x alone" in remark for remark in found.remarks)


def test_the_digest_depends_on_values_and_on_what_is_predicted(tmp_path):
    values = repeated("red", "blue")
    digests = {
        loaded(tmp_path, values).digest,
        loaded(tmp_path, values, positive="no").digest,
        loaded(tmp_path, [*values[:-1], "green"]).digest,
        loaded(tmp_path, [*values[:-1], ""]).digest,
    }
    assert len(digests) == 4
    assert loaded(tmp_path, values).digest in digests


def test_rows_without_a_target_are_left_out_and_keep_their_numbers(tmp_path):
    path = write(tmp_path, {"number": numbers(), "y": ["", *target()[1:]]})
    dataset = load_table(path, Choices("y"))
    assert dataset.rows.tolist() == list(range(1, ROWS))
    assert dataset.features["number"].tolist() == pytest.approx(numbers()[1:])
    assert "1 rows have no y and are left out" in dataset.remarks
    rows = split(dataset)
    held_out = [numbers()[row] for row in rows.test.rows]
    assert rows.test.features["number"].tolist() == pytest.approx(held_out)
