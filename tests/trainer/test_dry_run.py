"""`promote --dry-run`: what would happen, which held-out rows change sides, and that nothing changes."""

import itertools
import json

import pytest
from typer.testing import CliRunner

from tests.trainer.conftest import GOOD, PROVEN
from tests.trainer.test_held_out import AFTER, BEFORE
from trainer.cli import app

_COUNTER = itertools.count()


@pytest.fixture
def dry_run(shelf, mlflow_server, monkeypatch):
    """Run a promotion of one version as a dry run; the registry must be the same afterwards."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)

    def run(version, *options):
        before = shelf.everything(), shelf.gates()
        arguments = ["promote", version, "--to", "Production", "--dry-run", "--model", shelf.name]
        result = CliRunner().invoke(app, [*arguments, *options])
        assert (shelf.everything(), shelf.gates()) == before
        return result

    return run


def add(shelf, table=None, tags=PROVEN, **metrics):
    """One more version, with a run of its own that may hold a table of predictions."""
    version = shelf.add({**GOOD, **metrics, "unique": next(_COUNTER)}, tags)
    if table is not None:
        run_id = shelf.registry.version(version).run_id
        shelf.client.log_text(run_id, table, "evaluation/held_out_predictions.csv")
    return version


def promote(shelf, version):
    shelf.set_stage(version, "Production")


def test_a_promotion_that_would_pass(shelf, dry_run):
    promote(shelf, add(shelf, BEFORE))
    result = dry_run(add(shelf, AFTER, test_roc_auc=0.995))
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "dry run: nothing is changed",
        f"serving: version 1 of {shelf.name}; no rollback target",
        "  passed: parity of version 2 is 'passed'",
        "  passed: test_roc_auc 0.995 is not below the champion's 0.99 by more than 0.005",
        "  passed: test_sensitivity 0.95 is not below the champion's 0.95 by more than 0.01",
        "  passed: both were measured on dataset d1",
        "would serve: version 2; nothing would be archived; a rollback would bring version 1 back",
        "2 of 3 held-out rows change sides: 1 becomes right, 1 becomes wrong",
        "row  actual     champion   probability  challenger  probability  effect",
        "  3  malignant  malignant       0.7500  benign           0.6000  becomes wrong",
        "  8  malignant  benign          0.5100  malignant        0.9000  becomes right",
    ]


def test_a_dry_run_as_json(shelf, dry_run):
    promote(shelf, add(shelf, BEFORE))
    result = dry_run(add(shelf, AFTER, test_sensitivity=0.5), "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["version"], found["champion"], found["allowed"]) == ("2", "1", False)
    assert [each["passed"] for each in found["findings"]] == [True, True, False, True]
    assert found["held_out"]["summary"].startswith("2 of 3 held-out rows change sides")
    assert [each["row"] for each in found["held_out"]["rows"]] == ["3", "8"]


def test_a_promotion_that_would_be_refused(shelf, dry_run):
    """The rows are shown all the same, and the exit code is that of the promotion."""
    promote(shelf, add(shelf, BEFORE))
    worse = add(shelf, AFTER, test_sensitivity=0.5)
    result = dry_run(worse)
    assert result.exit_code == 1
    refusal = "test_sensitivity 0.5 is below the champion's 0.95 by more than 0.01"
    assert f"  refused: {refusal}" in result.stdout
    assert "version 2 would not be promoted" in result.stdout
    assert "2 of 3 held-out rows change sides" in result.stdout

    forced = dry_run(worse, "--force", "--reason", "x")
    assert forced.exit_code == 0
    assert f"  FORCED: {refusal}" in forced.stdout
    assert "it needs --reason" in dry_run(worse, "--force").stderr
    gated = dry_run(worse, "--gate", "test_accuracy:0.1")
    assert gated.exit_code == 0
    assert "the gates would be test_accuracy:0.1" in gated.stdout


def test_an_older_version_would_get_a_new_number(shelf, dry_run):
    old = add(shelf, BEFORE)
    promote(shelf, add(shelf, AFTER))
    result = dry_run(old)
    assert "version 1 is older than the champion 2: its files would be registered" in result.stdout


def test_the_champion_and_the_first_version(shelf, dry_run):
    first = add(shelf)
    result = dry_run(first)
    assert "would serve: version 1; nothing would be archived; no rollback target" in result.stdout
    assert "held-out" not in result.stdout
    promote(shelf, first)
    assert "version 1 has these files already; nothing would change" in dry_run(first).stdout


def test_numbers_of_a_regression(shelf, dry_run):
    tags = PROVEN | {"task": "regression"}
    tables = (
        "row,actual,prediction\n1,2.0,3.0\n2,5.0,5.0\n",
        "row,actual,prediction\n1,2.0,2.5\n2,5.0,5.0\n",
    )
    for table in tables:
        add(shelf, table, tags, test_rmse=1.0, test_mae=1.0)
    promote(shelf, "1")
    result = dry_run("2")
    assert "test_rmse 1 is not above the champion's 1 by more than 2%" in result.stdout
    assert "the predictions of 1 of 2 held-out rows change" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["1", "2", "3", "2.5", "-0.5"]


CANNOT = {
    "the champion has no table": ((None, AFTER, PROVEN), "the run of version 1 has no evaluation/"),
    "the challenger has no table": ((BEFORE, None, PROVEN), "the run of version 2 has no evaluation/"),
    "other data": (
        (BEFORE, AFTER, PROVEN | {"dataset_digest": "d2"}),
        "the champion was measured on dataset d1, the challenger on d2",
    ),
    "another task": (
        (BEFORE, AFTER, PROVEN | {"task": "regression"}),
        "the champion's task is binary, the challenger's regression",
    ),
    "other rows": ((BEFORE, AFTER.replace("\n8,", "\n9,"), PROVEN), "held out different rows"),
    "no rows": ((BEFORE.splitlines()[0], AFTER.splitlines()[0], PROVEN), "held out different rows"),
    "no such table": ((BEFORE, "<html>", PROVEN), "has no column actual, prediction, row"),
}  # fmt: skip


# Each takes two versions on the server; `make test` has one of each kind.
QUICK = ("the champion has no table", "other rows", "no such table")


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        pytest.param(*each, id=name, marks=() if name in QUICK else pytest.mark.whole)
        for name, each in CANNOT.items()
    ],
)
def test_rows_that_cannot_be_compared(shelf, dry_run, case, reason):
    before, after, tags = case
    promote(shelf, add(shelf, before))
    result = dry_run(add(shelf, after, tags))
    last = result.stdout.splitlines()[-1]
    assert last.startswith("held-out rows were not compared: ")
    assert reason in last
