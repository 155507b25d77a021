"""The commands as a person runs them: what they say, where they say it, and the exit code."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from demo.processes import ROOT, free_port
from tests.trainer.conftest import GOOD, PROVEN
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
    ["gates"],
    ["promote", "1", "--to", "Production", "--dry-run"],
    ["approve", "1", "--reason", "seen", "--yes"],
    ["approvals", "1"],
    ["history", "--verify"],
    ["audit", "--out", "/nowhere"],
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


# A promotion imports no scikit-learn, which takes seconds.
WITHOUT_SKLEARN = "import runpy, sys; sys.modules['sklearn'] = None; runpy.run_module('trainer', run_name='__main__')"


def start(*arguments, command=("-m", "trainer"), **environment):
    inherited = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
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

    The first command runs in a process of its own, which has no scikit-learn. The others do not: each
    process spends seconds on MLflow's import.
    """
    for _ in range(2):
        shelf.add()

    def trainer(*arguments):
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout, result.stderr

    first = ["promote", "2", "--to", "production", "--who", "ann", "--reason", "first"]
    server = {"MLFLOW_TRACKING_URI": mlflow_server.url}
    command = ("-c", WITHOUT_SKLEARN)
    code, out, err = finish(start(*first, "--model", shelf.name, command=command, **server))
    assert code == 0, err
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
    out, err = trainer("demote", "2")
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
    assert len(board.splitlines()) == 1 + 3 + 1  # the head, three versions, what it is sorted by
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


@pytest.mark.whole
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
        "  - version 1 has no test_sensitivity; its run has test_roc_auc",
        (
            "  - version 1 has no tag dataset_digest, which says what its metrics were measured on; "
            "--different-data allows it"
        ),
    ]


def test_force(shelf, run):
    shelf.add(tags={})
    assert (
        "--force overrides the policy"
        in run("promote", "1", "--to", "production", "--force").stderr
    )
    result = run("promote", "1", "--to", "production", "--force", "--reason", "the only one")
    assert result.exit_code == 0
    assert "FORCED: version 1 has no tag dataset_digest" in result.stdout
    assert "the only one (forced although" in run("history").stdout


def test_gates_and_different_data(shelf, run):
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
    promotion += ["--gate", "test_roc_auc:0.03"]
    before = shelf.everything()
    narrow = run(*promotion, "--gate", "test_sensitivity:0.01")
    assert len(narrow.stderr.splitlines()) == 2
    assert (shelf.everything(), shelf.gates()) == (before, {})
    assert run(*promotion).exit_code == 0
    assert shelf.latest() == "2"


def test_gates_are_stored_with_the_model_and_decide_later_promotions(shelf, run):
    """A promotion with --gate replaces them; the history says by whom and what they were."""
    for cost in (12, 13, 14):
        shelf.add(GOOD | {"test_cost": cost})
    assert "the defaults for binary" in run("gates").stdout
    first = run("promote", "1", "--to", "Production", "--gate", "test_cost:1:lower")
    assert f"the gates of {shelf.name} are now test_cost:1:lower" in first.stdout
    assert shelf.gates() == {"gate.test_cost": "1:lower"}
    assert run("promote", "2", "--to", "Production").exit_code == 0
    assert run("leaderboard").stdout.split()[5] == "cost"

    again = ["--gate", "test_accuracy:0.01", "--gate", "test_cost:5%:lower"]
    refused = run("promote", "3", "--to", "Production", *again)
    assert "test_cost 14 is above the champion's 13 by more than 5%" in refused.stderr
    assert shelf.gates() == {"gate.test_cost": "1:lower"}
    forced = ["--force", "--reason", "we pay", "--who", "ann"]
    assert run("promote", "3", "--to", "Production", *again, *forced).exit_code == 0
    assert shelf.gates() == {"gate.test_accuracy": "0.01", "gate.test_cost": "5%:lower"}
    assert (
        "(gates test_accuracy:0.01 test_cost:5%:lower instead of test_cost:1:lower)"
        in run("history", "3").stdout
    )


