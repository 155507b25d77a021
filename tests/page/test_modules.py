"""How the page reads what people type and paste, what the service says, and what it writes to a file."""

import csv
import io
import json
from decimal import Decimal

import pytest

from tests.page.node import Modules

pytestmark = pytest.mark.whole

FEATURES = json.dumps([{"name": name, "type": "number", "full": name} for name in "abc"])
VERSION = {"model_name": "m", "model_version": "7"}


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return Modules(tmp_path_factory.mktemp("page"))


def test_numbers_are_sent_as_typed_and_everything_sent_is_json(modules):
    sent = {
        "9007199254740993": "9007199254740993",
        " 17.990 ": "17.990",
        "+1": "1",
        "-007.5": "-7.5",
        "1.": "1",
        ".5e3": "0.5e3",
        "1e400": "1e400",
        "17,99": "17.99",
        "0,118": "0.118",
        "1.234,5": "1234.5",
        "1,234.5": "1234.5",
        "1.001": "1.001",
        "1,001": '"1,001"',
        "0x10": '"0x10"',
        "NaN": '"NaN"',
        "": None,
    }
    calls = [f'm.literal("number", {json.dumps(text)})' for text in sent]
    assert modules.compute("record.js", *calls) == list(sent.values())
    for value in filter(None, sent.values()):
        json.loads(value)


def test_what_may_be_a_decimal_or_a_thousand_is_settled_by_the_cells_beside_it_or_not_read(modules):
    sheets = {
        "17,99\t1,001\t2": ["17.99", "1.001", "2"],
        "17.99\t1,001\t2": ["17.99", "1001", "2"],
        "17,99\t1.001\t2": ["17.99", "1001", "2"],
        "17.99\t1.001\t2": ["17.99", "1.001", "2"],
        "1,001\t2\t3": ["1,001", "2", "3"],
        "17,99\t0.5\t1.001": ["17.99", "0.5", "1.001 or 1001?"],
        "1.234.567\t1\t2": ["1234567", "1", "2"],
    }
    assert modules.compute("sheet.js", *map(read, sheets)) == [
        sheet([row]) for row in sheets.values()
    ]


ROWS = {
    "1\t2\t3": [["1", "2", "3"]],
    "1, 2,3\n": [["1", "2", "3"]],
    "1\r\n2\r\n3\r\n": [["1", "2", "3"]],
    "1 2  3": [["1", "2", "3"]],
    "17,99;1,5;2": [["17.99", "1.5", "2"]],
    "1\t2\t": [["1", "2", ""]],
    "\t2\t3": [["", "2", "3"]],
    "c\ta\tb\n3\t1\t2": [["1", "2", "3"]],
    "\ufeffA,B,C\n1,2,3\n\n4,5,6\n": [["1", "2", "3"], ["4", "5", "6"]],
    '{"b": 2, "a": 1, "c": 3}': [["1", "2", "3"]],
    '{"instances": [{"a": 1, "b": 2, "c": 3}, {"a": 4}]}': [["1", "2", "3"], ["4", "", ""]],
    '1,"2",3\r\n4,5,6': [["1", "2", "3"], ["4", "5", "6"]],
}


def test_rows_are_read_with_and_without_names_whatever_separates_them(modules):
    assert modules.compute("sheet.js", *map(read, ROWS)) == [sheet(rows) for rows in ROWS.values()]


def test_columns_that_are_no_features_stay_beside_the_row(modules):
    text = 'id;c;a;b;note\n001;3;1;2;"x;""y"""\n002;6;4;5;<img src=x onerror=alert(1)>'
    (found,) = modules.compute("sheet.js", read(text))
    assert found["rows"] == [["1", "2", "3"], ["4", "5", "6"]]
    notes = [["001", 'x;"y"'], ["002", "<img src=x onerror=alert(1)>"]]
    assert found["extras"] == {"names": ["id", "note"], "rows": notes}


def test_a_name_is_known_in_another_spelling(modules):
    features = json.dumps(
        [{"name": f"{group}_radius", "type": "number"} for group in ("mean", "worst")]
    )
    text = json.dumps("Radius Worst,mean radius\n2,1")
    (found,) = modules.compute("sheet.js", f"m.readSheet({text}, {features})")
    assert found["rows"] == [["1", "2"]]


