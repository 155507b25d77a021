"""The commands as a person runs them: what they say, where they say it, and the exit code."""

import os
import socket
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from demo.processes import ROOT, free_port
from trainer.cli import app

ENVIRONMENT = ("MLFLOW_TRACKING_URI", "TRAINER_POINTER", "TRAINER_ALIAS")
EVERY_COMMAND = [
    ["promote", "1", "--to", "Production"],
    ["promote", "1", "--to", "Staging"],
    ["demote", "1"],
    ["rollback"],
    ["status"],
    ["history"],
    ["leaderboard"],
]


@pytest.fixture
def run(shelf, mlflow_server, monkeypatch):
    """Run one command in this process, on the model of this test."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)

    def run_command(*arguments, model=shelf.name):
        return CliRunner().invoke(app, [*arguments, "--model", model])

    return run_command


def start(*arguments, **environment):
    inherited = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_a_journey(shelf, mlflow_server, run):
    """Promote, promote, go back, demote: each says what serves, and the history has it all.

    The first and the last commands run in processes of their own, which is all the same for those
    between: each process spends seconds on MLflow's import.
    """
    for _ in range(2):
        shelf.add()

    def trainer(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout, result.stderr

    def process(*arguments):
        server = {"MLFLOW_TRACKING_URI": mlflow_server.url}
        code, out, err = finish(start(*arguments, "--model", shelf.name, **server))
        assert code == 0, err
        return out, err

    out, err = process("promote", "2", "--to", "production", "--who", "ann", "--reason", "first")
    assert f"serving: version 2 of {shelf.name}; no rollback target" in out
    out, err = trainer("promote", "1", "--to", "production", "--who", "bob", "--reason", "older")
    assert (
        "version 1 is older than the champion 2, which MLflow would go on naming; "
        "registered its files again as version 3 and promoted that" in out
    )
    assert "passed: parity of version 1 is 'passed'" in out
    assert f"serving: version 3 of {shelf.name}; a rollback brings version 2 back" in out
    out, err = trainer("rollback", "--who", "ann", "--reason", "was better")
    assert f"serving: version 2 of {shelf.name}; no rollback target" in out
    out, err = trainer("status")
    assert [line.split()[:3] for line in out.splitlines()[1:3]] == [
        ["place", "version", "role"],
        ["Production", "2", "serving"],
    ]
    assert out.splitlines()[2].split()[-2:] == ["ann", "first"]
    assert "version 3 went from Production to Archived, by ann: was better" in out
    out, err = process("demote", "2")
    assert "version 2 went from Production to Archived" in out
    assert f"WARNING: no version of {shelf.name} is in Production" in err
    out, _ = trainer("history")
    board, err = trainer("leaderboard")
    assert [line.split()[1:4] for line in out.splitlines()[1:]] == [
        ["2", "None", "Production"],
        ["3", "None", "Production"],
        ["3", "Production", "Archived"],
        ["2", "Production", "Archived"],
    ]
    assert board.splitlines()[0].split()[:3] == ["version", "candidate", "stage"]
    assert len(board.splitlines()) == 4
    assert not err


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_a_server_that_is_down(run, monkeypatch, command):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    result = run(*command)
    assert time.monotonic() - started < 5
    assert_one_line_of_error(result, "gives no answer (connection refused)")


def test_a_server_that_hangs(run, monkeypatch):
    """Each request waits five seconds and is tried twice; here the wait is shorter."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.getsockname()[1]}")
        started = time.monotonic()
        result = run("rollback")
    assert time.monotonic() - started < 5
    assert_one_line_of_error(result, "gives no answer (connection timed out)")


