"""A quick training against a real MLflow server, and what it leaves there."""

import io
import json
from dataclasses import replace

import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from rich.console import Console

from exporters.answers import session
from exporters.errors import ConversionError, ParityError
from exporters.export import export
from exporters.metrics import METRICS
from exporters.parity import compare
from tests.trainer.uci_file import write_uci_file
from trainer.candidates import choose
from trainer.data import FEATURES, load, split
from trainer.errors import TrainerError
from trainer.experiment import Experiment
from trainer.importance import read, shares, table
from trainer.registry import RegisteredModel
from trainer.search import QUICK
from trainer.tracking import Run
from trainer.train_command import train, train_all

MODEL = "trained"
COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")
OPERATING_POINT = (
    "threshold", "target_sensitivity", "found", "positives", "sensitivity", "sensitivity_low",
    "sensitivity_high", "false_alarms", "negatives", "specificity",
)  # fmt: skip
CANDIDATES = ("logistic_regression", "hist_gradient_boosting")


@pytest.fixture(scope="module")
def client(mlflow_server):
    """A client of the real server; MLflow's loaders are pointed at it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
        patch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        yield MlflowClient(mlflow_server.url)


@pytest.fixture(scope="module")
def trained(client, quick):
    """Two candidates, or one in `make test`, trained and registered; the results by candidate, and what was printed."""
    prepared = Experiment.prepare(client, "training", load(), QUICK, 7)
    experiment = replace(prepared, sensitivity=0.98)
    screen = io.StringIO()
    results = train_all(
        experiment, choose(CANDIDATES[: 1 if quick else 2]), MODEL, Console(file=screen, width=100)
    )
    return {each.logged.candidate.name: each for each in results}, screen.getvalue()


@pytest.fixture(params=[CANDIDATES[0], pytest.param(CANDIDATES[1], marks=pytest.mark.whole)])
def registered(trained, request):
    results, _ = trained
    return results[request.param]


@pytest.fixture
def run(client, registered):
    return client.get_run(registered.logged.run_id)


def artifact_text(run, name):
    return mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/{name}")


def test_the_run_has_every_metric_and_finished(run):
    expected = {f"cv_{name}_{how}" for name in METRICS["binary"] for how in ("mean", "std")}
    expected |= {f"test_{name}" for name in (*METRICS["binary"], *COUNTS)}
    expected |= {f"operating_point_{name}" for name in OPERATING_POINT}
    assert set(run.data.metrics) == expected
    assert run.data.metrics["test_roc_auc"] > 0.98
    assert run.info.status == "FINISHED"


def test_the_operating_point_is_measured_on_the_held_out_rows(run, registered):
    """Its metrics are what the table of held-out predictions gives, and a sentence says them."""
    rows = pd.read_csv(io.StringIO(artifact_text(run, "evaluation/held_out_predictions.csv")))
    metrics = run.data.metrics
    chance = rows["probability_malignant"].to_numpy(np.float32)
    above = chance >= metrics["operating_point_threshold"]
    malignant = rows["actual"] == "malignant"
    assert metrics["operating_point_found"] == (above & malignant).sum()
    assert metrics["operating_point_positives"] == malignant.sum()
    assert metrics["operating_point_false_alarms"] == (above & ~malignant).sum()
    assert metrics["operating_point_target_sensitivity"] == 0.98
    assert run.data.params["sensitivity"] == "0.98"
    found = f"{metrics['operating_point_found']:.0f} of {malignant.sum()} found, 95 % interval"
    assert found in run.data.tags["operating_point"]
    exported = onnx.load_from_string(registered.logged.export.content)
    (entry,) = [each.value for each in exported.metadata_props if each.key == "operating_point"]
    assert json.loads(entry) == registered.logged.evaluated.point.as_metadata()


def test_the_run_says_where_it_came_from(run):
    tags = run.data.tags
    assert len(tags["mlflow.source.git.commit"]) in {40, len("unknown")}
    assert tags["library.scikit-learn"]
    assert tags["library.python"].startswith("3.")
    (dataset,) = run.inputs.dataset_inputs
    assert dataset.dataset.digest == load().digest
    assert json.loads(dataset.dataset.profile)["num_rows"] == 569
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "training"}


def test_the_run_has_every_parameter_and_the_seed(run):
    parameters = run.data.params
    assert parameters["seed"] == parameters["classify__random_state"] == "7"
    assert (parameters["train_rows"], parameters["test_rows"]) == ("455", "114")
    assert (parameters["trials"], parameters["folds"]) == ("2", "3")
    assert len(parameters) > 20


def test_each_trial_is_a_child_run_with_its_parameters_and_metrics(client, run, registered):
    children = client.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    assert len(children) == 2
    best = max(child.data.metrics["cv_roc_auc_mean"] for child in children)
    assert best == run.data.metrics["cv_roc_auc_mean"]
    for child in children:
        assert set(registered.logged.candidate.space) <= set(child.data.params)
        assert child.data.params["seed"] == "7"
        assert child.inputs.dataset_inputs[0].dataset.digest == load().digest
        assert child.info.status == "FINISHED"


def test_the_artifact_says_where_the_rows_lay_that_it_was_fitted_on(registered):
    """Not the held-out ones, which nobody was fitted on."""
    exported = onnx.load_from_string(registered.logged.export.content)
    props = {each.key: json.loads(each.value) for each in exported.metadata_props}
    fitted_on = split(load()).train.features
    profiles = {profile["name"]: profile for profile in props["feature_profiles"]}
    assert list(profiles) == list(fitted_on)
    for name, column in fitted_on.items():
        assert (profiles[name]["minimum"], profiles[name]["maximum"]) == (
            column.min(), column.max(),
        )  # fmt: skip
        assert profiles[name]["description"]
    rows = {tuple(row) for row in fitted_on.to_numpy().tolist()}
    assert {tuple(row) for row in props["background"]} <= rows


def test_the_artifact_has_the_training_rows_by_bin(registered):
    """And the scores of these rows by models that were not fitted on them."""
    exported = onnx.load_from_string(registered.logged.export.content)
    (entry,) = [each.value for each in exported.metadata_props if each.key == "training_bins"]
    bins = json.loads(entry)
    train = split(load()).train
    assert {sum(each["counts"]) for each in bins["features"]} == {len(train.target)}
    score = bins["score"]
    assert (score["kind"], score["of"], score["rows"]) == (
        "probability",
        "malignant",
        "out_of_fold",
    )
    assert sum(score["bins"]["counts"]) == len(train.target)


def test_the_evaluation_is_there_as_pictures_and_as_tables(client, run):
    kinds = (
        "confusion_matrix",
        "roc_curve",
        "precision_recall_curve",
        "calibration_curve",
        "permutation_importance",
    )
    found = {each.path for each in client.list_artifacts(run.info.run_id, "evaluation")}
    expected = {f"evaluation/{kind}.{end}" for kind in kinds for end in ("png", "csv")}
    assert found == {*expected, "evaluation/held_out_predictions.csv"}
    table = pd.read_csv(io.StringIO(artifact_text(run, "evaluation/permutation_importance.csv")))
    assert set(table["feature"]) == set(FEATURES)
    counts = pd.read_csv(
        io.StringIO(artifact_text(run, "evaluation/confusion_matrix.csv")), index_col=0
    )
    assert counts.to_numpy().sum() == 114


def test_the_version_is_annotated_with_what_a_policy_and_a_person_need(client, registered, run):
    version = client.get_model_version(MODEL, registered.version)
    report = json.loads(artifact_text(run, "parity.json"))
    assert report["passed"]
    expected = {
        "candidate": registered.logged.candidate.name,
        "hotswap.seed": "7",
        "dataset_digest": load().digest,
        "task": "binary",
        "onnx_sha256": registered.logged.export.sha256,
        "parity": "passed",
        "hotswap.parity_rows": str(report["rows"]),
        "hotswap.parity_mismatches": "0",
        "hotswap.parity_largest_difference": f"{report['largest_difference']:.3g}",
    }
    assert expected.items() <= version.tags.items()
    assert sum(not key.startswith("hotswap.") for key in version.tags) < 6
    assert version.run_id == registered.logged.run_id
    assert f"{run.data.metrics['test_roc_auc']:.4f}" in version.description
    assert run.data.tags["operating_point"] in version.description
    assert run.data.tags["parity"] == "passed"
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert {each.key for each in logged.metrics} == set(run.data.metrics)


def test_experiment_and_model_are_described_and_a_persons_text_stays(client, trained):
    subject = (
        "Predicts **diagnosis** (classes benign and malignant, positive malignant) from 30 columns"
    )
    found = client.get_experiment_by_name("training")
    assert found.tags["mlflow.note.content"].startswith(subject)
    assert client.get_registered_model(MODEL).description.startswith(subject)

    client.set_experiment_tag(found.experiment_id, "mlflow.note.content", "Ours.")
    Experiment.prepare(client, "training", load(), QUICK, 7)
    assert client.get_experiment_by_name("training").tags["mlflow.note.content"] == "Ours."


def test_every_flavour_loads_the_version_and_they_agree(registered):
    uri = f"models:/{MODEL}/{registered.version}"
    features = load().features
    pipeline = mlflow.sklearn.load_model(uri)
    labels = pipeline.predict(features)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(uri).predict(features), labels)
    content = mlflow.onnx.load_model(uri).SerializeToString()
    answered = session(content).run(None, {"features": features.to_numpy(np.float32)})
    np.testing.assert_array_equal(answered[0], labels)
    np.testing.assert_allclose(answered[1], pipeline.predict_proba(features), atol=1e-5)


def test_importance_is_read_back_as_shares_of_one(trained, client):
    results, _ = trained
    registry = RegisteredModel(client, MODEL)
    all_shares = [shares(registry, registry.version(each.version)) for each in results.values()]
    for each in all_shares:
        assert set(each) == set(FEATURES)
        assert sum(each.values()) == pytest.approx(1)
    found = read(registry, None)
    newest_first = [*enumerate(results, 1)][::-1]
    assert [(each.number, each.candidate) for each in found] == [
        (str(number), name) for number, name in newest_first
    ]
    shown = table(found, top=3)
    assert [each.heading for each in shown.columns] == [
        "feature", "mean", *(f"v{number}" for number, _ in newest_first)
    ]  # fmt: skip
    rows = shown.rows
    means = {
        feature: sum(each[feature] for each in all_shares) / len(all_shares) for feature in FEATURES
    }
    assert [row[0] for row in rows] == sorted(means, key=means.get, reverse=True)[:3]
    assert rows[0][1] == pytest.approx(max(means.values()))


def test_progress_and_a_leaderboard_are_shown(trained):
    results, printed = trained
    assert "trial 2 of 2: ROC-AUC" in printed
    leaderboard = printed.partition("Leaderboard")[2]
    for name, result in results.items():
        assert name in leaderboard
        assert f"{result.logged.metrics['test_roc_auc']:.4f}" in leaderboard


@pytest.mark.whole
def test_ucis_file_trains_to_the_same_metrics(trained, client, tmp_path, capsys):
    path = write_uci_file(tmp_path)
    train(
        path=path,
        candidates=CANDIDATES[0],
        seed=7,
        quick=True,
        model="uci",
        experiment="from uci",
        sensitivity=0.98,
    )
    version = client.get_model_version("uci", "1")
    results, _ = trained
    assert client.get_run(version.run_id).data.metrics == results[CANDIDATES[0]].logged.metrics
    assert "Leaderboard" in capsys.readouterr().out


def with_swapped_labels(pipeline, rows, settings):
    """An exporter whose converter gets every label wrong."""
    made = export(pipeline, rows, settings)
    proto = onnx.load_from_string(made.content)
    node = next(each for each in proto.graph.node if each.op_type == "LinearClassifier")
    labels = next(each for each in node.attribute if each.name == "classlabels_strings")
    labels.strings[:] = list(labels.strings)[::-1]
    content = proto.SerializeToString()
    report = compare(pipeline, content, made.task, made.table, {"given": made.table.frame})
    settings.failed(report)
    raise ParityError(report)


def without_scaler(pipeline, rows, settings):
    """An exporter that cannot convert a pipeline with a scaler."""
    if "scale" in pipeline.named_steps:
        raise ConversionError("scale (StandardScaler)", RuntimeError("no converter"))
    return export(pipeline, rows, settings)


@pytest.mark.parametrize(
    ("exporter", "kind", "said"),
    [
        (with_swapped_labels, ParityError, "ONNX Runtime and the library disagree on"),
        (without_scaler, ConversionError, "step scale (StandardScaler) cannot be converted"),
    ],
)
@pytest.mark.whole
def test_a_failed_export_fails_its_run_and_registers_nothing_while_others_go_on(
    client, exporter, kind, said
):
    name = exporter.__name__.replace("_", "-")
    effort = replace(QUICK, trials=1)
    prepared = Experiment.prepare(client, name, load(), effort, 0)
    others = "random_forest" if kind is ConversionError else "logistic_regression"
    chosen = choose(dict.fromkeys(["logistic_regression", others]))
    screen = io.StringIO()
    with pytest.raises(TrainerError, match="not registered: logistic_regression;"):
        train_all(replace(prepared, exporter=exporter), chosen, name, Console(file=screen))

    (run,) = client.search_runs(
        [prepared.experiment_id],
        "attributes.run_name = 'logistic_regression'",
    )
    assert run.info.status == "FAILED"
    assert said in run.data.tags["failure"]
    assert run.data.metrics["test_roc_auc"] > 0.9
    assert "failed" in screen.getvalue().partition("Leaderboard")[2]
    if kind is ParityError:
        report = json.loads(artifact_text(run, "parity.json"))
        assert report["label_mismatches"] == report["rows"]
        assert run.data.tags["parity"] == "failed"
        with pytest.raises(MlflowException, match="not found"):
            client.get_registered_model(name)
    else:
        (version,) = client.search_model_versions(f"name='{name}'")
        assert version.tags["candidate"] == "random_forest"


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")]
)
def test_a_run_that_ends_early_says_so(client, error, status):
    experiment_id = client.create_experiment(f"ends early with {status}")
    run = Run.start(client, experiment_id, "short", {})
    with pytest.raises(error), run:
        raise error("power cut")
    ended = client.get_run(run.run_id)
    assert ended.info.status == status
    assert ended.data.tags["failure"] == "power cut"


def test_a_run_may_have_more_values_than_one_request(client):
    """Each text column adds two dozen parameters, and each of several classes a metric."""
    run = Run.start(client, client.create_experiment("many values"), "many", {})
    parameters = {f"parameter {n}": n for n in range(250)}
    metrics = {f"metric {n}": float(n) for n in range(1500)}
    run.log(parameters=parameters, metrics=metrics, tags={"tag": "value"})
    found = client.get_run(run.run_id).data
    assert found.params == {name: str(value) for name, value in parameters.items()}
    assert found.metrics == metrics
    assert found.tags["tag"] == "value"
