"""`trainer drift`: Evidently's report about what the service recorded, in an environment with Evidently."""

import json
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from demo.processes import ROOT
from tests.required import environment, program

pytest.importorskip("pyarrow", reason="pyarrow is not installed; `make environments` installs it")

ROWS = 400
RANDOM = np.random.default_rng(3)


def predictions(days_ago, *, area, north, model="m", protocol="predict"):
    """What a service records, a minute between two rows."""
    start = datetime.now(UTC) - timedelta(days=days_ago)
    risk = RANDOM.permutation(np.linspace(0, 1, ROWS))
    return pd.DataFrame(
        {
            "id": [f"{model}-{days_ago}-{row}" for row in range(ROWS)],
            "time": pd.to_datetime([start + timedelta(minutes=row) for row in range(ROWS)]),
            "request_id": [f"{model}-{days_ago}-{row}" for row in range(ROWS)],
            "protocol": protocol, "model_name": model, "model_version": "1",
            "feature_mean_area": RANDOM.lognormal(6.4, 0.5, ROWS).astype(np.float32) * area,
            "feature_age": RANDOM.normal(56, 13, ROWS).astype(np.float32),
            "feature_ward": RANDOM.choice(["north", "south"], ROWS, p=[north, 1 - north]),
            "feature_never": np.nan,
            "prediction": np.where(risk > 0.5, "malignant", "benign"),
            "probability_malignant": risk,
        }
    )  # fmt: skip


def keep(folder, table):
    """In the folders that the service writes."""
    for day, rows in table.groupby(table["time"].dt.date):
        place = folder / str(table["model_name"].iloc[0]) / "1" / day.isoformat()
        place.mkdir(parents=True, exist_ok=True)
        rows.to_parquet(place / f"{len([*place.iterdir()])}.parquet")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Forty days ago, and ten days ago: with a larger area, and more patients of the north."""
    folder = tmp_path_factory.mktemp("records")
    keep(folder, predictions(40, area=1, north=0.5))
    keep(folder, predictions(10, area=1.4, north=0.9))
    keep(folder, predictions(10, area=99, north=0.1, protocol="what_if"))  # which nobody was
    return folder


def drift(*arguments, python=None, code=0, before=()):
    done = subprocess.run(
        [*before, python or environment("drift"), "-W", "ignore", "-m", "trainer", "drift", *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PREDICTOR_RECORD_URI"},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def drifted(output):
    """The columns with drift, and all others."""
    lines = [line.split() for line in output.splitlines()[1:-1]]
    return {line[0] for line in lines if line[-1] == "drift"}, {line[0] for line in lines}


@pytest.mark.whole
def test_a_month_is_compared_with_the_month_before(records, tmp_path):
    """A column that changed is named; the report is one private file without parts from elsewhere; nothing is sent."""
    report = tmp_path / "report.html"
    calls = tmp_path.parent / "calls"
    strace = [program("strace"), "-f", "-qq", "-e", "trace=connect", "-o", str(calls)]
    output = drift(records, "--since", "30d", "--output", report, before=strace)
    assert "AF_INET" not in calls.read_text()  # Evidently sends nothing
    changed, all_columns = drifted(output)
    assert changed == {"feature_mean_area", "feature_ward"}
    assert all_columns == {*changed, "feature_age", "prediction", "probability_malignant"}
    assert "compared 400 predictions with 400 rows" in output
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    page = report.read_text()
    assert "feature_mean_area" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.whole
def test_json_is_all_that_stdout_has(records, tmp_path):
    """An object for each column, with the keys of docs/training.md; the largest distance first."""
    found = json.loads(drift(records, "--json", "--output", tmp_path / "report.html"))
    assert all(each.keys() == {"column", "method", "distance", "drift"} for each in found)
    distances = [each["distance"] for each in found]
    assert distances == sorted(distances, reverse=True)
    changed = {each["column"] for each in found if each["drift"]}
    assert changed == {"feature_mean_area", "feature_ward"}


@pytest.mark.whole
def test_predictions_are_compared_with_a_table(records, tmp_path):
    """Such as the training table, whose columns have the features' names."""
    training = predictions(1, area=1.4, north=0.5).filter(like="feature_")
    training.columns = training.columns.str.removeprefix("feature_")
    table = tmp_path / "training.csv"
    training.assign(diagnosis="benign").to_csv(table)
    output = drift(records, "--reference", table, "--output", tmp_path / "report.html")
    changed, all_columns = drifted(output)
    assert changed == {"feature_ward"}
    assert all_columns == {"feature_ward", "feature_mean_area", "feature_age"}


@pytest.mark.whole
def test_features_are_compared_where_the_model_has_several_targets(tmp_path):
    """Their list has no distance."""
    for days in (1, 40):
        rows = predictions(days, area=1, north=0.5)
        rows["prediction"] = [[1.5, 2.5]] * len(rows)
        keep(tmp_path / "records", rows)
    output = drift(tmp_path / "records", "--output", tmp_path / "report.html")
    assert "feature_age" in drifted(output)[1]
    assert "prediction" not in drifted(output)[1]


@pytest.mark.whole
def test_what_cannot_be_compared(records, tmp_path):
    """Each in one line, with what to do."""
    report = tmp_path / "report.html"
    few = drift(records, "--since", "20m", "--output", report, code=1)
    assert "has 0 rows since then, and a comparison needs 100" in few
    none = drift(records, "--since", "100d", "--output", report, code=1)
    assert "has 0 rows to compare with" in none
    assert "--reference" in none
    (tmp_path / "table.csv").write_text("radius\n1\n")
    other = drift(records, "--reference", tmp_path / "table.csv", "--output", report, code=1)
    assert "none of the recorded features" in other
    (tmp_path / "table.csv").write_text("age\n1\n2\n")
    short = drift(records, "--reference", tmp_path / "table.csv", "--output", report, code=1)
    assert short.endswith("table.csv has 2 rows, and a comparison needs 100\n")
    (tmp_path / "table.csv").write_text("age\n" + "50\n" * 200 + "unknown\n")
    text = drift(records, "--reference", tmp_path / "table.csv", "--output", report, code=1)
    assert 'age is recorded as a number: Unable to parse string "unknown"' in text
    wrong = drift(records, "--reference", tmp_path / "table.xlsx", "--output", report, code=1)
    assert "must end in .csv or .parquet" in wrong
    keep(tmp_path / "two", predictions(1, area=1, north=0.5))
    keep(tmp_path / "two", predictions(1, area=1, north=0.5, model="n"))
    assert "choose one with --model" in drift(tmp_path / "two", "--output", report, code=1)
    assert not report.exists()


def test_without_the_extra(records, tmp_path):
    """The development environment has no Evidently: it does not run with pandas 3."""
    message = drift(records, "--output", tmp_path / "report.html", python=sys.executable, code=1)
    assert message.endswith("evidently is not installed: pip install 'mlflow-hotswap[drift]'\n")