def test_a_failure_in_a_process_of_its_own(shelf):
    """One line on stderr, nothing on stdout, exit code 1; MLflow's own client would wait for minutes."""
    shelf.add()
    shelf.lifecycle().stage("1")
    before = shelf.everything()
    down = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    started = time.monotonic()
    process = start("promote", "1", "--to", "Production", "--model", shelf.name, **down)
    code, out, err = finish(process)
    assert time.monotonic() - started < 60
    assert (code, out, err.count("\n")) == (1, "", 1), err
    assert "gives no answer" in err
    assert shelf.everything() == before


@pytest.mark.parametrize("uri", [None, "", "sqlite:///mlflow.db", "mlruns", "localhost:5000"])
def test_a_tracking_uri_that_is_no_server(run, monkeypatch, uri):
    if uri is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert_one_line_of_error(run("status"), "start a server with `mlflow server --port 5000`")


@pytest.mark.parametrize("command", EVERY_COMMAND, ids=" ".join)
def test_a_model_that_does_not_exist(run, command):
    assert_one_line_of_error(run(*command, model="nobody"), "a model named 'nobody'")


@pytest.mark.parametrize("command", [EVERY_COMMAND[0], EVERY_COMMAND[2], ["history", "1"]])
def test_a_version_that_does_not_exist(shelf, run, command):
    shelf.add()
    before = shelf.everything()
    command = [word.replace("1", "12") for word in command]
    assert_one_line_of_error(run(*command), "has no version '12', only 1")
    assert shelf.everything() == before


def assert_one_line_of_error(result, expected):
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert expected in result.stderr


def test_a_refusal_prints_every_reason(shelf, run):
    shelf.add(metrics={"test_roc_auc": 0.9}, tags={"parity": "failed"})
    result = run("promote", "1", "--to", "Production")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: version 1 was not promoted to Production; --force with --reason overrides:",
        "  - parity of version 1 is 'failed'",
        "  - version 1 has no test_sensitivity",
        "  - version 1 has no dataset digest",
    ]


def test_force(shelf, run):
    shelf.add(tags={})
    assert (
        "--force overrides the policy"
        in run("promote", "1", "--to", "production", "--force").stderr
    )
    result = run("promote", "1", "--to", "production", "--force", "--reason", "the only one")
    assert result.exit_code == 0
    assert "FORCED: version 1 has no dataset digest" in result.stdout
    assert "the only one (forced although" in run("history").stdout


def test_tolerances_and_different_data(shelf, run):
    shelf.add()
    shelf.add(
        {"test_roc_auc": 0.97, "test_sensitivity": 0.92},
        {"parity": "passed", "dataset_digest": "d2"},
    )
    assert run("promote", "1", "--to", "Production").exit_code == 0
    promotion = ["promote", "2", "--to", "Production"]
    refused = run(*promotion)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 4)
    promotion += ["--different-data"]
    assert len(run(*promotion).stderr.splitlines()) == 3
    promotion += ["--roc-auc-tolerance", "0.03"]
    assert len(run(*promotion).stderr.splitlines()) == 2
    promotion += ["--sensitivity-tolerance", "0.04"]
    assert run(*promotion).exit_code == 0
    assert shelf.latest() == "2"


def test_a_repeated_command_changes_nothing_and_says_so(shelf, run):
    shelf.add()
    run("promote", "1", "--to", "Staging")
    assert "is in Staging already" in run("promote", "1", "--to", "Staging").stdout
    run("promote", "1", "--to", "Production")
    result = run("promote", "1", "--to", "Production")
    assert (result.exit_code, result.stdout) == (
        0,
        "version 1 is the champion already; nothing was changed\n",
    )
    shelf.add()
    run("promote", "2", "--to", "Production")
    run("promote", "1", "--to", "Production")
    assert run("promote", "1", "--to", "Production").stdout == (
        "version 3 is the champion already, with the files of version 1; nothing was changed\n"
    )
    run("demote", "1")
    assert "is in Archived already" in run("demote", "1").stdout


def test_rollback_with_nothing_beneath_is_refused_and_says_what_to_do(shelf, run):
    shelf.add()
    run("promote", "1", "--to", "Production")
    assert_one_line_of_error(run("rollback"), "so a rollback would leave none")
    assert shelf.latest() == "1"


