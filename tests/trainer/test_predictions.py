"""`trainer predictions`: what the service recorded, as tables and as files."""

import asyncio
import csv
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import fsspec
import pandas as pd
import pytest
from typer.testing import CliRunner

from demo.processes import ROOT
from predictor.keys import line_of
from tests.predictor.graphs import GOOD, OURS, regressor, with_metadata
from tests.trainer.recorded import record
from trainer.cli import app
from trainer.errors import RecordsError

pytest.importorskip("duckdb", reason="duckdb is not installed; `make environments` installs it")
pytest.importorskip("pyarrow", reason="as duckdb")

from trainer.records import parse_since

KEY = {"x-api-key": "a" * 43}
PROFILES = [{"name": name, "minimum": 0, "median": 1, "maximum": 2} for name in GOOD]
MODEL = with_metadata(OURS, feature_profiles=PROFILES, background=[[0, 0], [1, 1], [2, 0]])
REQUESTS = [
    ("/predict", GOOD, {"x-request-id": "one"}),
    (
        "/predict/batch",
        {"instances": [GOOD, {"mean_radius": 0.0, "mean_texture": 2.5}]},
        {"x-request-id": "two"},
    ),
    ("/invocations", {"dataframe_records": [GOOD]}, {"x-request-id": "three", **KEY}),
    ("/predict/what-if", {"instances": [GOOD] * 9}, {"x-request-id": "tried"}),
]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Two versions, four predictions each: by three protocols, all with a key."""
    folder = tmp_path_factory.mktemp("recorded")
    keys = folder / "keys"
    keys.write_text(line_of("ward-4", "a" * 43) + "\n")
    requests = [(path, body, {**headers, **KEY}) for path, body, headers in REQUESTS]
    other = with_metadata(MODEL, note="another digest")
    return asyncio.run(record(folder, {1: MODEL, 2: other}, requests, api_keys_file=keys))


def run(*arguments, code=0, **environment):
    result = CliRunner().invoke(app, ["predictions", *map(str, arguments)], env=environment)
    assert result.exit_code == code, result.output
    return result.output


def cells(table):
    return [line.split() for line in table.splitlines()]


def test_the_last_predictions_are_shown(records):
    """The newest below; numbers to the right."""
    lines = run("show", records).splitlines()
    assert [line.split()[1] for line in lines[1:]] == [
        f"{version}-{id_}" for version in (1, 2) for id_ in ("one", "two#0", "two#1", "three")
    ]
    assert lines[0].split() == [
        "time", "id", "model", "version", "protocol", "key", "prediction", "probability", "warnings",
    ]  # fmt: skip
    assert len({len(line) for line in lines}) == 1
    assert lines[3].split()[2:] == [
        "m", "1", "predict_batch", "ward-4", "benign", "0.999954581261", "1",
    ]  # fmt: skip
    assert cells(run("show", records, "--last", "1"))[1:] == [lines[-1].split()]


def test_the_folder_is_that_of_the_service(records):
    """By the environment variable of the service, or one file of the folder."""
    shown = run("show", records)
    assert run("show", PREDICTOR_RECORD_URI=str(records)) == shown
    assert run("show", f"file://{records}") == shown
    (file,) = (records / "m" / "2").rglob("*.parquet")
    assert len(run("show", file).splitlines()) == 5


def test_every_value_of_one_prediction(records):
    shown = dict(
        line.split(maxsplit=1) for line in run("show", records, "--id", "1-two#1").splitlines()
    )
    assert shown["column"] == "value"
    assert shown["feature_mean_texture"] == "2.5"
    assert shown["probability_benign"].startswith("0.99995458")
    assert (
        shown["warnings"] == "mean_texture is 2.5, outside the range of the training data, 0 to 2"
    )
    assert shown["digest"].startswith("sha256:")
    assert "outputs" not in shown
    assert datetime.fromisoformat(shown["time"]).tzinfo is not None
    assert shown["feature_mean_radius"] == "0.0"
    whole = run("show", records, "--id", "1-two")
    assert [line.split()[1] for line in whole.splitlines() if line.startswith("id ")] == [
        "1-two#0", "1-two#1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [["8", "6"]]),
        (["--by", "version"], [["m", "1", "4", "3"], ["m", "2", "4", "3"]]),
        (["--by", "prediction"], [["benign", "2", "2"], ["malignant", "6", "6"]]),
        (["--by", "key"], [["ward-4", "8", "6"]]),
        (["--by", "protocol", "--version", "2"],
         [["mlflow_scoring", "1", "1"], ["predict", "1", "1"], ["predict_batch", "2", "1"]]),
        (["--id", "1-two"], [["2", "1"]]),
        (["--since", "1h", "--model", "m"], [["8", "6"]]),
        (["--what-if", "--by", "protocol", "--version", "2"],
         [["mlflow_scoring", "1", "1"], ["predict", "1", "1"], ["predict_batch", "2", "1"], ["what_if", "9", "1"]]),
        (["--id", "1-tried"], [["9", "1"]]),
    ],
)  # fmt: skip
def test_predictions_are_counted(records, options, expected):
    found = cells(run("count", records, *options))
    assert [row[:-2] for row in found[1:]] == expected
    assert found[0][-4:] == ["predictions", "requests", "first", "last"]


def test_predictions_are_counted_by_day(records):
    (_, *rows) = cells(run("count", records, "--by", "day"))
    assert sum(int(row[1]) for row in rows) == 8
    assert {row[0] for row in rows} == {each.name for each in records.glob("*/*/*")}


INJECTIONS = ["' or true --", "x'; drop table records; --", '" or 1=1', "$id", "%", "a' or 'a'='a"]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("option", ["--id", "--model", "--version"])
def test_what_is_given_is_only_compared(records, option, text):
    """Quotes and SQL in ids and names find nothing, and do nothing."""
    before = sorted(records.rglob("*"))
    for command in ("show", "count"):
        assert run(command, records, option, text) == "no recorded prediction is like that\n"
    assert sorted(records.rglob("*")) == before


def test_a_folder_with_quotes_in_its_name(records, tmp_path):
    """Nor is its path a part of the SQL, nor that of the output."""
    folder = tmp_path / 'it\'s; "quoted" [x]*'
    (folder / "m").mkdir(parents=True)
    for file in records.rglob("*.parquet"):
        (folder / "m" / file.name).write_bytes(file.read_bytes())
    assert cells(run("count", folder))[1][:2] == ["8", "6"]
    run("export", folder, "--output", folder / "it's.csv")
    assert len((folder / "it's.csv").read_text().splitlines()) == 9


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export(records, tmp_path, ending):
    """Every column, in order of time; only its owner may read the file."""
    file = tmp_path / f"out.{ending}"
    said = run("export", records, "--version", "1", "--output", file)
    assert said == f"wrote 4 predictions to {file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    table = pd.read_csv(file) if ending == "csv" else pd.read_parquet(file)
    assert list(table["id"]) == ["1-one", "1-two#0", "1-two#1", "1-three"]
    original = pd.read_parquet(next((records / "m" / "1").rglob("*.parquet")))
    original = original[original["protocol"] != "what_if"]
    assert list(table.columns) == list(original.columns)
    assert list(table["probability"]) == list(original["probability"])
    times = pd.to_datetime(table["time"])
    assert list(times) == list(original["time"])
    if ending == "csv":
        with file.open() as lines:
            assert next(csv.DictReader(lines))["time"].endswith("Z")


def test_an_export_of_nothing_writes_nothing(records, tmp_path):
    run("export", records, "--id", "nobody", "--output", tmp_path / "x.csv", code=1)
    assert not [*tmp_path.iterdir()]


def test_predictions_of_a_model_without_probabilities(tmp_path):
    """Numbers; the column of probabilities is empty."""
    body = {"feature_0": 0.1, "feature_1": 0.2}
    model = with_metadata(regressor(), feature_names=list(body))
    folder = asyncio.run(record(tmp_path, {1: model}, [("/predict", body, {"x-request-id": "a"})]))
    assert cells(run("show", folder))[1][-3:] == ["0.3", "-", "0"]
    value = dict(cells(run("show", folder, "--id", "1-a")))["prediction"]
    assert value == "0.30000001192092896"  # every bit: JSON has the same number


def test_a_batch_is_in_its_order(tmp_path):
    """Row 10 follows row 9; a float32 is shown by its shortest text, not by that of the nearest float64."""
    body = {"instances": [{**GOOD, "mean_texture": 0.1 * row} for row in range(12)]}
    requests = [("/predict/batch", body, {"x-request-id": "a"})]
    folder = asyncio.run(record(tmp_path, {1: MODEL}, requests))
    ids = [f"1-a#{row}" for row in range(12)]
    assert [row[1] for row in cells(run("show", folder))[1:]] == ids
    run("export", folder, "--output", tmp_path / "a.csv")
    assert list(pd.read_csv(tmp_path / "a.csv")["id"]) == ids
    assert dict(cells(run("show", folder, "--id", "1-a#1")))["feature_mean_texture"] == "0.1"


def test_models_of_which_one_has_probabilities(records, tmp_path):
    """Their tables have other columns, and predictions of another type."""
    body = {"feature_0": 0.1, "feature_1": 0.2}
    model = with_metadata(regressor(), feature_names=list(body))
    asyncio.run(record(tmp_path, {3: model}, [("/predict", body, {"x-request-id": "a"})]))
    for file in (tmp_path / "records").rglob("*.parquet"):
        target = tmp_path / "both" / file.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    for file in records.rglob("*.parquet"):
        (tmp_path / "both" / file.name).write_bytes(file.read_bytes())
    assert len(run("show", tmp_path / "both").splitlines()) == 10


def test_a_store_that_fsspec_knows(records):
    """DuckDB reads through it."""
    memory = fsspec.filesystem("memory")
    memory.put(str(records), "/hospital/records", recursive=True)
    try:
        assert run("show", "memory://hospital/records") == run("show", records)
        assert cells(run("count", "memory://hospital/records", "--version", "2"))[1][0] == "4"
    finally:
        memory.rm("/hospital", recursive=True)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/nowhere", "/nowhere has no recorded predictions; give the folder that PREDICTOR_RECORD_URI"),
        ("teleport://x", "teleport://x cannot be opened"),
    ],
)  # fmt: skip
def test_a_folder_without_records(address, message):
    assert message in run("show", address, code=1)


def test_a_file_that_is_damaged(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    said = run("count", tmp_path, code=1)
    assert f"error: {tmp_path} cannot be read" in said


@pytest.mark.parametrize(
    ("output", "message"),
    [("x.txt", "must end in .csv or .parquet"), ("no/x.csv", "could not be written")],
)
def test_an_output_that_cannot_be(records, tmp_path, output, message):
    assert message in run("export", records, "--output", tmp_path / output, code=1)


def test_since():
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert parse_since("7d", now) == now - timedelta(days=7)
    assert parse_since("90m", now) == now - timedelta(minutes=90)
    assert parse_since("2026-11-01", now) == datetime(2026, 11, 1, tzinfo=UTC)
    assert parse_since("2026-11-01T10:00+02:00", now) == datetime(2026, 11, 1, 8, tzinfo=UTC)
    for text in ("yesterday", "7", "d", "-1d", "999999d", "0001-01-01T00:00+14:00"):
        with pytest.raises(RecordsError, match="is no time; give a number of days"):
            parse_since(text, now)


def test_only_days_since_then_are_read(records):
    """A folder of a day before is not opened: a damaged file in it does not matter."""
    old = records / "m" / "1" / "2020-01-01"
    old.mkdir()
    (old / "a.parquet").write_bytes(b"PAR1 no more")
    try:
        assert cells(run("count", records, "--since", "30d"))[1][:2] == ["8", "6"]
        run("count", records, code=1)
    finally:
        (old / "a.parquet").unlink()
        old.rmdir()


@pytest.mark.whole
@pytest.mark.parametrize("package", ["duckdb"])
def test_a_missing_package_is_named_with_its_extra(records, package):
    code = f"import runpy, sys; sys.modules['{package}'] = None; runpy.run_module('trainer', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, "predictions", "show", str(records)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"{package} is not installed: pip install 'mlflow-hotswap[{package}]'" in done.stderr
