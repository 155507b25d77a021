"""`trainer outcomes report --log`: metrics and pictures of every kind of model under the run of its version."""

import json

import numpy as np
import pytest
from mlflow.artifacts import download_artifacts, list_artifacts
from typer.testing import CliRunner

from tests.trainer.outcome_record import NOON, Record
from trainer.cli import app
from trainer.outcome_log import over_time
from trainer.outcome_report import Group
from trainer.realised import Estimate

pytest.importorskip("duckdb", reason="duckdb is not installed; `make environments` installs it")
pytest.importorskip("pyarrow", reason="as duckdb")

ABC = ("a", "b", "c")


@pytest.fixture
def record(tmp_path):
    (tmp_path / "records").mkdir()
    return Record(tmp_path / "records")


@pytest.fixture
def run_id(mlflow_client):
    """A run of its own."""
    run = mlflow_client.create_run("0")
    mlflow_client.set_terminated(run.info.run_id)
    return run.info.run_id


def log(record, mlflow_server, *options, code=0):
    env = {"MLFLOW_TRACKING_URI": mlflow_server.url}
    asked = ["outcomes", "report", str(record.folder), "--log", *options]
    result = CliRunner().invoke(app, asked, env=env)
    assert result.exit_code == code, result.output
    return result.output


def names(mlflow_server, run_id):
    found = list_artifacts(run_id=run_id, artifact_path="realised", tracking_uri=mlflow_server.url)
    return {each.path.removeprefix("realised/") for each in found}


