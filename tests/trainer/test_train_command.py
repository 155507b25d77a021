"""`trainer train`: what is wrong with the options or the table is one line, before MLflow is needed."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from demo.processes import ROOT
from trainer.cli import app


@pytest.fixture
def table(tmp_path):
    """A small table: numbers, a colour with gaps, a date, and whether somebody stayed."""
    frame = pd.DataFrame(
        {
            "weight": [row * 0.7 % 3 for row in range(40)],
            "colour": ["red", "blue", None, "red"] * 10,
            "since": ["2024-01-31"] * 40,
            "stayed": ["yes", "no"] * 20,
        }
    )
    path = tmp_path / "customers.csv"
    frame.to_csv(path, index=False)
    return str(path)


def run(*arguments):
    return CliRunner().invoke(app, ["train", *arguments])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "stayed", "--model-name", "m"], "--target needs a table: name its file with"),
        (["--data", "FILE", "--target", "stayed"], "--model-name NAME"),
        (["--data", "FILE", "--positive", "yes"], "--positive, --id and --drop need --target"),
        (
            ["--model-name", ""],
            "the registered model's name is empty: name the model, with --model",
        ),
        (
            ["--data", "nowhere", "--model-name", "a/b:1"],
            "'/' and ':', such as 'a-b-1', with --model",
        ),
        (["--data", "FILE"], "any other table name the column to predict with --target"),
        (["--data", "FILE", "--target", "stay", "--model-name", "m"], "did you mean stayed?"),
        (["--data", "FILE", "--target", "stayed", "--model-name", "m"], "'since' holds dates"),
        (
            [
                *[
                    "--data",
                    "FILE",
                    "--target",
                    "stayed",
                    "--model-name",
                    "m",
                    "--drop",
                    "since",
                    "--candidates",
                    "ridge",
                ]
            ],
            "no candidate 'ridge' for this task (binary); choose from logistic_regression",
        ),
        (
            [
                *[
                    "--data",
                    "FILE",
                    "--target",
                    "weight",
                    "--model-name",
                    "m",
                    "--drop",
                    "since",
                    "--sensitivity",
                    "0.9",
                ]
            ],
            "--sensitivity needs two classes, and weight has another task: regression",
        ),
    ],
)
def test_wrong_options_are_one_line(table, options, message):
    result = run(*[table if each == "FILE" else each for each in options])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_types_are_shown_before_anything_is_fitted(table, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # where no server is
    options = "--target stayed --model-name m --drop since --task classification --positive no"
    result = run("--data", table, *options.split(), "--candidates", "random_forest,nothing")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["column", "type", "missing", "distinct", "use"]
    assert lines[1][:3] == ["weight", "number", "0"]
    assert lines[2] == [
        *["colour", "text", "10", "2"],
        *["one-hot;", "missing", "is", "a", "category"],
    ]
    assert lines[3] == ["since", "-", "0", "1", "dropped:", "--drop"]
    assert "stayed: 2 classes: no (20), yes (20); positive class no" in result.stdout
    assert "Traceback" not in result.stderr


def test_the_slowest_candidate_is_left_out_of_large_tables(tmp_path):
    path = tmp_path / "large.csv"
    pd.DataFrame({"x": [1, 2, 3] * 3334, "y": ["a", "b"] * 5001}).to_csv(path, index=False)
    options = ["--data", str(path), "--target", "y", "--model-name", "m", "--search", "optuna"]
    assert "support_vector_machine is left out" in run(*options).stdout
    named = run(*options, "--candidates", "support_vector_machine")
    assert "left out" not in named.stdout
    assert "needs --storage" in named.stderr


def test_json_is_all_that_stdout_has(table, mlflow_server):
    """Of a training, and of the importance that it logged; progress is on stderr. The keys are those of docs/training.md."""
    model = f"json-{os.getpid()}"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": mlflow_server.url}

    def found(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "trainer", *arguments, "--json"],
            capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        return json.loads(done.stdout), done.stderr

    options = "--target stayed --drop since --candidates logistic_regression,random_forest --quick"
    registered, progress = found("train", "--data", table, "--model-name", model, *options.split())
    assert "held out" in progress
    assert {each["candidate"] for each in registered} == {"logistic_regression", "random_forest"}
    assert {each["version"] for each in registered} == {"1", "2"}
    assert all({"cv_roc_auc_mean", "test_roc_auc"} <= each["metrics"].keys() for each in registered)
    shares, _ = found("importance", "--model", model)
    assert {each["feature"] for each in shares} == {"weight", "colour"}
    for each in shares:
        assert each.keys() == {"feature", "mean", "versions"}
        assert each["versions"].keys() == {"1", "2"}
    assert sum(each["mean"] for each in shares) == pytest.approx(1)
