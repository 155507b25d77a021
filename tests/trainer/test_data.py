"""Rows from scikit-learn and from UCI's file are the same, and a malformed file is refused by line."""

import numpy as np
import pandas as pd
import pytest

from tests.trainer.uci_file import uci_lines, write_uci_file
from trainer.data import load, split
from trainer.errors import DataError


def test_the_columns_are_snake_case_in_uci_order():
    columns = list(load().features.columns)
    assert len(columns) == 30
    assert columns[:3] == ["mean_radius", "mean_texture", "mean_perimeter"]
    assert columns[7] == "mean_concave_points"
    assert columns[10:12] == ["radius_error", "texture_error"]
    assert columns[20] == "worst_radius"
    assert columns[29] == "worst_fractal_dimension"


def test_the_rows_are_those_of_uci():
    dataset = load()
    assert len(dataset.target) == 569
    assert (dataset.target == "malignant").sum() == 212
    assert dataset.target[0] == "malignant"
    assert dataset.features.iloc[0, :4].tolist() == [17.99, 10.38, 122.8, 1001.0]


def test_both_sources_give_the_same_frame_and_digest(tmp_path):
    built_in, from_file = load(), load(write_uci_file(tmp_path))
    pd.testing.assert_frame_equal(from_file.frame(), built_in.frame(), check_exact=True)
    assert from_file.digest == built_in.digest
    assert from_file.source != built_in.source


def test_the_digest_and_the_held_out_rows_stay_those_of_registered_versions():
    """Their metrics would not compare otherwise."""
    assert load().digest == "16fd3e84460cf2273ab35f1c631ffa1f"
    test = split(load()).test
    assert test.rows.sum() == 35540
    assert test.features["mean_radius"].iloc[0] == 12.45


def test_the_digest_changes_with_one_value(tmp_path):
    lines = uci_lines()
    lines[5] = lines[5].replace("M,12.45,", "M,12.46,")
    assert load(write_uci_file(tmp_path, lines)).digest != load().digest


def test_a_byte_order_mark_spaces_and_empty_lines_at_the_end_are_no_harm(tmp_path):
    path = tmp_path / "wdbc.data"
    path.write_text("\ufeff" + "\r\n".join(uci_lines()).replace(",", ", ") + "\r\n\n", "utf-8")
    assert load(path).digest == load().digest


FIELDS = uci_lines()[3].split(",")
MALFORMED = {
    "a missing column": (",".join(FIELDS[:-1]), "has 31 columns, not 32"),
    "a column too many": (",".join([*FIELDS, "1"]), "has 33 columns, not 32"),
    "an empty line": ("", "has 1 columns, not 32"),
    "text in a number": (",".join([*FIELDS[:4], "wide", *FIELDS[5:]]), "'wide' in column 5"),
    "an empty number": (",".join([*FIELDS[:4], "", *FIELDS[5:]]), "'' in column 5"),
    "not a number": (",".join([*FIELDS[:31], "nan"]), "'nan' in column 32"),
    "infinity": (",".join([*FIELDS[:31], "-inf"]), "'-inf' in column 32"),
    "beyond float32": (",".join([*FIELDS[:31], "1e39"]), "'1e39' in column 32"),
    "an underscore": (",".join([*FIELDS[:2], "1_0", *FIELDS[3:]]), "(mean_radius)"),
    "an unknown diagnosis": (",".join([FIELDS[0], "X", *FIELDS[2:]]), "diagnosis 'X'"),
    "a small letter": (",".join([FIELDS[0], "m", *FIELDS[2:]]), "diagnosis 'm'"),
    "no id": (",".join(["", *FIELDS[1:]]), "no id"),
    "a duplicate id": (uci_lines()[1], "repeats id 842303 of line 2"),
}


@pytest.mark.parametrize(("line", "said"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_refused_with_its_number(tmp_path, line, said):
    lines = uci_lines()
    lines[3] = line
    with pytest.raises(DataError) as raised:
        load(write_uci_file(tmp_path, lines))
    assert "line 4 " in str(raised.value)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_header_is_refused_as_line_1(tmp_path):
    header = ",".join(["id", "diagnosis", *(f"feature{n}" for n in range(30))])
    with pytest.raises(DataError, match=r"line 1 has diagnosis 'diagnosis'"):
        load(write_uci_file(tmp_path, [header, *uci_lines()]))


@pytest.mark.parametrize("content", [b"", b"\n", b" \n\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = tmp_path / "wdbc.data"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"line 1 is missing: the file is empty"):
        load(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        load(tmp_path / "nowhere.data")
    with pytest.raises(DataError, match="Is a directory"):
        load(tmp_path)
    binary = tmp_path / "wdbc.data"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="not a text file"):
        load(binary)


def test_too_few_rows_of_a_diagnosis_are_refused(tmp_path):
    only_malignant = [line for line in uci_lines() if ",M," in line]
    with pytest.raises(DataError, match="only 0 of its rows are benign"):
        load(write_uci_file(tmp_path, only_malignant))


def test_the_split_is_stratified_complete_and_always_the_same():
    dataset = load()
    rows, again = split(dataset), split(dataset)
    pd.testing.assert_frame_equal(rows.test.frame(), again.test.frame())
    assert (len(rows.train.target), len(rows.test.target)) == (455, 114)
    share = [(each.target == "malignant").mean() for each in (rows.train, rows.test)]
    np.testing.assert_allclose(share, 212 / 569, atol=0.01)
    together = pd.concat([rows.train.frame(), rows.test.frame()])
    assert sorted(together.mean_area) == sorted(dataset.features.mean_area)
    assert rows.test.digest == dataset.digest