WRONG = ["1,2,3,4", "1\t2\t3\t4", "1 2 3 4", "{a", '{"d": 1}', '{"a": 1, "b": 2}', "a\tb\tc", "a\tb\n1\t2",
         "a\ta\tb\tc\n1\t1\t2\t3", "1,2,3\n4,5", "a,b,c\n1,2,3\n4,5"]  # fmt: skip


def test_rows_that_do_not_fit_fill_nothing_and_the_page_says_why(modules):
    for text, found in zip(WRONG, modules.compute("sheet.js", *map(read, WRONG)), strict=True):
        assert found["fault"].endswith("Nothing was filled in."), text


def test_one_value_is_pasted_as_ever(modules):
    pasted = ["", "5", "17,99", "1,001", "<script>alert(1)</script>"]
    assert modules.compute("sheet.js", *map(read, pasted)) == [None] * len(pasted)


def test_a_cell_that_a_spreadsheet_would_run_is_made_a_text(modules):
    cells = [
        "=1+1",
        "+cmd",
        "-2",
        "-2.5e-3",
        "+7",
        "@x",
        "\t=1",
        "\n=1",
        "\N{FULLWIDTH EQUALS SIGN}1",
        "a,b",
        'say "x"',
        "",
        "-",
        "benign",
    ]
    (text,) = modules.compute("cells.js", f"m.csvText([{json.dumps(cells)}])")
    (row,) = csv.reader(io.StringIO(text))
    assert row == [
        "'=1+1",
        "'+cmd",
        "-2",
        "-2.5e-3",
        "+7",
        "'@x",
        "'\t=1",
        "'\n=1",
        "'\N{FULLWIDTH EQUALS SIGN}1",
        *cells[9:12],
        "'-",
        "benign",
    ]


def test_events_are_read_however_their_bytes_are_cut(modules):
    stream = 'retry: 2000\n\n: hello\r\nevent: swapped\r\nid: x-1\r\ndata: {"a":\r\ndata: 1}\r\n\r\ndata: [2]\n\nid: x-2\n\n'
    whole = [{"name": "swapped", "payload": {"a": 1}}, {"name": "message", "payload": [2]}]
    cut = f"[r.flatMap((c) => reader.take(c)), reader.lastId])(new m.EventReader(), {json.dumps(stream)}"
    found = modules.compute(
        "sse.js",
        *(f"((reader, text, r = {parts}) => {cut})" for parts in ("[text]", "[...text]", "text.match(/.{1,7}/gs)")),
    )  # fmt: skip
    assert found == [[whole, "x-2"]] * 3


def test_events_tell_what_serves(modules):
    loading = {"version": {"model_name": "m", "model_version": "8"}}
    failed = {**loading, "reason": "no such file"}
    swapped = {"serving": {"model_name": "m", "model_version": "8"}, "reason": "promoted"}
    steps = [
        ("state", {"serving": VERSION, "loading": None, "last_failure": None,
                   "registry": {"fault": "gone", "names_none_because": None}}),
        ("registry_answered", {}), ("load_started", loading), ("load_failed", failed),
        ("swapped", swapped), ("registry_names_none", {"reason": "all demoted"}),
        ("stopped_serving", {"previous": VERSION, "reason": "withdrawn"}),
    ]  # fmt: skip
    history = f"{json.dumps(steps)}.reduce((all, [n, p]) => [...all, m.afterEvent(all.at(-1), n, p)], [m.UNKNOWN]).slice(1)"
    (found,) = modules.compute("status.js", history)
    assert [each["registry"] for each in found[:2]] == ["gone", None]
    assert found[2]["loading"] == loading["version"]
    assert (found[3]["loading"], found[3]["failure"]["reason"]) == (None, "no such file")
    assert (found[4]["serving"], found[4]["failure"]) == (swapped["serving"], None)
    assert (found[6]["serving"], found[6]["why"]) == (None, "all demoted")


