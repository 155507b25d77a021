"""What an export writes, the service loads: each version that is registered can be served."""

import json

import numpy as np
import pytest
from mlflow.models import Model
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from exporters.export import export
from exporters.metadata import Settings
from exporters.mlflow_model import save_model
from predictor.model.artifact import Fetched
from predictor.model.loader import load
from predictor.model.servable import Interrupt
from tests.predictor.parts import version
from trainer.wdbc import FEATURES

SCALED = make_pipeline(StandardScaler(), LogisticRegression())


def served(made, folder):
    """The servable of an export."""
    save_model(str(folder / "model"), Model(), proven=made)
    files = {
        str(each.relative_to(folder / "model")): each.read_bytes()
        for each in (folder / "model").rglob("*")
        if each.is_file()
    }
    return load(version(1), Fetched.of("model.onnx", files, {}), Interrupt())


def answers(servable, made, rows=5):
    """The predictions for the first given rows, decoded from JSON."""
    records = made.table.with_rows(made.table.frame.head(rows)).records()
    bodies = [json.dumps(record).encode() for record in records]
    decoded, errors = servable.decoder.records(bodies)
    assert errors == {}
    return [each.prediction for each in servable.answer(decoded)]


@pytest.mark.parametrize(
    "labels",
    [["benign", "malignant"], [False, True], [1.0, 2.0]],
    ids=lambda labels: type(labels[0]).__name__ + str(labels[0]),
)
def test_two_classes_without_a_positive_one(rows, labels, tmp_path):
    few, target = rows.train.features[[*FEATURES[:3]]], rows.train.target == "malignant"
    model = SCALED.fit(few, np.array(labels)[target.astype(int)])
    made = export(model, few)
    assert answers(served(made, tmp_path), made) == model.predict(few.head(5)).tolist()


@pytest.mark.parametrize("names", [["a", "b", "c"], [0, 1, 2]], ids=["texts", "numbers"])
def test_labels_alone_where_the_graph_has_other_scores_than_the_library(rows, names, tmp_path):
    """skl2onnx gives a sigmoid of each decision function."""
    few = rows.train.features[[*FEATURES[:3]]]
    target = np.array(names)[np.digitize(few["mean_radius"], [12, 15])]
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LinearSVC())).fit(few, target)
    made = export(model, few)
    assert made.parity.measure == "labels"
    servable = served(made, tmp_path)
    assert answers(servable, made) == model.predict(few.head(5)).tolist()


def test_the_positive_class_of_a_decision_function(rows, tmp_path):
    few, target = rows.train.features[[*FEATURES[:3]]], rows.train.target
    model = make_pipeline(StandardScaler(), LinearSVC()).fit(few, target)
    for positive in "benign", "malignant":
        made = export(model, few, Settings(positive_class=positive))
        servable = served(made, tmp_path / positive)
        assert answers(servable, made) == model.predict(few.head(5)).tolist()


def test_a_column_that_the_model_drops(mixed, tmp_path):
    frame, target = mixed
    encode = make_column_transformer((OneHotEncoder(), ["note"]), (StandardScaler(), ["beds"]))
    model = make_pipeline(encode, LogisticRegression()).fit(frame, target)
    made = export(model, frame)
    assert answers(served(made, tmp_path), made) == model.predict(frame.head(5)).tolist()


def test_whole_numbers_that_float32_would_round(rows, tmp_path):
    """Also where the model does not care: the service refuses what its graph would round."""
    few = rows.train.features[[*FEATURES[:2]]].assign(time=np.arange(455) * 60 + 1_600_000_001)
    model = DecisionTreeRegressor(max_depth=3).fit(few, few.iloc[:, 0])
    made = export(model, few)
    found = answers(served(made, tmp_path), made)
    np.testing.assert_allclose(found, model.predict(few.head(5)), rtol=1e-5)
