"""Which held-out rows change: of classes, of numbers, and where nothing can be compared."""

import pytest

from trainer.held_out import MAX_SHOWN, NotComparableError, changed_classes, changed_numbers, parse

BEFORE = """\
row,actual,prediction,probability_benign,probability_malignant
3,malignant,malignant,0.25,0.75
5,benign,benign,0.9,0.1
8,malignant,benign,0.51,0.49
"""
AFTER = """\
row,actual,prediction,probability_benign,probability_malignant
3,malignant,benign,0.6,0.4
5,benign,benign,0.8,0.2
8,malignant,malignant,0.1,0.9
"""


def predictions(text):
    return parse(text.splitlines())


def test_rows_that_change_sides():
    found = changed_classes(predictions(BEFORE), predictions(AFTER))
    assert found.sentence == "2 of 3 held-out rows change sides: 1 becomes right, 1 becomes wrong"
    assert found.table.rows == [
        ["3", "malignant", "malignant", 0.75, "benign", 0.6, "becomes wrong"],
        ["8", "malignant", "benign", 0.51, "malignant", 0.9, "becomes right"],
    ]
    assert found.table.records()[0] == {
        "row": "3", "actual": "malignant", "champion": "malignant", "champion_probability": 0.75,
        "challenger": "benign", "challenger_probability": 0.6, "effect": "becomes wrong",
    }  # fmt: skip


def test_rows_are_in_the_order_of_their_numbers_those_that_become_wrong_first():
    head = "row,actual,prediction\n"
    rows = {"10": "ab", "9": "ab", "11": "ba", "2": "ba"}
    before = predictions(head + "".join(f"{row},b,{new}\n" for row, (new, _) in rows.items()))
    after = predictions(head + "".join(f"{row},b,{old}\n" for row, (_, old) in rows.items()))
    assert [row for row, *_ in changed_classes(before, after).table.rows] == ["2", "11", "9", "10"]


def test_no_row_changes():
    found = changed_classes(predictions(BEFORE), predictions(BEFORE))
    assert (found.sentence, found.table) == ("0 of 3 held-out rows change sides", None)
    lines = "row,actual,prediction\n1,2.0,3.0\n"
    found = changed_numbers(predictions(lines), predictions(lines))
    assert found.sentence == "the predictions of 0 of 1 held-out rows change"


def test_of_several_classes_a_row_may_stay_wrong_and_texts_are_any():
    head = 'row,actual,prediction,"probability_a, b",probability_ü,probability_1\n'
    before = predictions(head + '1,ü,"a, b",0.5,0.3,0.2\n2,1,1,0,0,1\n3,1,1,0,0,1\n')
    after = predictions(head + "1,ü,1,0.2,0.3,0.5\n2,1,ü,0,1,0\n3,1,ü,0,1,0\n")
    found = changed_classes(before, after)
    assert found.sentence.endswith(
        "3 of 3 held-out rows change sides: 0 become right, 2 become wrong, 1 stays wrong"
    )
    assert found.table.rows[-1] == ["1", "ü", "a, b", 0.5, "1", 0.5, "stays wrong"]


def test_a_classifier_without_probabilities():
    before, after = (predictions(f"row,actual,prediction\n1,a,{each}\n") for each in "ab")
    assert changed_classes(before, after).table.rows == [
        ["1", "a", "a", None, "b", None, "becomes wrong"]
    ]


def test_numbers_are_listed_by_the_size_of_the_change():
    count = 2 * MAX_SHOWN
    head = "row,actual,prediction\n"
    before = predictions(head + "".join(f"{row},100,{90 + row}\n" for row in range(count)))
    after = predictions(head + "".join(f"{row},100,{90 + 2 * row}\n" for row in range(count)))
    found = changed_numbers(before, after)
    assert found.sentence == (
        "the predictions of 39 of 40 held-out rows change: half of the rows by 19 or less, 90 % by 35 or "
        "less, the largest by 39; 6 come closer to the actual value, 33 move away (20 are shown)"
    )
    assert [each.heading for each in found.table.columns] == [
        "row", "actual", "champion", "challenger", "change",
    ]  # fmt: skip
    assert len(found.table.rows) == MAX_SHOWN
    assert found.table.rows[0] == ["39", 100, 129, 168, 39]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "row,actual\n1,2\n"])
def test_another_table_is_not_compared(text):
    with pytest.raises(NotComparableError, match="has no column"):
        predictions(text)


@pytest.mark.parametrize("value", ["", "many", "nan", "inf"])
def test_a_prediction_that_is_no_number_is_not_compared(value):
    table = predictions(f"row,actual,prediction\n7,1,{value}\n")
    with pytest.raises(NotComparableError, match=r"row 7 of evaluation/.*\.csv has"):
        changed_numbers(table, table)
