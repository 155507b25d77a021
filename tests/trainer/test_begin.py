"""A new registry gets its first champion once, and nobody's later decision is undone."""

import pytest
from typer.testing import CliRunner

from tests.trainer.conftest import GOOD
from trainer.cli import app


@pytest.fixture
def begin(shelf, mlflow_server, monkeypatch):
    """Run the command, in this process, on the model of this test."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
    monkeypatch.delenv("TRAINER_POINTER", raising=False)

    def run(*arguments):
        return CliRunner().invoke(app, ["begin", "--model", shelf.name, *arguments])

    return run


def test_the_best_in_cross_validation_is_promoted_once(begin, shelf):
    """Done again, it changes nothing, also when a better one came."""
    shelf.add(GOOD | {"cv_roc_auc_mean": 0.90})
    best = shelf.add(GOOD | {"cv_roc_auc_mean": 0.99})
    shelf.add(GOOD | {"cv_roc_auc_mean": 0.95})
    done = begin()
    assert done.exit_code == 0, done.output
    assert shelf.latest() == best
    shelf.add(GOOD | {"cv_roc_auc_mean": 1.0})
    again = begin()
    assert again.exit_code == 0, again.output
    assert f"serving: version {best}" in again.output
    assert shelf.latest() == best


def test_a_demoted_version_stays_demoted(begin, shelf):
    """Starting the stack again is no promotion: only a person authorises a version."""
    version = shelf.add()
    assert begin().exit_code == 0
    shelf.lifecycle().demote(version)
    again = begin()
    assert again.exit_code == 0, again.output
    assert "nothing may serve until one is promoted" in again.output
    assert shelf.latest() is None


@pytest.mark.parametrize("given", [["--webhook", "http://x"], ["--secret-file", "x"]])
def test_a_webhook_and_its_secret_go_together(begin, given):
    refused = begin(*given)
    assert refused.exit_code == 2
    assert "go together" in refused.output