def test_the_gates_command_shows_stores_and_resets(shelf, run):
    shelf.add(tags=PROVEN | {"task": "regression"})
    shown = run("gates").stdout.splitlines()
    assert shown[0] == f"none are stored with {shelf.name}; the defaults for regression:"
    assert [line.split() for line in shown[1:]] == [
        ["metric", "tolerance", "better"],
        ["test_rmse", "2%", "lower"],
        ["test_mae", "2%", "lower"],
    ]
    assert json.loads(run("gates", "--json").stdout) == {
        "stored": False,
        "gates": [
            {"metric": "test_rmse", "tolerance": "2%", "better": "lower"},
            {"metric": "test_mae", "tolerance": "2%", "better": "lower"},
        ],
    }
    stored = run("gates", "test_r2:0.01", "test_mae:3")
    assert [line.split() for line in stored.stdout.splitlines()[2:]] == [
        ["test_mae", "3", "lower"],
        ["test_r2", "0.01", "higher"],
    ]
    run("gates", "test_max_error:5%", "--who", "ann", "--reason", "largest errors count")
    assert shelf.gates() == {"gate.test_max_error": "5%"}
    run("gates", "test_max_error:5%")  # changes nothing
    run("gates", "--default")
    assert shelf.gates() == {}
    _, *changes = run("history").stdout.split("changes of the gates that decide a promotion:\n")
    _, first, second, third = changes[0].splitlines()
    assert "the defaults" in first
    assert "test_mae:3 test_r2:0.01" in first
    assert all(each in second for each in ("test_max_error:5%", "ann", "largest errors count"))
    assert "the defaults" in third


@pytest.mark.parametrize("command", [["gates"], ["promote", "1", "--to", "Production", "--gate"]])
def test_an_invalid_gate_changes_nothing_and_says_why(shelf, run, command):
    shelf.add()
    before = shelf.everything()
    assert_one_line_of_error(run(*command, "test_f1:little"), "'little' is not a tolerance")
    assert (shelf.everything(), shelf.gates()) == (before, {})


def test_a_gate_without_a_direction_is_not_stored(shelf, run):
    shelf.add()
    result = run("gates", "test_cost:0.1")
    assert_one_line_of_error(result, "add :lower or :higher, as in test_cost:0.1:lower")
    assert shelf.gates() == {}


def test_a_stored_gate_that_someone_broke_refuses_promotions_until_it_is_replaced(shelf, run):
    shelf.add()
    shelf.client.set_registered_model_tag(shelf.name, "gate.test_roc_auc", "a little")
    refused = run("promote", "1", "--to", "Production")
    assert_one_line_of_error(refused, "'a little' is not a tolerance")
    assert shelf.latest() is None
    assert run("gates", "test_roc_auc:0.01").exit_code == 0
    assert run("promote", "1", "--to", "Production").exit_code == 0


@pytest.mark.parametrize("option", [["--gate", "test_f1:0.1"], ["--dry-run"]])
def test_what_judges_production_is_refused_for_staging(shelf, run, option):
    shelf.add()
    result = run("promote", "1", "--to", "Staging", *option)
    assert result.exit_code == 2
    assert shelf.latest("Staging") is None


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
    assert [row[:3] + row[4:5] for row in rows] == [
        ["Production", "2", "serving", "outside the trainer"],
        ["Production", "1", "rollback 1", "ann"],
        ["Staging", "3", "-", "outside the trainer"],
    ]
    assert rows[1][5] == "first"
    found = json.loads(run("status", "--json").stdout)
    assert (found["serving"], found["rollback_target"]) == ("2", "1")
    assert found["last_change"]["version"] == "1"


def test_no_other_change_dates_a_stage(shelf, run):
    """MLflow keeps one time of the last change for stages, descriptions and, in some registries, aliases."""
    shelf.add()
    shelf.set_stage("1", "Production")
    shelf.client.update_model_version(shelf.name, "1", description="another")
    run("promote", "1", "--to", "Production", "--pointer", "alias", "--who", "ann")
    (row,) = json.loads(run("status", "--json").stdout)["versions"]
    assert (row["moved_at"], row["moved_by"]) == (None, "outside the trainer")
    assert row["why"].startswith("MLflow changed the version at 20")
    (row,) = json.loads(run("status", "--json", "--pointer", "alias").stdout)["versions"]
    assert (row["place"], row["moved_by"], row["moved_at"][:2]) == ("@production", "ann", "20")