def test_a_version_that_waits_for_approvals_is_told(modules):
    """How many of how many, by whom, and why others do not count; nothing once there are enough."""
    desired = {
        **VERSION,
        "model_version": "8",
        "approved_by": ["alice"],
        "rejected": ["bob: withdrawn"],
        "sufficient": False,
    }
    enough = {**desired, "sufficient": True}
    payloads = [
        {"required": 2, "desired": each, "serving": None} for each in (desired, enough, None)
    ]
    calls = [
        f'm.waiting(m.afterEvent(m.UNKNOWN, "approvals_changed", {json.dumps(each)}))'
        for each in payloads
    ]
    assert modules.compute("status.js", "m.waiting(m.UNKNOWN)", *calls) == [
        None, "Version 8 waits for approvals: 1 of 2 (alice); bob: withdrawn", None, None
    ]  # fmt: skip


def test_another_version_is_news_and_the_same_is_none(modules):
    seven, eight = json.dumps(VERSION), json.dumps({**VERSION, "model_version": "8"})
    pairs = [
        ("undefined", seven),
        (seven, seven),
        (seven, eight),
        (eight, seven),
        (seven, "null"),
        ("null", seven),
    ]
    reasons = ["", "", "promoted", "rolled_back", "", ""]
    calls = [f'm.announcement({a}, {b}, "{r}")' for (a, b), r in zip(pairs, reasons, strict=True)]
    assert modules.compute("status.js", *calls) == [
        None, None,
        "Version 8 of m was promoted and serves now, in place of version 7.",
        "Version 7 of m serves again after a rollback, in place of version 8.",
        "Version 7 of m no longer serves. No version serves now.",
        "Version 7 of m serves now.",
    ]  # fmt: skip


def test_features_are_named_and_grouped_by_the_document_or_by_their_names(modules):
    told = {"mean_radius": {"type": "number", "x-group": "mean"}, "radius_error": {"type": "number", "x-group": "standard error"},
            "age": {"type": "integer"}}  # fmt: skip
    silent = {f"{g}_{n}": {"type": "number"} for g in ("mean", "worst") for n in ("a", "b", "c")}
    alone = {name: {"type": "number"} for name in ("sepal_length", "petal_width")}
    calls = [
        f"m.readDocument({json.dumps(document(each))}).features" for each in (told, silent, alone)
    ]
    found = [
        [(f["label"], f["group"]) for f in each] for each in modules.compute("features.js", *calls)
    ]
    assert found == [
        [("Radius", "mean"), ("Radius", "standard error"), ("Age", None)],
        [(name, group) for group in ("mean", "worst") for name in "ABC"],
        [("Sepal length", None), ("Petal width", None)],
    ]


def test_a_list_is_sorted_by_any_column_with_what_has_no_value_last(modules):
    answers = [
        {"prediction": "benign", "probabilities": {"benign": 0.9, "malignant": 0.1}},
        {"faults": [{"field": "b", "message": "missing"}]},
        {"prediction": "malignant", "probabilities": {"benign": 0.2, "malignant": 0.8},
         "warnings": [{"feature": "a", "value": 9, "minimum": 1, "maximum": 2}]},
    ]  # fmt: skip
    rows = [["1", "2", "3"], ["1", "", "3"], ["9", "2", "3"]]
    extras = {"names": ["id"], "rows": [["x10"], ["x9"], ["=x1"]]}
    made = f"new m.AnsweredList({FEATURES}, {json.dumps(rows)}, {json.dumps(extras)}, {json.dumps({'version': VERSION, 'answers': answers})})"
    sorts = [[0], [1], [2], [3], [3, 3], [4]]
    calls = [
        f"((list) => {{ {json.dumps(by)}.forEach((c) => list.sort(c)); return list.order; }})({made})"
        for by in sorts
    ]
    *orders, titles, text = modules.compute(
        "list.js", *calls, f"{made}.columns.map((c) => c.title)", f"{made}.csv"
    )
    assert titles == ["Row", "id", "Prediction", "Probability of malignant", "Remarks"]
    # The first is sorted by already, so it turns; "=x1" is before "x9" is before "x10".
    assert orders == [[2, 1, 0], [2, 1, 0], [0, 2, 1], [0, 2, 1], [2, 0, 1], [1, 2, 0]]
    table = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in table] == ["x10", "x9", "'=x1"]
    assert [row["probability_malignant"] for row in table] == ["0.1", "", "0.8"]
    assert [row["remarks"] for row in table] == ["", "b: missing", "a 9 (training data: 1 to 2)"]
    assert {row["model_version"] for row in table} == {"7"}


