"""`log_model` logs one model with three flavours, registers it with evidence, and nothing at all if the proof fails."""

import json
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models import get_model_info
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from exporters import ConversionError, ExportError, ParityError, log_model
from exporters.registered_name import check_registered_name

PAGE = {"values": {"en": "Visits", "de": "Besuche"}, "caution": "A hint. Call before you act."}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An MLflow of its own in a folder; afterwards, the tests' is back."""
    before, folder = mlflow.get_tracking_uri(), tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        yield mlflow.MlflowClient()
        mlflow.set_tracking_uri(before)


def test_a_version_has_three_flavours_evidence_and_the_metrics_of_the_gate(store, rows):
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        rows.train.features, rows.train.target
    )
    with mlflow.start_run() as run:
        logged = log_model(
            model, rows.test.features, y=rows.test.target, name="churn", tags={"team": "a"},
            registered_model_name="churn", positive_class="malignant", metadata={"note": "b", "page": PAGE},
        )  # fmt: skip
    assert logged.run_id == run.info.run_id
    assert logged.registered_model_version == "1"
    assert logged.parity.passed
    version = store.get_model_version("churn", "1")
    assert version.run_id == run.info.run_id
    assert version.tags["onnx_sha256"] == logged.onnx_sha256
    assert version.tags["parity"] == "passed"
    assert version.tags["task"] == "binary"
    assert version.tags["team"] == "a"
    assert len(version.tags["dataset_digest"]) == 32
    metrics = store.get_run(run.info.run_id).data.metrics
    assert metrics["test_roc_auc"] > 0.99
    assert metrics["test_true_positives"] + metrics["test_false_negatives"] == 42
    info = get_model_info(logged.model_uri)
    assert set(info.flavors) == {"sklearn", "python_function", "onnx"}
    assert info.metadata == {"note": "b", "page": PAGE}
    graph = onnx.load(
        next(Path(mlflow.artifacts.download_artifacts(logged.model_uri)).rglob("*.onnx"))
    )
    assert {each.key: each.value for each in graph.metadata_props}["page"] == json.dumps(PAGE)
    assert info.flavors["sklearn"]["serialization_format"] == "skops"
    loaded = mlflow.pyfunc.load_model("models:/churn/1")
    expected = model.predict(rows.test.features)
    np.testing.assert_array_equal(loaded.predict(rows.test.features), expected)


def test_without_an_active_run_one_is_started_and_ended(store, rows):
    model = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1)
    model.fit(rows.train.features, np.arange(455.0))
    logged = log_model(model, rows.train.features)
    assert mlflow.active_run() is None
    assert store.get_run(logged.run_id).info.status == "FINISHED"
    assert logged.registered_model_version is None
    assert set(get_model_info(logged.model_uri).flavors) == {"lightgbm", "python_function", "onnx"}


def test_autologging_beside_it_does_no_harm(store, rows):
    mlflow.sklearn.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            model = Ridge().fit(rows.train.features, np.arange(455.0))
            before = store.get_run(run.info.run_id).data.metrics
            log_model(model, rows.train.features, y=np.arange(455.0))
            after = store.get_run(run.info.run_id).data.metrics
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert set(after) - set(before) == {
        "test_rmse", "test_mae", "test_median_absolute_error", "test_r2",
    }  # fmt: skip


class Odd(TransformerMixin, BaseEstimator):
    """A transformer without a converter."""

    def fit(self, features, target=None):
        return self

    def transform(self, features):
        return features


def test_what_fails_leaves_neither_run_nor_model_nor_version(store, rows):
    def kept():
        models = store.search_logged_models(experiment_ids=["0"])
        return len(store.search_runs(["0"])), len(models), len(store.search_registered_models())

    before = kept()
    frame, target = rows.train.features, rows.train.target
    odd = make_pipeline(Odd(), StandardScaler(), LogisticRegression()).fit(frame, target)
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, target)
    for arguments, error in (
        ({"model": odd, "X": frame}, ConversionError),
        ({"model": plain, "X": frame, "tolerance": 1e-30}, ParityError),
        ({"model": plain, "X": frame.iloc[:, :3]}, ExportError),
        ({"model": plain, "X": frame, "y": ["sick"] * len(frame)}, ExportError),
        ({"model": plain, "X": frame, "y": [1, 2]}, ExportError),
        ({"model": plain, "X": frame, "positive_class": "sick"}, ExportError),
        ({"model": LogisticRegression(), "X": frame}, ExportError),
    ):
        with pytest.raises(error):
            log_model(**arguments, registered_model_name="broken")
    assert kept() == before


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:1", "models:/a", "/", ".", "..", "..a"])
def test_a_name_that_the_registry_refuses_is_refused_before_any_work(store, name):
    """As MLflow does, which would see it last; the model is not even looked at."""
    with pytest.raises(MlflowException):
        store.create_registered_model(name)
    before = len(store.search_logged_models(["0"]))
    with pytest.raises(ExportError, match="name"):
        log_model(None, None, registered_model_name=name)
    assert len(store.search_logged_models(["0"])) == before