def test_status_says_once_why_a_version_was_forced(shelf, run):
    """In its row; a demotion that no row shows, in the last line."""
    for tags in (PROVEN, {}):
        shelf.add(tags=tags)
    run("promote", "1", "--to", "Production")
    run("promote", "2", "--to", "Production", "--force", "--reason", "an emergency")
    status = run("status").stdout
    assert status.count("an emergency") == status.count("no parity report") == 1
    assert "version 2 went from None to Production, by " in status.splitlines()[-1]
    run("rollback", "--reason", "it was none")
    assert run("status").stdout.splitlines()[-1].endswith(": it was none")


def people(shelf, run, *options):
    """Who moved each version to its place, as `status` says."""
    assert shelf  # the model of the commands
    found = json.loads(run("status", "--json", *options).stdout)["versions"]
    return {row["version"]: row["moved_by"] for row in found}


def test_status_names_nobody_for_a_stage_that_was_left_and_entered_again_in_mlflow(shelf, run):
    """Nor after a new description, because MLflow keeps one time for both. The others in Production stay theirs."""
    outside = "outside the trainer"
    for _ in range(2):
        shelf.add()
    for version in ("1", "2"):
        run("promote", version, "--to", "Production", "--who", "ann")
    assert people(shelf, run) == {"2": "ann", "1": "ann"}
    shelf.set_stage("2", "Archived")
    assert people(shelf, run) == {"1": "ann"}
    shelf.set_stage("2", "Production")
    assert people(shelf, run) == {"2": outside, "1": "ann"}
    shelf.client.update_model_version(shelf.name, "1", description="another")
    assert people(shelf, run) == {"2": outside, "1": outside}
    run("demote", "2"), run("promote", "2", "--to", "Production", "--who", "bob")
    assert people(shelf, run) == {"2": "bob", "1": outside}


def test_status_by_alias_names_nobody_for_a_move_that_its_tags_rule_out(shelf, run):
    """MLflow keeps no time of an alias: moved away and back, it says what the trainer did last."""
    options = ["--pointer", "alias"]
    for _ in range(2):
        shelf.add()
    run("promote", "1", "--to", "Production", "--who", "ann", *options)
    for version in ("2", "1"):
        shelf.client.set_registered_model_alias(shelf.name, "production", version)
    assert people(shelf, run, *options) == {"1": "ann"}
    assert "last known move" in run("status", *options).stdout
    run("promote", "2", "--to", "Production", "--who", "bob", *options)
    shelf.client.set_registered_model_alias(shelf.name, "production", "1")
    assert people(shelf, run, *options) == {"1": "outside the trainer"}


def test_the_history_says_of_each_move_what_its_own_pointer_named(shelf, run):
    """No version was ever in Production, because an alias named it."""
    for _ in range(2):
        shelf.add()
    by_alias = ["--pointer", "alias"]
    for version in ("1", "2", "1"):
        run("promote", version, "--to", "Production", *by_alias)
    run("promote", "2", "--to", "Staging")
    moves = [
        (each["version"], each["from"], each["to"])
        for each in json.loads(run("history", "--json").stdout)["transitions"]
    ]
    assert moves == [
        ("1", "no alias", "@production"),
        ("2", "no alias", "@production"),
        ("1", "no alias", "@production"),
        ("2", "None", "Staging"),
    ]
    checked = json.loads(run("history", "--verify", "--json").stdout)
    assert [(each["version"], each["from"], each["to"]) for each in checked["entries"]] == moves
    assert {each["status"] for each in checked["entries"]} == {"unsigned"}
    assert checked["intact"] is False


