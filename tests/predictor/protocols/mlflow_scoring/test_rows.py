"""From bodies to rows: by name, by position, by tensor; what is refused, and how it is said.

`tests/end_to_end/test_mlflow_scoring.py` compares the same with MLflow; here are the versions and values
that its table has not.
"""

import json
from functools import partial

import numpy as np
import pytest

from predictor.errors import RequestError, TooManyRows
from predictor.protocols.mlflow_scoring import tables
from predictor.protocols.mlflow_scoring.errors import InvalidInput, SchemaNotMet
from predictor.protocols.mlflow_scoring.invocation import Invocations
from tests.predictor.graphs import OURS, classifier, one_input_per_column, regressor, with_metadata
from tests.predictor.protocols.mlflow_scoring.parts import COLUMNS, servable, tensor

NAMED = servable(OURS, COLUMNS)
MIXED = servable(one_input_per_column(), [
    {"type": "long", "name": "age"}, {"type": "boolean", "name": "smoker"},
    {"type": "double", "name": "dose"}, {"type": "string", "name": "code"},
])  # fmt: skip
PATIENT = {"age": 50, "smoker": True, "dose": 1.5, "code": "A"}


def rows(servable, body, media="json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found, _ = Invocations(media).read_one(servable, content)
    return [
        tuple(np.frombuffer(r, np.float32).tolist()) if isinstance(r, bytes) else r for r in found
    ]


def refused(servable, body, media="json", kind=InvalidInput):
    with pytest.raises(kind) as raised:
        rows(servable, body, media)
    assert isinstance(raised.value, RequestError)
    return str(raised.value)


def test_columns_of_every_type():
    """Numbers that are text are numbers; 3.0 is an integer."""
    assert rows(MIXED, {"inputs": [PATIENT]}) == [(50, True, 1.5, "A")]
    loose = {"age": "50", "smoker": False, "dose": "1e1", "code": "3"}
    assert rows(MIXED, {"dataframe_records": [loose, {**loose, "age": 3.0}]}) == [
        (50, False, 10.0, "3"), (3, False, 10.0, "3"),
    ]  # fmt: skip
    text = b'code,smoker,dose,age\nA,TRUE,1.5,50\n"B,C",false, 2 ,3.0\n'
    assert rows(MIXED, text, "csv") == [(50, True, 1.5, "A"), (3, False, 2.0, "B,C")]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("age", 3.5, "expected an integer, got a number with a fraction"),
        ("age", "3.5", "a number with a fraction"),
        ("age", True, "expected a number, got a boolean"),
        ("age", 2**70, "does not fit int64"),
        ("age", None, "null"),
        ("smoker", 1, "expected true or false, got a number"),
        ("smoker", "true", "expected true or false, got another text"),
        ("dose", "x", "expected a number, got another text"),
        ("dose", {}, "expected a number, got an object"),
        ("dose", "9" * 500, "expected a number, got another text"),
        ("dose", 10**399, "does not fit 64 bits"),
        ("code", 3, "expected a text, got a number"),
        ("code", "\ud800", "half of a surrogate pair"),
    ],
)
def test_values_of_another_type(name, value, said):
    """The column and the row are named; the value is not repeated."""
    message = refused(MIXED, {"dataframe_records": [PATIENT, {**PATIENT, name: value}]})
    assert f"column {name}, " in message
    assert message.endswith(f"row 1: {said}") or said in message.partition("row 1: ")[2]


def test_a_refusal_repeats_no_value():
    """It may be a patient's."""
    for name in PATIENT:
        for value in ("secret-7215", ["secret-7215"], {"secret-7215": 7215.5}):
            if (name, value) != ("code", "secret-7215"):
                assert "7215" not in refused(MIXED, {"inputs": [{**PATIENT, name: value}]})
    broken = (
        b'{"inputs": [{"dose": 7215.5}',
        b'{"inputs": "\xff7215.5"}',
        b'"7215.5"',
        b"[7215.5]",
    )
    for body in broken:
        assert "7215" not in refused(MIXED, body)
    no_names = refused(MIXED, b"50,True,7215.5,A\n51,True,7215.5,B\n", "csv", kind=SchemaNotMet)
    assert "7215" not in no_names
    assert no_names.endswith("unknown columns: 4; is the line of names missing?")


