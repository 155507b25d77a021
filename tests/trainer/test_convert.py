"""`trainer convert`: models that MLflow has already become versions that the service can serve."""

import os
import pty
import sys
import uuid
from dataclasses import dataclass

import mlflow
import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from typer.testing import CliRunner

from tests.end_to_end.parts import Registry
from trainer.cli import app
from trainer.registry import RegisteredModel

NUMBERS = pd.DataFrame(
    np.random.default_rng(0).normal(size=(120, 3)), columns=["length", "width", "height"]
)
LARGE = np.where(NUMBERS.length + NUMBERS.width > 0, "large", "small")
MIXED = pd.DataFrame(
    {
        "age": np.arange(120) % 60 + 20.0,
        "zip": np.resize(["10115", "20095", "50667"], 120).astype(object),
        "insured": np.resize([True, False, True, True, False], 120),
    }
)
CHURNED = np.where((MIXED.age > 45) ^ (MIXED.zip == "20095"), "yes", "no")


@dataclass(frozen=True)
class Logged:
    """A registered version, its run, and the command on it."""

    url: str
    name: str
    run_id: str

    @property
    def client(self):
        return MlflowClient(self.url)

    def convert(self, *options, uri=None):
        arguments = ["convert", uri or f"models:/{self.name}/1", *map(str, options)]
        return CliRunner().invoke(app, arguments, env={"MLFLOW_TRACKING_URI": self.url})

    def version(self, number="2"):
        return self.client.get_model_version(self.name, number)

    def numbers(self):
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return sorted(str(each.version) for each in found)


@pytest.fixture
def log(mlflow_server):
    """Log and register a model as people do, without this project."""

    def log(model, flavour=mlflow.sklearn, metrics=None, **settings):
        mlflow.set_tracking_uri(mlflow_server.url)
        name = f"convert-{uuid.uuid4().hex[:8]}"
        with mlflow.start_run() as run:
            mlflow.log_metrics(metrics or {})
            flavour.log_model(
                model, name="model", registered_model_name=name, pip_requirements=[], **settings
            )
        return Logged(mlflow_server.url, name, run.info.run_id)

    return log


@pytest.fixture
def numbers(tmp_path):
    """A file of the numbers, with a column that the model does not need, and the labels."""
    path = tmp_path / "numbers.csv"
    NUMBERS.assign(day="2024-01-31", size=LARGE).to_csv(path, index=False)
    return path


def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, LARGE)


def test_a_pickle_is_refused_without_a_terminal_and_loaded_with_trust(log, numbers):
    logged = log(pipeline(), serialization_format="cloudpickle")
    refused = logged.convert("--data", numbers, "--register")
    assert refused.exit_code == 1
    assert "its file model.pkl is a pickle (cloudpickle)" in refused.stderr
    assert logged.run_id in refused.stderr
    assert "Add --trust" in refused.stderr
    assert logged.numbers() == ["1"]

    trusted = logged.convert("--data", numbers, "--target", "size", "--trust")
    assert trusted.exit_code == 0, trusted.output
    assert "120 rows of" in trusted.stdout
    assert "0 mismatches" in trusted.stdout
    assert "features: length (number), width (number), height (number)" in trusted.stdout
    assert f"not registered. --register would make it the next version of {logged.name}" in (
        trusted.stdout
    )
    assert logged.numbers() == ["1"]


class _Malicious(LinearRegression):
    """An estimator whose pickle creates a file when it is loaded."""

    def __init__(self, path=None):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_that_runs_code_is_not_loaded_without_trust(log, numbers, tmp_path):
    created = tmp_path / "created"
    logged = log(_Malicious(str(created)), serialization_format="pickle")
    for options in ([], ["--register"], ["--data", str(numbers), "--register"]):
        assert logged.convert(*options).exit_code == 1
    assert not created.exists()
    assert logged.convert("--data", numbers, "--trust").exit_code == 1  # it is no estimator
    assert created.exists()