def test_the_leaderboard_has_the_best_first_and_who_promoted(shelf, run):
    shelf.add({"test_roc_auc": 0.9}, {"candidate": "svm", "parity": "failed"})
    shelf.add()
    shelf.add({}, {})
    shelf.client.set_registered_model_alias(shelf.name, "demo", "1")
    run("promote", "2", "--to", "Production", "--who", "ann")
    lines = run("leaderboard").stdout.splitlines()
    headings, *rows = [line.split() for line in lines[:-1]]
    assert lines[-1] == (
        "sorted by test_roc_auc (higher is better); promote compares with the champion: "
        "test_roc_auc (0.005), test_sensitivity (0.01)"
    )
    assert headings == [
        *["version", "candidate", "stage", "role", "aliases", "ROC-AUC", "sens.", "parity"],
        *["promoted", "by", "promoted"],
    ]
    best = ["2", "logistic_regression", "Production", "serving", "-"]
    assert rows[0][:-1] == [*best, "0.9900", "0.9500", "passed", "ann"]
    assert rows[1] == ["1", "svm", "None", "-", "demo", "0.9000", "-", "failed", "-", "-"]
    assert rows[2] == ["3", "-", "None", *"-------"]
    found = json.loads(run("leaderboard", "--json").stdout)
    assert found[0]["metrics"] == {"test_roc_auc": 0.99, "test_sensitivity": 0.95}
    assert [found[2][name] for name in ("version", "aliases", "promoted_at")] == ["3", None, None]


def test_the_leaderboard_of_a_regression_has_its_errors_and_the_lowest_first(shelf, run):
    for number in (3.0, 1e-6, 2.0):
        shelf.add({"test_rmse": number, "test_mae": number / 2}, PROVEN | {"task": "regression"})
    lines = run("leaderboard").stdout.splitlines()
    headings, *rows = [line.split() for line in lines[:-1]]
    assert lines[-1].startswith("sorted by test_rmse (lower is better); promote compares")
    assert headings[5:7] == ["RMSE", "MAE"]
    assert [[row[0], *row[5:7]] for row in rows] == [
        ["2", "1e-06", "5e-07"],
        ["3", "2.0000", "1.0000"],
        ["1", "3.0000", "1.5000"],
    ]


def test_the_history_of_one_version(shelf, run):
    for _ in range(2):
        shelf.add()
    assert run("history").stdout == "the trainer has recorded no transition\n"
    run("promote", "1", "--to", "Production", "--reason", "[bold]first[/bold]")
    run("promote", "2", "--to", "Production", "--reason", "x" * 300)
    assert "[bold]first[/bold]" in run("history", "1").stdout
    assert "x" * 300 in run("history", "2").stdout
    assert len(run("history").stdout.splitlines()) == 3


@pytest.mark.whole
@pytest.mark.parametrize("pointer", ["stage", "alias"])
def test_what_others_write_into_tags_stops_no_command(shelf, run, monkeypatch, pointer):
    """Above all not a rollback; nor does it reach the terminal's control, or date later entries."""
    monkeypatch.setenv("TRAINER_POINTER", pointer)
    for version in ("1", "2"):
        shelf.add()
        assert run("promote", version, "--to", "Production", "--who", "ann").exit_code == 0
    forged = {
        "from": "None", "to": "Production", "when": "2026-01-01T00:00:00+00:00", "who": "\x1b[2Jx", "why": "\x07",
        "pointer": "stage" if pointer == "stage" else "@production",
    }  # fmt: skip
    values = [
        "[" * 4900, json.dumps(forged), json.dumps({**forged, "replaced": ["1"]}),
        json.dumps({**forged, "when": "9999-12-31T23:59:59.999999+00:00", "to": "Archived"}),
    ]  # fmt: skip
    for number, value in enumerate(values):
        shelf.registry.set_tag("1", f"hotswap.transition.x{number}", value)
    shelf.client.set_registered_model_tag(shelf.name, "hotswap.gates.x", values[0])
    assert run("rollback", "--who", "ann").exit_code == 0
    assert run("promote", "2", "--to", "Production", "--who", "ann").exit_code == 0
    for command in (
        ["status"],
        ["leaderboard"],
        ["history"],
        ["history", "--verify"],
        ["audit", "--out", "/dev/null/x"],
    ):
        result = run(*command)
        assert isinstance(result.exception, SystemExit | None), (command, result.exception)
        assert not {"\x1b", "\x07"} & {*result.output}, command
    own = [line for line in run("history").stdout.splitlines() if " ann " in line]
    assert (len(own), any(line.startswith("9999") for line in own)) == (4, False)


