"""The usual tables have the same rows and the same responses whether they are read quickly or not."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.protocols.mlflow_scoring.errors import InvalidInput, SchemaNotMet
from predictor.protocols.mlflow_scoring.forms import read_csv, read_json
from predictor.protocols.mlflow_scoring.invocation import (
    Invocations,
    Scored,
    predictions,
    table_of,
)
from predictor.protocols.mlflow_scoring.plain import PLAIN, PlainTables
from predictor.protocols.mlflow_scoring.rows import rows_of
from tests.predictor.graphs import NAMES, OURS, classifier, one_input_per_column, regressor
from tests.predictor.protocols.mlflow_scoring.parts import COLUMNS, servable

TWO = servable(OURS, COLUMNS)
MIXED = servable(one_input_per_column(), [
    {"type": "long", "name": "age"}, {"type": "boolean", "name": "smoker"},
    {"type": "double", "name": "dose"}, {"type": "string", "name": "code"},
])  # fmt: skip
NUMBERS = st.floats() | st.integers(-(10**40), 10**40)
VALUES = NUMBERS | st.sampled_from([None, True, "", "1", "ü", [1.0], {}])
COLUMN_NAMES = st.permutations([*NAMES]) | st.lists(st.sampled_from([*NAMES, "x"]), max_size=3)


def slowly(of, body, media):
    """The rows without the quick reader, packed as the graph takes them; None where they are refused."""
    try:
        if media == "csv":
            table = read_csv(body, len(of.signature.features))
        else:
            table = table_of(read_json(body), of)
        return packed(of, rows_of(table, of, len(body)))
    except (InvalidInput, SchemaNotMet):
        return None


def packed(of, rows):
    if of.signature.pack is None:
        return rows
    return [row if isinstance(row, bytes) else of.signature.pack(*row) for row in rows]


def check(of, body, media="json"):
    reader = PlainTables(of)
    found = reader.read_csv(body) if media == "csv" else reader.read_json(body)
    if found is not None:
        assert found == slowly(of, body, media)


@given(
    st.lists(st.lists(VALUES, min_size=2, max_size=2), max_size=2),
    st.sampled_from(["", ' "params": 1,']),
)
def test_records_have_the_same_rows(rows, extra):
    """Or are refused: what is read quickly is never more, and never something else."""
    records = [dict(zip(NAMES, row, strict=True)) for row in rows]
    body = json.dumps({"dataframe_records": records}).replace("{", "{" + extra, 1)
    check(TWO, body.encode())
    check(TWO, body.replace('"mean_radius"', '"mean_radius": 1, "mean_radius"', 1).encode())


@given(st.fixed_dictionaries({"age": VALUES, "smoker": VALUES, "dose": VALUES, "code": VALUES}))
def test_records_of_mixed_types_have_the_same_rows(record):
    check(MIXED, json.dumps({"dataframe_records": [record]}).encode())


@given(COLUMN_NAMES, st.lists(st.lists(VALUES, max_size=3), max_size=2))
def test_split_tables_have_the_same_rows(columns, rows):
    """In whichever order their columns are."""
    check(TWO, json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode())


TEXTS = st.sampled_from(
    [
        "",
        "1",
        "1e5",
        "1e400",
        "1_0",
        "nan",
        "inf",
        "-.5",
        "5.",
        " 1",
        '"1"',
        "3.4028235e38",
        "3.4028236e38",
    ]
)


@given(
    COLUMN_NAMES,
    st.lists(st.lists(TEXTS | NUMBERS.map(repr), max_size=3), max_size=2),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_csv_has_the_same_rows(columns, rows, end):
    """With every end of lines, and texts that Python reads as numbers and CSV has not."""
    text = end.join(",".join(line) for line in [columns, *rows])
    check(TWO, text.encode(), "csv")
    check(TWO, (text + end).encode(), "csv")


def test_plain_tables_are_read_quickly():
    """Else the other tests would compare nothing."""
    reader, rows = PlainTables(TWO), [[1.0, 1.5], [2.0, 2.5]]
    expected = [np.float32(row).tobytes() for row in rows]
    records = [dict(zip(NAMES, row, strict=True)) for row in rows]
    assert reader.read_json(json.dumps({"dataframe_records": records}).encode()) == expected
    split = {"columns": NAMES[::-1], "data": [row[::-1] for row in rows]}
    assert reader.read_json(json.dumps({"dataframe_split": split}).encode()) == expected
    text = ",".join(NAMES) + "\n1,1.5\n2,2.5\n"
    assert reader.read_csv(text.encode()) == expected


@pytest.mark.parametrize(
    "of",
    [
        TWO, servable(OURS, COLUMNS, loader="mlflow.onnx"), servable(OURS, COLUMNS, predict_fn="predict_proba"),
        servable(classifier(labels=(0, 1)), COLUMNS), servable(regressor(), COLUMNS, loader="mlflow.onnx"),
        servable(regressor(targets=2), COLUMNS), servable(classifier(labels=("a%b", 'q"]}'))  , COLUMNS, loader="mlflow.onnx"),
    ],
)  # fmt: skip
def test_responses_have_the_same_bytes(of):
    """With one row and with several, by every flavour."""
    records = [dict(zip([f.name for f in of.signature.features], row, strict=True)) for row in
               ([-1.0, 0.3], [1.0, 1e-9], [5e3, -7.25])]  # fmt: skip
    for some in (records[:1], records):
        body = json.dumps({"dataframe_records": some}).encode()
        protocol = Invocations("json")
        read = protocol.read(of, [body, body])
        answers = of.answer(read.rows)
        half = answers.part(0, len(some))
        expected = msgspec.json.encode(Scored(predictions(of, half, tensors=False)))
        assert [reply.body for reply in protocol.write(of, read, answers)] == [expected] * 2


def test_tensors_without_names_have_no_plain_tables():
    """Where MLflow takes the columns by the names of the graph's inputs."""
    assert PLAIN.of(servable(one_input_per_column())) is None
