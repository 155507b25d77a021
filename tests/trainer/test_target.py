"""The target decides the task; what nobody chose is inferred and said."""

import pandas as pd
import pytest

from trainer.errors import DataError
from trainer.table import Table
from trainer.target import read_target


def read(tmp_path, values, **choices):
    frame = pd.DataFrame({"y": pd.Series([str(each) for each in values], dtype=str)})
    return read_target(Table(tmp_path / "table.csv", frame), "y", **choices)


TASKS = {
    "two texts": (["no"] * 30 + ["yes"] * 10, "binary", ("no", "yes"), "yes", "by its name"),
    "the rarer one": (["a"] * 15 + ["b"] * 30, "binary", ("a", "b"), "a", "the rarer one"),
    "booleans": (["False"] * 10 + ["True"] * 30, "binary", (False, True), True, "by its name"),
    "0 and 1": ([0] * 20 + [1] * 30, "binary", (0, 1), 1, "2 different numbers; --task regression"),
    "1.0 and 2.0": ([1.0] * 20 + [2.0] * 30, "binary", (1, 2), 1, "by its name"),
    "three texts": (["a", "b", "c"] * 10, "multiclass", ("a", "b", "c"), None, "3 classes"),
    "whole numbers of few values": ([3, 4, 5] * 10, "multiclass", (3, 4, 5), None, "--task regr"),
    "whole numbers of many values": (range(200), "regression", (), None, "--task classification"),
    "few rows for their values": ([*range(15)] * 2, "regression", (), None, "15 different numbers"),
    "fractions": ([0.5, 1.5] * 20, "regression", (), None, "0.5 to 1.5"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "expected"), [(v, r) for v, *r in TASKS.values()], ids=TASKS)
def test_the_task_is_inferred(tmp_path, values, expected):
    task, classes, positive, remark = expected
    found = read(tmp_path, values)
    assert found.problem.task == task
    assert found.problem.classes == classes
    assert found.problem.positive == positive
    assert type(found.problem.positive) is type(positive)
    assert remark in " ".join(found.remarks)
    kinds = {str: "U", int: "i", bool: "b", float: "f"}
    assert found.labels.dtype.kind == kinds[type(classes[0] if classes else 0.5)]


def test_what_is_chosen_is_not_inferred(tmp_path):
    assert read(tmp_path, [3, 4, 5] * 10, choice="regression").problem.task == "regression"
    many = [each for each in range(30) for _ in range(10)]
    assert len(read(tmp_path, many, choice="classification").problem.classes) == 30
    chosen = read(tmp_path, ["a"] * 15 + ["b"] * 30, positive="b")
    assert chosen.problem.positive == "b"
    assert read(tmp_path, [0] * 20 + [1] * 30, positive="0").problem.positive == 0


REFUSED = {
    "one class": (["a"] * 30, {}, "each row has the same y, a; add rows of another class"),
    "one number": ([1.5] * 30, {}, "each row has the same y; choose another --target"),
    "a rare class": (["a"] * 30 + ["b"] * 9, {}, "at least 10 rows; too few: b (9); merge rare"),
    "a rare number": ([1] * 30 + [2] * 9, {}, "--task regression"),
    "identifiers": ([f"p{row}" for row in range(30)], {}, "(1) and 20 more; merge"),
    "dates": (["2024-01-01"] * 30, {}, "holds dates"),
    "no such class": (["no"] * 20 + ["yes"] * 20, {"positive": "yess"}, "did you mean yes?"),
    "a positive of three": (["a", "b", "c"] * 10, {"positive": "a"}, "leave out --positive"),
    "a positive number": (range(200), {"positive": "1"}, "no positive class; leave out --positive"),
    "a regression of texts": (["a", "b"] * 20, {"choice": "regression"}, "y is a text"),
    "classes with fractions": ([0.5, 1.5] * 20, {"choice": "classification"}, "with fractions"),
    "all missing": (["", "NA"] * 20, {}, "only 0 of its rows have a y"),
}


@pytest.mark.parametrize(("values", "choices", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_a_target_that_cannot_be_predicted_is_refused(tmp_path, values, choices, message):
    with pytest.raises(DataError) as raised:
        read(tmp_path, values, **choices)
    assert message in str(raised.value)