def test_a_list_says_which_rows_reach_the_threshold(modules):
    """Of a class that counts below 50 %, whatever is more probable; in the table, in its summary, and in the file."""
    point = {"class": "yes", "threshold": 0.1, "grey_zone": {"low": 0.02}}
    worth = {"positive": "yes", "stated": True, "point": point}
    answers = [
        {
            "prediction": "no",
            "probabilities": {"yes": chance, "no": 1 - chance},
            "operating_point": {"class": "yes", "threshold": 0.1, "above": chance >= 0.1},
        }
        for chance in (0.3, 0.05, 0.01)
    ]
    answers.append({"faults": [{"field": "b", "message": "missing"}]})
    rows, extras = [["1", "2", "3"]] * 4, {"names": [], "rows": [[]] * 4}
    given = f"{FEATURES}, {json.dumps(rows)}, {json.dumps(extras)}, {json.dumps({'version': VERSION, 'answers': answers})}"
    made = f"new m.AnsweredList({given}, {json.dumps(worth)})"
    plain = json.dumps({"version": VERSION, "answers": answers[3:]})
    titles, cells, summary, text, order = modules.compute(
        "list.js",
        f"{made}.columns.map((c) => c.title)",
        f"[0, 1, 2, 3].map((i) => {made}.columns[3].of(i))",
        f"{made}.summary",
        f"{made}.csv",
        f"((l) => {{ l.sortAs({{ column: 4, descending: false }}); return l.order; }})(new m.AnsweredList({FEATURES}, {json.dumps(rows[3:])}, {json.dumps(extras)}, {plain}))",
    )
    said = ["reached", "not reached, in the grey zone", "not reached"]
    assert titles[2:] == ["Probability of yes", "Threshold: yes 10.0\xa0%", "Remarks"]
    assert cells == [*said, None]
    assert (summary["counts"], summary["above"], summary["grey"]) == ([["no", 3]], 1, 1)
    assert [row["threshold_yes"] for row in csv.DictReader(io.StringIO(text))] == [*said, ""]
    assert order == [0]


def test_what_may_be_missing_is_left_out_and_no_fault(modules):
    """An empty field, a column that is not there, or what pandas writes for nothing."""
    properties = {
        "a": {"type": "number"},
        "b": {"type": ["number", "null"]},
        "id": {"type": ["string", "null"], "x-ignored": True},
    }
    described = document(properties)
    described["components"]["schemas"]["Record"]["required"] = ["a"]
    (read_features,) = modules.compute(
        "features.js", f"m.readDocument({json.dumps(described)}).features"
    )
    assert [(f["name"], f["type"], f["required"]) for f in read_features] == [
        ("a", "number", True), ("b", "number", False),
    ]  # fmt: skip
    given = json.dumps(read_features)
    for typed, text in (
        (["1", ""], '{"a": 1}'),
        (["1", "NaN"], '{"a": 1}'),
        (["1", "2"], '{"a": 1, "b": 2}'),
    ):
        sent, faults = modules.compute(
            "record.js",
            f"m.recordText({given}, {json.dumps(typed)})",
            f"m.faultsOf({given}, {json.dumps(typed)})",
        )
        assert (sent, faults) == (text, [])
    (faults,) = modules.compute("record.js", f'm.faultsOf({given}, ["NA", "x"])')
    assert [each["field"] for each in faults] == ["a", "b"]
    (found,) = modules.compute("sheet.js", f'm.readSheet("a,c\\n1,2\\n", {given})')
    assert found["rows"] == [["1", ""]]