def test_the_alias_is_chosen_once_in_the_environment(shelf, run, monkeypatch):
    for _ in range(2):
        shelf.add()
    monkeypatch.setenv("TRAINER_POINTER", "alias")
    run("promote", "2", "--to", "Production")
    result = run("promote", "1", "--to", "Production")
    assert f"serving: version 1 of {shelf.name}; a rollback brings version 2 back" in result.stdout
    again = [run("promote", each, "--to", "Production").stdout for each in ("2", "1")]
    assert again[0].startswith("version 2 went from no alias to @production\n")
    assert shelf.named("production") == "1"
    assert "stage" not in run("leaderboard").stdout.splitlines()[0].split()
    assert "@production" in run("history").stdout
    assert shelf.latest() is None

    run("rollback")
    assert shelf.named("production") == "2"
    result = run("demote", "2")
    assert f"WARNING: no version of {shelf.name} has the alias production" in result.stderr
    assert shelf.named("production") is None

    assert run("promote", "1", "--to", "Production", "--alias", "ward-7").exit_code == 0
    assert shelf.named("ward-7") == "1"


def test_status_never_mixes_stages_and_aliases(shelf, run, monkeypatch):
    """Each shows what its own pointer names, who moved it, and what a rollback by it brings back."""
    for _ in range(3):
        shelf.add()
    for version in ("1", "2"):
        run(
            "promote",
            version,
            "--to",
            "Production",
            "--who",
            f"stager-{version}",
            "--reason",
            "by stage",
        )
    monkeypatch.setenv("TRAINER_POINTER", "alias")
    for version in ("2", "3"):
        run(
            "promote",
            version,
            "--to",
            "Production",
            "--who",
            f"aliaser-{version}",
            "--reason",
            "by alias",
        )
    staged = run("promote", "1", "--to", "Staging", "--who", "aliaser-1").stdout
    assert staged == "version 1 went from no alias to @staging\n"
    status = run("status").stdout
    rows = [line.split()[:3] for line in status.splitlines()[2:5]]
    assert rows == [["@production", "3", "serving"], ["-", "2", "rollback"], ["@staging", "1", "-"]]
    board = run("leaderboard").stdout
    for text in (status, board):
        assert "aliaser-3" in text
        assert not [
            word for word in ("stager", "Production", "Archived", "Staging") if word in text
        ]
    monkeypatch.delenv("TRAINER_POINTER")
    status = run("status").stdout
    rows = [line.split()[:3] for line in status.splitlines()[2:4]]
    assert rows == [["Production", "2", "serving"], ["Production", "1", "rollback"]]
    assert "stager-2" in status
    for text in (status, run("leaderboard").stdout):
        assert not [word for word in ("aliaser", "@") if word in text]


def test_a_refused_rollback_by_stage_does_not_name_a_champion_of_an_alias(shelf, run):
    """And the other way round."""
    for _ in range(3):
        shelf.add()
    run("promote", "2", "--to", "Production", "--pointer", "alias")
    run("promote", "3", "--to", "Production", "--pointer", "alias")
    run("promote", "1", "--to", "Production")
    refused = run("rollback")
    assert refused.exit_code == 1
    assert "promote another version" in refused.stderr


def test_the_gates_are_those_of_the_champions_task(shelf, run):
    """Also if an alias names the champion, and the newest version has another task."""
    shelf.add(tags=PROVEN | {"task": "regression"})
    shelf.add()
    run("promote", "1", "--to", "Production", "--pointer", "alias", "--force", "--reason", "x")
    assert "test_rmse" in run("gates", "--pointer", "alias").stdout
    assert "test_roc_auc" in run("gates").stdout


def test_help_and_choices():
    result = CliRunner().invoke(app, ["--help"])
    assert all(f" {name} " in result.stdout for name in ("train", "promote", "leaderboard"))
    result = CliRunner().invoke(app, ["promote", "1", "--to", "Moon"])
    assert result.exit_code == 2


def test_help_and_fleet_need_no_mlflow():
    """Only a command that talks to the registry waits for MLflow's import."""
    code = (
        "import sys, trainer.cli, trainer.fleet_command; "
        "sys.exit('mlflow' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