@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_it_asks(log, numbers, monkeypatch, capsys, answer):
    logged = log(pipeline(), serialization_format="cloudpickle")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", logged.url)
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with os.fdopen(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        arguments = ["convert", f"models:/{logged.name}/1", "--data", str(numbers)]
        with pytest.raises(SystemExit) as ended:
            app(arguments)
    os.close(ours)
    out, err = capsys.readouterr()
    assert f"Load version 1 of {logged.name} (" in err
    assert (ended.value.code, "0 mismatches" in out) == ((0, True) if answer == "y" else (1, False))


@pytest.mark.whole
def test_skops_needs_no_trust_and_the_next_version_has_everything(log, numbers):
    forest = RandomForestClassifier(5, random_state=0).fit(NUMBERS, LARGE)
    logged = log(
        forest,
        serialization_format="skops",
        skops_trusted_types=["sklearn.tree._tree.Tree"],
        metrics={"test_roc_auc": 0.97},
    )
    logged.client.update_model_version(logged.name, "1", "The first one.")
    for key, value in {"team": "risk", "dataset_digest": "d1", "hotswap.transition.1": "x"}.items():
        logged.client.set_model_version_tag(logged.name, "1", key, value)
    result = logged.convert("--data", numbers, "--register", "--positive", "large")
    assert result.exit_code == 0, result.output
    assert f"registered: version 2 of {logged.name}" in result.stdout
    made = logged.version()
    tags = dict(made.tags)
    assert tags["hotswap.converted_from"] == f"models:/{logged.name}/1"
    assert (tags["parity"], tags["team"], tags["dataset_digest"]) == ("passed", "risk", "d1")
    assert tags["task"] == "binary"
    assert len(tags["onnx_sha256"]) == 64
    assert "hotswap.transition.1" not in tags
    assert made.run_id == logged.run_id
    assert made.description.startswith("The first one.\n\nConverted from models:/")
    registry = RegisteredModel(logged.client, logged.name)
    assert registry.metrics(registry.version("2")) == {"test_roc_auc": 0.97}

    for options in ([], ["--register"]):
        same = logged.convert("--data", numbers, "--positive", "large", *options)
        assert same.exit_code == 0
        assert f"version 2 of {logged.name} is equal" in same.stdout
    assert logged.numbers() == ["1", "2"]
    other = logged.convert("--data", numbers, "--positive", "small", "--register")
    assert f"registered: version 3 of {logged.name}" in other.stdout
    asked = logged.convert("--data", numbers, "--positive", "large", "--register", "--again")
    assert f"registered: version 4 of {logged.name}" in asked.stdout

    again = logged.convert(uri=f"models:/{logged.name}/2")
    assert again.exit_code == 0
    assert "has an onnx flavour already whose parity with the library has passed" in again.stdout


def test_a_skops_file_with_other_types_needs_trust_whatever_mlmodel_trusts(log, numbers):
    """MLmodel's own list is written by the version's author."""
    model = make_pipeline(FunctionTransformer(), LinearRegression()).fit(NUMBERS, NUMBERS.width)
    model.steps[0][1].func = os.path.abspath
    logged = log(
        model,
        serialization_format="skops",
        skops_trusted_types=["posixpath.abspath", "numpy.dtype"],
    )
    result = logged.convert("--data", numbers)
    assert result.exit_code == 1
    assert "types that may run code: posixpath.abspath" in result.stderr


def test_a_converted_version_is_served(log, serve, tmp_path):
    """Text columns of which all look like numbers, booleans, and the answers of the library."""
    encode = ColumnTransformer([("zip", OneHotEncoder(), ["zip"])], remainder="passthrough")
    model = make_pipeline(encode, LogisticRegression(max_iter=500)).fit(MIXED, CHURNED)
    logged = log(
        model, serialization_format="cloudpickle", signature=infer_signature(MIXED, CHURNED)
    )
    logged.client.set_registered_model_alias(logged.name, "champion", "1")
    path = tmp_path / "mixed.csv"
    MIXED.to_csv(path, index=False)
    result = logged.convert(
        "--data", path, "--trust", "--register", uri=f"models:/{logged.name}@champion"
    )
    assert result.exit_code == 0, result.output
    assert "zip (text)" in result.stdout
    registry = Registry(logged.url, logged.name, logged.client)
    registry.stage("2", "Production")
    service = serve(registry)
    service.until_serving("2")
    record = {"age": 52.0, "zip": "20095", "insured": True}
    expected = model.predict_proba(pd.DataFrame([record]))[0]
    answer = service.predict(record)
    assert answer["prediction"] == model.classes_[expected.argmax()]
    assert answer["probabilities"] == pytest.approx(
        dict(zip(["no", "yes"], expected, strict=True)), abs=1e-5
    )


@pytest.mark.whole
def test_metrics_of_held_out_rows_let_it_be_promoted(log, numbers):
    """A version of another tool has no metrics that the gates read; they belong to a run of their own."""
    model = LogisticRegression().fit(NUMBERS, LARGE == "small")
    logged = log(model, serialization_format="skops", metrics={"accuracy": 0.5})
    frame = NUMBERS.assign(small=LARGE == "small", empty="")
    frame.astype({"small": object}).to_csv(numbers, index=False)
    options = ["--data", numbers, "--target", "small", "--held-out", "--positive", "true"]
    shown = logged.convert(*options)
    assert shown.exit_code == 0, shown.output
    assert "measured: test_accuracy " in shown.stdout
    assert "of a new run" in shown.stdout
    assert logged.convert(*options, "--register").exit_code == 0
    made = logged.version()
    assert made.run_id != logged.run_id
    assert len(made.tags["dataset_digest"]) == 32
    registry = RegisteredModel(logged.client, logged.name)
    predicted = model.predict(NUMBERS) == (LARGE == "small")
    assert registry.metrics(registry.version("2"))["test_accuracy"] == predicted.mean()
    assert registry.metrics(registry.version("1")) == {"accuracy": 0.5}
    promote = ["promote", "2", "--to", "Production", "--model", logged.name]
    promoted = CliRunner().invoke(app, promote, env={"MLFLOW_TRACKING_URI": logged.url})
    assert promoted.exit_code == 0, promoted.output


@pytest.mark.whole
def test_lightgbm_and_the_input_example(log):
    """MLflow writes LightGBM's estimators by skops; without --data the example is all there is."""
    model = LGBMClassifier(n_estimators=3, verbose=-1).fit(NUMBERS, LARGE)
    logged = log(model, mlflow.lightgbm, input_example=NUMBERS.head(4))
    result = logged.convert("--register")
    assert result.exit_code == 0, result.output
    assert "without --data, the model's input example (4 rows)" in result.stderr
    assert "splits of trees:" in result.stdout
    assert logged.numbers() == ["1", "2"]


@pytest.mark.whole
def test_a_regressor_of_a_run_and_of_a_logged_model(log, numbers):
    """Neither names a registered model, so --model-name does."""
    model = LinearRegression().fit(NUMBERS, NUMBERS.width * 3)
    logged = log(model, serialization_format="skops")
    by_run = logged.convert("--data", numbers, "--register", uri=f"runs:/{logged.run_id}/model")
    assert by_run.exit_code == 1
    assert "--model-name NAME" in by_run.stderr
    source = logged.version("1").source
    for uri in (f"runs:/{logged.run_id}/model", source):
        options = ["--data", numbers, "--register", "--model-name", logged.name]
        result = logged.convert(*options, uri=uri)
        assert result.exit_code == 0, result.output
    assert logged.numbers() == ["1", "2", "3"]
    assert logged.version("3").tags["hotswap.converted_from"] == source
    assert logged.version("3").tags["task"] == "regression"
    assert logged.version("3").run_id == logged.run_id


def test_nothing_is_registered_without_parity(log, numbers):
    logged = log(pipeline(), serialization_format="skops")
    result = logged.convert("--data", numbers, "--register", "--tolerance", "0")
    assert result.exit_code == 1
    assert "ONNX Runtime and the library disagree on" in result.stderr
    assert "Nothing was registered." in result.stderr
    assert logged.numbers() == ["1"]


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_name_that_the_registry_refuses_is_refused_first(mlflow_server, name):
    logged = Logged(mlflow_server.url, "", "")
    result = logged.convert("--data", "nowhere", "--register", "--model-name", name, uri="models:/")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "with --model-name" in result.stderr


def test_without_rows_it_says_what_to_give(log):
    logged = log(pipeline(), serialization_format="skops")
    result = logged.convert()
    assert result.exit_code == 1
    assert "give rows like its training rows with --data FILE" in result.stderr


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/nothing-of-this-name/1", "MLflow refused to read models:/nothing-of-this-name/1"),
        ("models:/nothing-of-this-name@champion", "nothing-of-this-name"),
        ("models:/", "is not the URI of a model: give models:/NAME/VERSION"),
        ("models:/m-0123", "models:/m-0123"),
        ("churn/3", "is not the URI of a model in MLflow: give models:/NAME/VERSION"),
        ("runs:/abc", "is not the URI of a model in MLflow"),
        ("runs:/abc/model", "runs:/abc/model cannot be downloaded"),
    ],
)
def test_a_wrong_uri_is_one_line(mlflow_server, uri, message):
    logged = Logged(mlflow_server.url, "", "")
    result = logged.convert(uri=uri)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