def test_features_and_classes_stay_in_the_model_s_order(modules):
    """Also where they are of digits, which an object of JavaScript puts first; a row without names is in this order."""
    described = document({name: {"type": "number"} for name in ("b", "2019", "2018")})
    schemas = described["components"]["schemas"]
    schemas["Record"]["x-order"] = ["b", "2019", "2018"]
    schemas["Probabilities"] = {"properties": {"-1": {}, "1": {}}, "required": ["-1", "1"]}
    (found,) = modules.compute("features.js", f"m.readDocument({json.dumps(described)})")
    assert [each["name"] for each in found["features"]] == ["b", "2019", "2018"]
    assert found["worth"]["positive"] == "1"


def test_each_feature_has_a_name_that_no_other_has(modules):
    """Names that differ in signs alone are shown as they are, and a blank one in quotes."""
    described = document({name: {"type": "number"} for name in ("a_b", "a-b", " ", "c_d")})
    (found,) = modules.compute("features.js", f"m.readDocument({json.dumps(described)}).features")
    assert [each["full"] for each in found] == ["a_b", "a-b", '" "', "C d"]


def test_a_text_may_be_missing_too(modules):
    """Nothing typed is no value; a text of blanks is one."""
    given = json.dumps([{"name": "a", "type": "string", "required": False}])
    for typed, text in (("", "{}"), (" ", '{"a": " "}')):
        sent, faults = modules.compute(
            "record.js", f"m.recordText({given}, ['{typed}'])", f"m.faultsOf({given}, ['{typed}'])"
        )
        assert (sent, faults) == (text, [])


def test_classes_of_numbers_and_of_blanks_can_be_read(modules):
    found = modules.compute(
        "numbers.js", "m.chanceOf(0.2, 1)", "m.chanceOf(0.2, 'yes')", "m.className(' ')", "m.written('')"
    )  # fmt: skip
    assert found == ["20.0\N{NO-BREAK SPACE}% class 1", "20.0\N{NO-BREAK SPACE}% yes", '" "', '""']


def read(text: str) -> str:
    return f"m.readSheet({json.dumps(text)}, {FEATURES})"


def sheet(rows: list[list[str]]) -> dict[str, object]:
    return {"rows": rows, "extras": {"names": [], "rows": [[] for _ in rows]}}


def document(properties: dict[str, object]) -> dict[str, object]:
    return {
        "paths": {"/predict": {"post": {}}},
        "components": {"schemas": {"Record": {"properties": properties}}},
    }


def placed(**given: object) -> str:
    worth = given.pop("worth", None)
    answer = {"prediction": "no", "probabilities": {"no": 0.8, "yes": 0.2}, **given}
    return f"m.placeOf({json.dumps(worth)}, {json.dumps(answer)})"


def test_an_answer_has_its_place_on_the_axis_of_the_positive_class(modules):
    """That of the operating point, else the one that the version names, else the last."""
    point = {"class": "yes", "threshold": 0.1, "grey_zone": {"low": 0.02}}
    worth = {"positive": "yes", "stated": True, "point": point}
    above = {"class": "yes", "threshold": 0.1, "above": True}
    below = {"class": "yes", "threshold": 0.25, "above": False}
    grey = {**above, "above": False}
    found = modules.compute(
        "worth.js",
        placed(worth=worth, operating_point=above),
        placed(worth=worth, operating_point=grey),
        placed(worth=worth, operating_point=below),
        placed(),
        placed(worth={"positive": "no", "stated": True, "point": None}),
        placed(probabilities={"a": 0.1, "b": 0.2, "c": 0.7}),
        placed(probabilities=None),
    )
    assert [each and each["side"] for each in found] == [
        "positive", "grey", "negative", "negative", "positive", None, None,
    ]  # fmt: skip
    # The zone is of another version, whose threshold is another.
    assert found[2]["point"] == {"class": "yes", "threshold": 0.25}
    assert [(each["positive"], each["chance"], each["stated"]) for each in found[3:5]] == [
        ("yes", 0.2, False), ("no", 0.8, True),
    ]  # fmt: skip