def test_csv_values_are_read_as_pandas_reads_them():
    header = b"age,smoker,dose,code\n"
    for cell in (b"1_0", "\u0661".encode(), b"0x1", b"1d1", b"True"):
        assert "column dose" in refused(MIXED, header + b"1,True," + cell + b",A\n", "csv")
    assert "column code, row 0: missing" in refused(MIXED, header + b"1,True,1,NA\n", "csv")
    assert "column smoker" in refused(MIXED, header + b"1,yes,1,A\n", "csv")


def test_unnamed_versions_go_by_position():
    """Unless the names say otherwise."""
    unsigned = servable(regressor())
    for body in (
        {"inputs": [[1, 2], [3, 4]]},
        {"instances": [[1, 2], [3, 4]]},
        {"inputs": {"X": [[1, 2], [3, 4]]}},
        {"instances": [{"X": [1, 2]}, {"X": [3, 4]}]},
        {"dataframe_split": {"data": [[1, 2], [3, 4]]}},
        {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}},
        {"dataframe_split": {"columns": ["feature_1", "feature_0"], "data": [[2, 1], [4, 3]]}},
    ):
        assert rows(unsigned, body) == [(1.0, 2.0), (3.0, 4.0)], body
    half = {"dataframe_split": {"columns": ["feature_1", "b"], "data": [[2, 1]]}}
    assert "missing columns: ['feature_0']" in refused(unsigned, half, kind=SchemaNotMet)
    assert "3 values; the model takes 2" in refused(unsigned, {"inputs": [[1, 2, 3]]})
    assert "input X: each row must have 2 value(s)" in refused(
        unsigned, {"inputs": {"X": [[1]]}}, kind=SchemaNotMet
    )
    same = {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}
    assert "same name" in refused(unsigned, same)


def test_a_version_of_one_tensor():
    one = servable(regressor(), [tensor(-1, 2)])
    assert rows(one, {"inputs": [[1, 2]]}) == [(1.0, 2.0)]
    assert "no names of columns" in refused(one, {"inputs": {"X": [[1, 2]]}})
    assert "3 values; the model takes 2" in refused(
        one, {"instances": [[1, 2, 3]]}, kind=SchemaNotMet
    )


def test_a_version_of_named_tensors():
    """Each is a list of values, or of lists with one."""
    named = servable(one_input_per_column(), loader="mlflow.onnx")
    columns = {"age": [[1], [2]], "smoker": [True, False], "dose": [[1], [2]], "code": ["A", "B"]}
    assert rows(named, {"inputs": columns}) == [(1, True, 1.0, "A"), (2, False, 2.0, "B")]
    assert "row 1: missing" in refused(named, {"instances": [PATIENT, {"x": 1}]})


def test_a_version_of_one_column():
    """Lists are that column, as MLflow has it."""
    single = servable(regressor(width=1), [{"type": "double", "name": "a"}])
    assert rows(single, {"inputs": [1, 2]}) == [(1.0,), (2.0,)]
    assert rows(single, {"instances": [1, 2]}) == [(1.0,), (2.0,)]
    assert rows(single, {"dataframe_records": [{"a": 1}]}) == [(1.0,)]


def test_names_that_are_no_features_are_counted():
    """Each once, and not repeated."""
    extra = {f"x{number}": 1 for number in range(50)} | {"\ud800": 1}
    message = refused(NAMED, {"dataframe_records": [extra, extra]}, kind=SchemaNotMet)
    assert message.endswith("unknown columns: 51")


def test_many_names_cost_no_more_than_their_bytes():
    """Each of many records with a name of its own: their union is never a table."""
    body = {"dataframe_records": [{f"n{number}": 1} for number in range(20_000)]}
    assert "missing columns" in refused(NAMED, body, kind=SchemaNotMet)


def test_names_that_are_misspelt_are_never_positions():
    """Whether MLflow's signature or the graph names the columns: in another order they would be swapped."""
    for model in (NAMED, servable(OURS)):
        for body, media in (
            ({"inputs": {"mean texture": [0.0], "mean radius": [1.0]}}, "json"),
            ({"dataframe_records": [{"MeanTexture": 0, "mean_radius": 1}]}, "json"),
            (
                {"dataframe_split": {"columns": ["mean-texture", "mean-radius"], "data": [[0, 1]]}},
                "json",
            ),
            (b"Mean Texture,Mean Radius\n0,1\n", "csv"),
        ):
            assert "send '" in refused(model, body, media, kind=SchemaNotMet)
    assert rows(servable(OURS), b"a,b\n1,0\n", "csv") == [(1.0, 0.0)]