def test_status_tells_what_the_trainer_did_not_do(shelf, run):
    for _ in range(3):
        shelf.add()
    run("promote", "1", "--to", "Production", "--who", "ann", "--reason", "first")
    shelf.set_stage("2", "Production")
    shelf.set_stage("3", "Staging")
    rows = [line.split("  ") for line in run("status").stdout.splitlines()[2:5]]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [[row[0], row[1], row[2], row[4], row[5]] for row in rows] == [
        ["Production", "2", "serving", "outside the trainer", "-"],
        ["Production", "1", "rollback 1", "ann", "first"],
        ["Staging", "3", "-", "outside the trainer", "-"],
    ]


def test_the_leaderboard_has_the_best_first_and_who_promoted(shelf, run):
    shelf.add({"test_roc_auc": 0.9}, {"candidate": "svm", "parity": "failed"})
    shelf.add()
    shelf.add({}, {})
    shelf.client.set_registered_model_alias(shelf.name, "demo", "1")
    run("promote", "2", "--to", "Production", "--who", "ann")
    headings, *rows = [line.split() for line in run("leaderboard").stdout.splitlines()]
    assert headings == [
        *["version", "candidate", "stage", "role", "aliases"],
        *["test_roc_auc", "test_sensitivity", "test_specificity", "test_accuracy"],
        *["parity", "promoted_by", "promoted_at"],
    ]
    best = ["2", "logistic_regression", "Production", "serving", "-"]
    assert rows[0][:-1] == [*best, "0.9900", "0.9500", "0.9700", "0.9600", "passed", "ann"]
    assert rows[1] == ["1", "svm", "None", "-", "demo", "0.9000", *"---", "failed", "-", "-"]
    assert rows[2] == ["3", "-", "None", *"---------"]


def test_the_history_of_one_version(shelf, run):
    for _ in range(2):
        shelf.add()
    assert run("history").stdout == "the trainer has recorded no transition\n"
    run("promote", "1", "--to", "Production", "--reason", "[bold]first[/bold]")
    run("promote", "2", "--to", "Production", "--reason", "x" * 300)
    assert "[bold]first[/bold]" in run("history", "1").stdout
    assert "x" * 300 in run("history", "2").stdout
    assert len(run("history").stdout.splitlines()) == 3


def test_the_alias_is_chosen_once_in_the_environment(shelf, run, monkeypatch):
    for _ in range(2):
        shelf.add()
    monkeypatch.setenv("TRAINER_POINTER", "alias")
    run("promote", "2", "--to", "Production")
    result = run("promote", "1", "--to", "Production")
    assert f"serving: version 1 of {shelf.name}; a rollback brings version 2 back" in result.stdout
    assert shelf.named("production") == "1"
    assert "stage" not in run("leaderboard").stdout.splitlines()[0].split()
    assert "@production" in run("history").stdout
    assert shelf.latest() is None

    run("rollback")
    assert shelf.named("production") == "2"
    result = run("demote", "2")
    assert "WARNING: no version of" in result.stderr
    assert shelf.named("production") is None

    assert run("promote", "1", "--to", "Production", "--alias", "ward-7").exit_code == 0
    assert shelf.named("ward-7") == "1"


def test_help_and_choices():
    result = CliRunner().invoke(app, ["--help"])
    assert all(f" {name} " in result.stdout for name in ("train", "promote", "leaderboard"))
    result = CliRunner().invoke(app, ["promote", "1", "--to", "Moon"])
    assert result.exit_code == 2


def test_help_needs_no_mlflow():
    """Only a command that talks to the registry waits for MLflow's import."""
    code = "import sys, trainer.cli; sys.exit('mlflow' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_promotion_imports_no_scikit_learn():
    code = "import sys, trainer.registry_commands; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