def test_a_share_is_never_rounded_to_certainty(modules):
    calls = [f"m.share({value})" for value in (0.88, 0.996, 0.9999, 1, 0, 0.0004)]
    assert modules.compute("worth.js", *calls) == ["88", "99.6", "99.99", "100", "0", "0.04"]


def test_contributions_are_steps_from_the_baseline_to_the_answer(modules):
    """On the axis of the positive class, in whatever scale; what is not shown is one step."""
    listed = [{"feature": name, "contribution": by} for name, by in (("a", 0.4), ("b", -0.3), ("c", 0.1))]  # fmt: skip
    explained = {"contributions": listed, "baseline": {"value": 0.5}, "value": 0.7}
    calls = [
        f"m.stepsOf({json.dumps({**explained, **further})}, 'yes', 2)"
        for further in (
            {"scale": "probability", "output": "yes"},
            {"scale": "probability", "output": "no"},
            {"scale": "log_odds", "output": "yes"},
            {"scale": "value", "output": "prediction"},
        )
    ]
    same, other, odds, value = modules.compute("steps.js", *calls)
    assert [step["to"] for step in same["steps"]] == pytest.approx([0.9, 0.6])
    assert (same["from"], same["to"], same["rest"]["to"]) == (0.5, 0.7, 0.7)
    assert same["rest"]["count"] == 1
    assert [step["to"] for step in other["steps"]] == pytest.approx([0.1, 0.4])
    assert [step["contribution"] for step in other["steps"]] == [-0.4, 0.3]
    assert odds["to"] == pytest.approx(1 / (1 + 2.718281828**-0.7))
    assert [value["from"], *(step["to"] for step in value["steps"])] == pytest.approx([0, 1, 0.25])


def test_sides_change_with_the_threshold_or_else_the_class(modules):
    above, below = ({"prediction": "no", "operating_point": {"class": "yes", "above": each}} for each in (True, False))  # fmt: skip
    pairs = [(above, below), (above, above), ({"prediction": 1}, {"prediction": 2}), ({}, {})]
    calls = [f"m.changedSides({json.dumps(one)}, {json.dumps(two)})" for one, two in pairs]
    assert modules.compute("worth.js", *calls) == [True, False, True, False]


RANGED = {"type": "number", "range": {"minimum": 0, "maximum": 10}, "name": "a"}


def ranged(low, high, kind="number"):
    return json.dumps({"type": kind, "name": "a", "range": {"minimum": low, "maximum": high}})


def test_a_step_of_what_if_is_a_hundredth_of_the_range_in_round_numbers(modules):
    """Whole for an integer; a range of one value has no step."""
    ranges = [
        (0, 10), (0, 0.0374), (12, 47.16), (0, 30, "integer"), (0.0009, 0.03), (-2e-7, -1e-7), (-1e308, 1e308), (0, 1, "integer"),
        (0, 5e22), (5, 5),
    ]  # fmt: skip
    found = modules.compute("whatif.js", *(f"m.stepOf({ranged(*each)})" for each in ranges))
    assert found == [
        "0.1",
        "0.0005",
        "0.5",
        "1",
        "0.0005",
        "1e-9",
        "2e+306",
        "1",
        "500000000000000000000",
        None,
    ]


MOVES = [
    # range, value, steps, and what it is then
    ((0, 10), "5", 1, "5.1"), ((0, 10), "5.03", -1, "4.93"), ((0, 10), "9.95", 10, "10.95"), ((0, 10), "12.5", -1, "12.4"),
    ((0, 10), "-3", 1, "-2.9"), ((0, 10), "0.05", -1, "-0.05"), ((0.0009, 0.03), "0.003586", 1, "0.004086"),
    ((0.0009, 0.03), "0.30000000000000004", 1, "0.30050000000000004"), ((-9, -1), "-5.05", 10, "-4.05"),
    ((0, 1e20), "123456789012345678901", 1, "124456789012345678901"), ((0, 30, "integer"), "7", -10, "-3"),
    ((0, 30, "integer"), "9007199254740993", 1, "9007199254740994"), ((0, 10), "1.50", 1, "1.6"), ((0, 10), "1e2", 1, "100.1"),
    ((0, 10), "5e-3", 1, "0.105"), ((0, 10), "1e-999999", 1, "0.1"), ((0, 100), "0", 10, "10"), ((0, 100), "99", 1, "100"),
    ((0, 1e-200), "1e-201", 1, "0." + "0" * 200 + "11"),
]  # fmt: skip