def classes(record, run_id, labels, **more):
    """Sixty rows of a model that is right most of the time, over two weeks."""
    random, count = np.random.default_rng(1), len(labels)
    actual = random.integers(0, count, 60)
    scores = random.dirichlet(np.ones(count), 60) + np.eye(count)[actual]
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = [labels[n] for n in scores.argmax(axis=1)]
    ids = [str(number) for number in range(60)]
    for part in (slice(0, 30), slice(30, 60)):
        at = NOON.replace(day=2 + part.start // 3)
        chosen = scores.tolist()[part]
        record.predictions(
            ids[part], predicted[part], chosen, classes=labels, at=at, run_id=run_id, **more
        )
    record.outcomes(*zip(ids, (labels[n] for n in actual), strict=True), days=20)


def test_several_classes(record, mlflow_client, mlflow_server, run_id):
    classes(record, run_id, ABC)
    log(record, mlflow_server)
    found = mlflow_client.get_run(run_id).data.metrics
    assert {"realised_accuracy", "realised_accuracy_low", "realised_sensitivity_a", "realised_roc_auc_c"} <= {*found}  # fmt: skip
    assert names(mlflow_server, run_id) == {
        "confusion_matrix.png", "roc_curve.png", "over_time.png", "report.json",
    }  # fmt: skip


def test_one_of_several_classes(record, mlflow_client, mlflow_server, run_id):
    """Against the rest, with the pictures of two classes."""
    classes(record, run_id, ABC)
    log(record, mlflow_server, "--positive", "b", "--by", "day")
    assert "realised_sensitivity" in mlflow_client.get_run(run_id).data.metrics
    assert {"calibration_curve.png", "precision_recall_curve.png"} <= names(mlflow_server, run_id)
    file = download_artifacts(
        run_id=run_id, artifact_path="realised/report.json", tracking_uri=mlflow_server.url
    )
    with open(file) as content:  # noqa: PTH123
        report = json.load(content)
    assert [each["period"] for each in report["over_time"]] == ["2026-11-02", "2026-11-12"]
    assert sum(each["outcomes"] for each in report["over_time"]) == report["outcomes"] == 60


def test_a_regressor(record, mlflow_client, mlflow_server, run_id):
    ids, values = [str(number) for number in range(20)], np.linspace(0, 5, 20)
    record.predictions(ids, values.tolist(), classes=(), run_id=run_id)
    record.outcomes(*zip(ids, (values + 0.5).tolist(), strict=True))
    log(record, mlflow_server)
    found = mlflow_client.get_run(run_id).data.metrics
    assert (found["realised_mae"], found["realised_bias"]) == pytest.approx((0.5, -0.5))
    assert names(mlflow_server, run_id) == {
        "predicted_and_actual.png", "residuals.png", "error_by_decile.png", "over_time.png", "report.json",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_a_regressor_with_few_outcomes(record, mlflow_server, run_id, count):
    """Whatever can be drawn of them."""
    record.predictions(["1", "2"], [0.0, 1.0], classes=(), run_id=run_id)
    record.outcomes(*(("1", 0), ("2", 1))[:count])
    log(record, mlflow_server)
    assert {"over_time.png", "report.json"} <= names(mlflow_server, run_id)


def test_without_probabilities(record, mlflow_client, mlflow_server, run_id):
    """Or with outcomes of one class only: no curves."""
    record.predictions(["1", "2"], ["benign", "malignant"], run_id=run_id)
    record.outcomes(("1", "benign"), ("2", "malignant"))
    log(record, mlflow_server)
    assert mlflow_client.get_run(run_id).data.metrics["realised_sensitivity"] == 1
    assert names(mlflow_server, run_id) == {"over_time.png", "report.json"}


def test_outcomes_of_one_class(record, mlflow_client, mlflow_server, run_id):
    """What they do not tell is not written."""
    record.predictions(["1", "2"], ["benign"] * 2, [(0.9, 0.1)] * 2, run_id=run_id)
    record.outcomes(("1", "benign"), ("2", "benign"))
    log(record, mlflow_server)
    found = mlflow_client.get_run(run_id).data.metrics
    assert found["realised_specificity"] == 1
    assert not {"realised_sensitivity", "realised_roc_auc"} & {*found}
    assert names(mlflow_server, run_id) == {"over_time.png", "report.json"}


def test_several_targets(record, mlflow_client, mlflow_server, run_id):
    """Only counted."""
    record.predictions(["1"], [[1.0, 2.0]], classes=(), run_id=run_id)
    record.outcomes(("1", "[1.0, 2.0]"))
    log(record, mlflow_server)
    assert {*mlflow_client.get_run(run_id).data.metrics} == {
        "realised_predictions", "realised_outcomes", "realised_coverage",
    }  # fmt: skip


def test_logging_again_replaces_the_files_and_adds_to_the_history(
    record, mlflow_client, mlflow_server, run_id
):
    classes(record, run_id, ("benign", "malignant"))
    for _ in range(2):
        log(record, mlflow_server)
        record.outcomes(("0", "benign"), ("1", "benign"), days=30)
    assert len(mlflow_client.get_metric_history(run_id, "realised_sensitivity")) == 2
    assert mlflow_client.get_run(run_id).info.status == "FINISHED"
    assert len(names(mlflow_server, run_id)) == 6


def test_versions_that_cannot_be_logged_are_told(record, mlflow_server, run_id):
    """One without a run, and one without outcomes; the others are written."""
    record.predictions(["1"], ["benign"], [(0.9, 0.1)], run_id="")
    record.predictions(["2"], ["benign"], [(0.9, 0.1)], version="2", run_id=run_id)
    record.predictions(["3"], ["benign"], [(0.9, 0.1)], version="3", run_id=run_id)
    record.outcomes(("1", "benign"), ("3", "benign"))
    said = log(record, mlflow_server)
    assert "version 1 of m has no run; nothing was written" in said
    assert "version 2 of m has no outcomes; nothing was written" in said
    assert f"to run {run_id} of version 3 of m" in said


def test_a_run_that_is_gone(record, mlflow_server):
    record.predictions(["1"], ["benign"], [(0.9, 0.1)], run_id="0" * 32)
    record.outcomes(("1", "benign"))
    said = log(record, mlflow_server, code=1)
    assert f"error: MLflow refused to write to the run {'0' * 32}" in said


def test_without_a_server(record):
    record.predictions(["1"], ["benign"], [(0.9, 0.1)])
    asked = ["outcomes", "report", str(record.folder), "--log"]
    result = CliRunner().invoke(app, asked, env={"MLFLOW_TRACKING_URI": ""})
    assert result.exit_code == 1
    assert "MLFLOW_TRACKING_URI is not set" in result.output


@pytest.mark.parametrize(
    ("task", "name", "expected"),
    [
        ("binary", "sensitivity", ("sensitivity", "share", "higher is better")),
        ("regression", "mae", ("mean absolute error", "in the unit of the value", "lower is better")),
    ],
)  # fmt: skip
def test_the_picture_over_time_says_which_direction_is_better(task, name, expected):
    """In its title; and what its axes count."""
    metrics = {name: Estimate(0.9, 0.8, 0.95)}
    parts = [
        Group("m", "1", "", day, task, None, 20, 10, 0, 0, (1.0, 2.0), metrics, {})
        for day in ("2026-11-01", "2026-11-02")
    ]
    figure = over_time("m version 1", parts, [name])
    labels = [each.get_ylabel() for each in figure.axes]
    shown = "\n".join([figure.get_suptitle(), *labels])
    assert all(each in shown for each in expected)
    assert labels[1] == "rows"
    assert "UTC" in figure.axes[1].get_xlabel()