@pytest.mark.parametrize("name", ["a b", "a.b", ".a", "-", "häuser", "a\\b", "%2F"])
def test_a_name_that_the_registry_takes_is_not_refused(store, name):
    store.create_registered_model(name)
    check_registered_name(name)


@pytest.mark.whole
@pytest.mark.parametrize("y", ["numbers", "names"])
def test_labels_of_an_encoder_outside_the_model(store, rows, y):
    numbers = (rows.train.target == "malignant").astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(rows.train.features, numbers)
    logged = log_model(
        model, rows.train.features, y=numbers if y == "numbers" else rows.train.target,
        class_labels=["benign", "malignant"], positive_class="malignant",
    )  # fmt: skip
    metrics = store.get_run(logged.run_id).data.metrics
    assert metrics["test_roc_auc"] > 0.99
    assert metrics["test_sensitivity"] > 0.9


@pytest.mark.whole
def test_three_classes_a_clustering_and_several_targets(store, rows):
    frame = rows.train.features
    three = np.array(["a", "b", "c"])[np.arange(455) % 3]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, three)
    logged = log_model(model, frame, y=three, registered_model_name="three")
    assert "test_balanced_accuracy" in store.get_run(logged.run_id).data.metrics
    assert store.get_model_version("three", "1").tags["task"] == "multiclass"
    for other, target in (
        (KMeans(3, n_init=1).fit(frame), None),
        (LinearRegression().fit(frame, frame.iloc[:, :2]), frame.iloc[:, :2].to_numpy()),
    ):
        logged = log_model(other, frame, y=target)
        assert store.get_run(logged.run_id).data.metrics == {}


def test_a_signature_with_types_and_what_may_be_missing(store, mixed):
    from tests.exporters.test_export import mixed_model

    frame, target = mixed
    model = mixed_model(LogisticRegression()).fit(frame, target)
    logged = log_model(model, frame, input_example=frame.head(2))
    columns = get_model_info(logged.model_uri).signature.inputs.inputs
    assert [(each.name, each.type.name, each.required) for each in columns] == [
        ("größe (cm²)", "double", False),
        ("beds", "long", True),
        ("insured", "boolean", True),
        ("1st ward", "string", False),
        ("note", "string", True),
    ]
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))


def test_what_skops_cannot_write_is_pickled(store):
    frame = pd.DataFrame({"a": np.arange(50.0)})
    model = LinearRegression().fit(frame, frame["a"])
    model.note = lambda: None
    logged = log_model(model, frame)
    assert (
        get_model_info(logged.model_uri).flavors["sklearn"]["serialization_format"] == "cloudpickle"
    )


def test_a_row_whose_label_rounding_decides_is_named(store, rows, caplog):
    """Half of an even number of trees."""
    model = RandomForestClassifier(20, random_state=0).fit(rows.train.features, rows.train.target)
    parity = log_model(model, rows.train.features).parity
    assert parity.passed
    assert parity.flip_count > 0
    (warning,) = [each for each in caplog.messages if "close to a tie" in each]
    assert f"{parity.flip_count} of {parity.rows:,} rows" in warning
    assert str(parity.flips[0].record["mean_radius"]) in warning


@pytest.mark.parametrize(
    "page", ["Rooms", {"values": 5}, {"values": {"en": 5}}, {"title": "Rooms"}]
)
def test_texts_for_the_page_of_another_form_are_refused(rows, page):
    model = LogisticRegression(max_iter=10_000).fit(rows.test.features, rows.test.target)
    with pytest.raises(ExportError, match="is not of the form"):
        log_model(model, rows.test.features, metadata={"page": page})
