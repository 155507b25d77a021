"""Processes with one storage share the trials of a search, and one of them registers each candidate."""

import os
import runpy
import subprocess
import sys

import numpy as np
import optuna
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from demo.processes import ROOT
from trainer.candidates import CATALOGUE
from trainer.errors import TrainerError
from trainer.search import Effort, Trial
from trainer.shared_search import SharedSearch, open_storage
from trainer.train_command import train

TRIALS = 8


def write_table(folder):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(120, 3)), columns=["a", "b", "c"])
    frame["y"] = np.where(frame["a"] + random.normal(size=120) > 0, "yes", "no")
    path = folder / "table.csv"
    frame.to_csv(path, index=False)
    return path


def start(server, table, storage, model, candidates):
    command = f"train --data {table} --target y --model-name {model} --quick --trials {TRIALS}"
    command += f" --candidates {','.join(candidates)} --search optuna --storage {storage}"
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", *command.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": server.url},
    )


@pytest.mark.parametrize(
    ("kind", "candidates"),
    [
        pytest.param("journal", ["logistic_regression"], marks=[pytest.mark.whole]),
        pytest.param(
            *("sqlite", ["logistic_regression", "hist_gradient_boosting"]),
            marks=[pytest.mark.whole],
        ),
    ],
)
def test_two_processes_share_the_trials_and_register_each_candidate_once(
    mlflow_server, tmp_path, kind, candidates
):
    file = tmp_path / "search"
    storage = f"sqlite:///{file}" if kind == "sqlite" else str(file)
    model = f"shared-{kind}-{os.getpid()}"
    table = write_table(tmp_path)
    workers = [start(mlflow_server, table, storage, model, candidates) for _ in range(2)]
    printed = [worker.communicate(timeout=150)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed

    client = MlflowClient(mlflow_server.url)
    versions = client.search_model_versions(f"name = '{model}'")
    assert sorted(each.tags["candidate"] for each in versions) == sorted(candidates)
    for version in versions:
        run = client.get_run(version.run_id)
        assert run.info.status == "FINISHED"
        children = client.search_runs(
            [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        )
        assert len(children) == TRIALS
        assert {each.info.status for each in children} == {"FINISHED"}
        best = max(each.data.metrics["cv_roc_auc_mean"] for each in children)
        assert run.data.metrics["cv_roc_auc_mean"] == best

    opened = open_storage(storage)
    names = [name for name in optuna.get_all_study_names(opened) if "registration" not in name]
    complete = [
        trial
        for name in names
        for trial in optuna.load_study(study_name=name, storage=opened).trials
        if trial.state == TrialState.COMPLETE
    ]
    assert len(complete) == TRIALS * len(candidates)
    assert len({trial.user_attrs["by"] for trial in complete}) == 2, printed

    # The same command again finds everything done, and registers nothing.
    again = start(mlflow_server, table, storage, model, candidates)
    out = again.communicate(timeout=100)[0]
    assert again.returncode == 0, out
    assert out.count("trials are complete, and process") == len(candidates)
    assert len(client.search_model_versions(f"name = '{model}'")) == len(candidates)


class Scripted:
    """The trials of one candidate, without MLflow; `error` is raised by the first one."""

    def __init__(self, error=None):
        self.candidate = CATALOGUE["multilayer_perceptron"]
        self.effort = Effort(trials=3, folds=2, importance_repeats=1)
        self.error = error
        self.runs = []

    def run(self, parent, number, parameters):
        if self.error:
            raise self.error
        self.runs.append((parent.run_id, parameters))
        return Trial(parameters, {"cv_roc_auc_mean": number / 10, "cv_log_loss_mean": 0.5})


class OpenedRun:
    """Stands for an MLflow run."""

    def __init__(self, run_id):
        self.run_id = run_id or "made"


@pytest.fixture
def storage(tmp_path):
    return open_storage(str(tmp_path / "journal"))


def test_the_best_trial_comes_back_as_it_was_tried(storage):
    trials = Scripted()
    run, best = SharedSearch(storage, "s").best(trials, OpenedRun)
    assert run.run_id == "made"
    assert [parent for parent, _ in trials.runs] == ["made"] * 3
    assert best.parameters == trials.runs[-1][1]
    assert type(best.parameters["classify__hidden_layer_sizes"]) is tuple
    assert best.metrics["cv_roc_auc_mean"] == 0.3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_trials_that_failed_are_run_again(storage, error):
    with pytest.raises(error):
        SharedSearch(storage, "s").best(Scripted(error()), OpenedRun)
    trials = Scripted()
    assert not isinstance(SharedSearch(storage, "s").best(trials, OpenedRun), str)
    assert len(trials.runs) == 3


def test_a_candidate_is_claimed_once_unless_the_claim_is_given_back(storage):
    first, second = SharedSearch(storage, "s"), SharedSearch(storage, "s")
    trials = Scripted()
    assert not isinstance(first.best(trials, OpenedRun), str)
    assert f"process {os.getpid()} of" in second.best(trials, OpenedRun)
    first.close()
    assert not isinstance(second.best(trials, OpenedRun), str)
    second.finished(trials.candidate)
    second.close()
    assert "registers it or has done so" in first.best(trials, OpenedRun)
    assert len(trials.runs) == 3


def test_more_trials_go_on_from_those_that_are_complete(storage):
    search, trials = SharedSearch(storage, "s"), Scripted()
    search.best(trials, OpenedRun)
    search.finished(trials.candidate)
    trials.effort = Effort(trials=5, folds=2, importance_repeats=1)
    assert not isinstance(search.best(trials, OpenedRun), str)
    assert len(trials.runs) == 5


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://x/y", "cannot be opened"),
        ("sqlite:////nowhere/at/all.db", "cannot be opened"),
        ("/nowhere/at/all", "cannot be written"),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_line(url, message):
    with pytest.raises(TrainerError, match=message) as raised:
        open_storage(url)
    assert "\n" not in str(raised.value)


def test_search_and_storage_go_together():
    with pytest.raises(TrainerError, match="needs --storage"):
        train(search="optuna")
    with pytest.raises(TrainerError, match="add --search optuna"):
        train(storage="file")


def test_without_optuna_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "trainer.shared_search")
    arguments = ["train", "--search", "optuna", "--storage", "file"]
    monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("trainer", run_name="__main__")
    line = ended.value.code  # a text goes to stderr, and the exit code is 1
    assert "pip install 'mlflow-hotswap[optuna]'" in line
    assert "\n" not in line