def test_a_row_with_a_misspelt_name_is_not_one_without_the_value():
    """Though another row has the name as it should be, or a further column has it otherwise."""
    model = servable(
        regressor(), [{"type": "double", "name": "age"}, {"type": "double", "name": "dose", "required": False}]
    )  # fmt: skip
    good = {"age": 1, "dose": 2}
    for form in ("dataframe_records", "instances", "inputs"):
        for name in ("Dose", "do se", "\uff44ose"):
            body = {form: [good, {"age": 1, name: 2}]}
            assert f"send 'dose', not '{name}'" in refused(model, body, kind=SchemaNotMet)
    assert "send 'dose'" in refused(model, b"age,dose,Dose\n1,,2\n", "csv", kind=SchemaNotMet)
    assert rows(model, {"instances": [good, {**good, "Dose": 7}]}) == [(1.0, 2.0)] * 2


def test_a_header_of_many_columns_is_refused_before_a_table_is_made():
    """A byte of CSV may be a column."""
    header = b"," * 500_000
    assert "names 500001 columns; the model takes 2" in refused(NAMED, header + b"\n1\n", "csv")
    assert rows(NAMED, b"mean_radius,mean_texture" + b",x" * 20_000 + b"\n1,2\n", "csv")


def test_params_are_checked_where_they_are_declared():
    params = [
        {"name": "n", "type": "long", "default": 1, "shape": None},
        {"name": "t", "type": "double", "default": 0.5, "shape": None},
        {"name": "stop", "type": "string", "default": ["a"], "shape": [-1]},
    ]
    declared = servable(OURS, COLUMNS, params=params)
    row = {"inputs": [{"mean_radius": 1.0, "mean_texture": 0.0}]}
    for good in (None, {}, {"n": 2, "t": 1, "stop": ["b"]}, {"other": "x"}, {"n": None}):
        assert rows(declared, {**row, "params": good}) == [(1.0, 0.0)]
    for bad, said in (
        ({"n": "2"}, "['n']"), ({"n": 2.5}, "['n']"), ({"n": True}, "['n']"), ({"t": "x"}, "['t']"),
        ({"stop": "b"}, "['stop']"), ([1], "params is a list; send an object"),
    ):  # fmt: skip
        assert said in refused(declared, {**row, "params": bad}, kind=SchemaNotMet)


def test_classes_that_are_numbers_take_the_same_rows():
    assert rows(servable(classifier(labels=(0, 1))), {"inputs": [[1, 2]]}) == [(1.0, 2.0)]


WIDE = servable(with_metadata(regressor(30), feature_names=[f"f{i}" for i in range(30)]))


def test_no_table_is_made_of_more_than_was_sent():
    """A single value that counts for half a million rows is fifteen million values."""
    columns = {"f0": [0] * 500_000, **{f"f{i}": 0 for i in range(1, 30)}}
    with pytest.raises(TooManyRows, match="500000 rows of 30 features"):
        rows(WIDE, {"inputs": columns})
    with pytest.raises(TooManyRows):
        rows(WIDE, {"dataframe_split": {"data": columns}})
    with pytest.raises(TooManyRows):
        rows(WIDE, {"instances": [{}] * 200_000})
    with pytest.raises(TooManyRows):
        rows(WIDE, b"f0\n" + b"1\n" * 500_000, "csv")
    assert len(rows(WIDE, {"inputs": {**columns, "f0": [0] * 30_000}})) == 30_000


@pytest.mark.parametrize("read", [tables.of_dataframe_records, partial(tables.of_values, "inputs")])
def test_no_rows_have_no_columns(read):
    """So that nothing is said of columns too many; single values are one column."""
    assert (list(read([]).names), read([]).count) == ([], 0)
    single = tables.of_values("inputs", [1.5, 2.5])
    assert (list(single.names), single.column(0)) == ([0], [1.5, 2.5])