def test_a_value_moves_by_whole_steps_and_back_to_itself(modules):
    """To the last digit, from wherever it is: beyond the training range, too."""
    calls = [f"m.moved({ranged(*range_)}, '{value}', {steps})" for range_, value, steps, _ in MOVES]
    assert modules.compute("whatif.js", *calls) == [each[3] for each in MOVES]
    back = [f"m.moved({ranged(*range_)}, '{there}', {-steps})" for range_, _, steps, there in MOVES]
    exact = [Decimal(each) for each in modules.compute("whatif.js", *back)]
    assert exact == [Decimal(value) if value != "1e-999999" else 0 for _, value, _, _ in MOVES]


def test_the_slider_gives_round_values_its_ends_and_the_value_that_was_there(modules):
    """The last one may have more decimals than a step, or lie outside."""
    feature = ranged(6.98, 28.11)
    places = [
        (12.034, 17.99),
        (28.11, 17.99),
        (28.2, 17.99),
        (6.98, 17.99),
        (17.93, 17.99),
        (17.7, 17.99),
        (28, 28.2),
        (9, None),
    ]
    calls = [f"m.placed({feature}, {value}, {json.dumps(before)})" for value, before in places]
    assert modules.compute("whatif.js", *calls) == [12, 28.11, 28.11, 6.98, 17.99, 17.5, 28.2, 9]


def test_what_an_answer_s_curve_shows(modules):
    """The probability of the axis's class, or of the predicted one; a number within its span; several numbers nothing."""
    two = {"prediction": "no", "probabilities": {"no": 0.7, "yes": 0.3}}
    three = {"prediction": 1, "probability": 0.5, "probabilities": {"0": 0.3, "1": 0.5, "2": 0.2}}
    other = {"prediction": 2, "probability": 0.6, "probabilities": {"0": 0.3, "1": 0.1, "2": 0.6}}
    numbers = [{"prediction": value} for value in (3, 4, 7)]
    kinds = [
        two,
        three,
        numbers[0],
        {"prediction": [1, 2]},
        {"prediction": "no"},
        {"prediction": ["a", "b"]},
    ]
    shown = [
        ([two], two),
        ([three, other], three),
        (numbers, numbers[0]),
        ([{"prediction": "a"}], {"prediction": "a"}),
    ]
    found = modules.compute(
        "turning.js",
        *(f"m.kindOf({json.dumps(each)})" for each in kinds),
        *(f"m.heightsOf({json.dumps(answers)}, {json.dumps(own)}, null)" for answers, own in shown),
    )
    assert found == [
        "class",
        "class",
        "number",
        None,
        "class",
        "class",
        [0.3],
        [0.5, 0.1],
        [0, 0.25, 1],
        None,
    ]


def test_what_was_tried_out_is_named(modules):
    """Each value that differs, and how many more; a prediction has none."""
    features = [{"name": f"f{n}", "full": f"F {n}"} for n in range(8)]
    model = {"features": features}
    told = {
        "model": model,
        "typed": [str(n) for n in range(8)],
        "of": {"model": model, "typed": ["9", *"1234567"]},
    }
    many = {**told, "of": {"model": model, "typed": ["9"] * 7 + [""]}}
    one, text, more, none = modules.compute(
        "session.js",
        f"m.tried({json.dumps(told)})",
        f"m.triedText(m.tried({json.dumps(told)}))",
        f"m.triedText(m.tried({json.dumps(many)}))",
        f"m.tried({json.dumps({**told, 'of': None})})",
    )
    assert one == [{"name": "f0", "label": "F 0", "before": "9", "now": "0"}]
    assert text == "F 0 0 instead of 9"
    assert more.startswith("F 0 0 instead of 9; ")
    assert more.endswith(" and 3 more")
    assert none is None


def test_a_sweep_goes_through_each_training_range_and_finds_where_the_answer_turns(modules):
    """Between two values, which are narrowed until both are written alike."""
    features = json.dumps([RANGED, {"type": "string", "name": "b"}, {**RANGED, "type": "integer"}])
    sweep = f"m.sweepOf({features}, ['3', 'x', ''])"
    answers = [
        {"prediction": "yes" if x > 5 else "no", "probabilities": {"no": 1 - x / 10, "yes": x / 10}}
        for x in (0, 4, 6, 10)
    ]
    own = {"prediction": "no", "probabilities": {"no": 0.7, "yes": 0.3}}
    listed, rows, turn, none, between, whole, narrowed = modules.compute(
        "turning.js",
        sweep,
        f"m.rowsOf({sweep}, ['3', 'x', '']).slice(-1)",
        f"m.turnsOf([0, 4, 6, 10], {json.dumps(answers)}, 3, {json.dumps(own)})",
        f"m.turnsOf([0, 4], {json.dumps(answers[:2])}, 3, {json.dumps(own)})",
        "[m.within({}, [4, 6]), m.within({}, [4.0001, 4.0002])]",
        "[[4, 7], [7, 4], [4, 5]].map((turn) => m.within({type: 'integer'}, turn))",
        f"m.narrowed([0, 10], [4, 6], {json.dumps(answers[1:3])}, {json.dumps(own)})",
    )
    assert [(each["at"], len(each["values"])) for each in listed] == [(0, 21)]
    assert rows == [["10", "x", ""]]
    assert turn == [None, [4, 6]]
    assert none == [None, None]
    assert between == [[4.2, 4.4, 4.6, 4.8, 5, 5.2, 5.4, 5.6, 5.8], []]
    assert whole == [[5, 6], [6, 5], []]
    assert narrowed == [4, 6]
    german = f"m.rowsOf({sweep}, ['3', 'x', ''])[1]"
    assert modules.compute("turning.js", german, language="de") == [["0,5", "x", ""]]


def test_what_was_overwritten_comes_back_to_a_form_of_the_same_fields_only(modules):
    """An empty form is nothing to come back to."""
    found = modules.compute(
        "session.js",
        f"""(() => {{
          const [undo, a, b] = [new m.Undo(), {FEATURES}, [{{ name: "z" }}]];
          undo.keep(a, ["", "", ""]);
          const before = undo.has(a);
          undo.keep(a, ["1", "2", "3"]);
          return [before, undo.has(b), undo.has(a), undo.take().typed, undo.has(a)];
        }})()""",
    )
    assert found == [[False, False, True, ["1", "2", "3"], False]]


def test_files_say_their_separator_and_their_units(modules):
    """A first line of Excel's own; a semicolon in a text between commas; another unit than the model's is asked about."""
    features = json.dumps([{"name": "a", "type": "number", "unit": "mm\u00b2"}, {"name": "b", "type": "number"}])  # fmt: skip
    good = [
        "sep=;\na;b\n1,5;2",
        "note,a,b\nx;y,1.5,2",
        "b,a [mm^2]\n2,1.5",
        "b (sd),a (mm2)\n2,1.5",
    ]
    *read, wrong = modules.compute(
        "sheet.js",
        *(
            f"m.readSheet({json.dumps(text)}, {features})"
            for text in [*good, "b,a (cm\u00b2)\n2,1"]
        ),
    )
    assert [each["rows"] for each in read] == [[["1.5", "2"]]] * len(good)
    assert wrong["fault"].startswith("a is in cm\u00b2 in the file, and in mm\u00b2 in the model.")
    assert wrong["unassigned"]["columns"] == [1, 0]


def test_a_probability_has_the_digits_that_tell_it_from_the_threshold(modules):
    given = ["0.5", "0.5, 0.7", "0.54791, 0.54814", "0.5481, 0.548149"]
    written = modules.compute("numbers.js", *(f"m.percent({each})" for each in given))
    assert written == ["50.0\u00a0%", "50.0\u00a0%", "54.79\u00a0%", "54.810\u00a0%"]
