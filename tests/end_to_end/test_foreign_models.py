"""Versions that our trainer did not make: whatever `mlflow.onnx.log_model` logged."""

from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.models import infer_signature
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.end_to_end.parts import Registry, Service
from tests.shared import Server

ROWS = pd.DataFrame(
    {
        "age": np.linspace(20, 80, 60).astype(np.float32),
        "visits": np.arange(60) % 7,
        "ward": np.array(["north", "south", "west"] * 20),
    }
)
SICK = ((ROWS.age > 50) ^ (ROWS.ward == "west")).to_numpy()


def publish(url: str, name: str, graph: Any, signature: Any = None) -> Registry:
    mlflow.set_tracking_uri(url)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            graph, name="model", registered_model_name=name, signature=signature,
            pip_requirements=[], await_registration_for=None,
        )  # fmt: skip
    registry = Registry(url, name, MlflowClient(url))
    registry.stage("1", "Production")
    return registry


@pytest.mark.parametrize("with_signature", [True, pytest.param(False, marks=pytest.mark.whole)])
def test_one_input_per_column_with_texts_and_integers(
    mlflow_server: Server, serve: Callable[..., Service], with_signature: bool
) -> None:
    """Each column keeps its type; labels are integers; ZipMap is understood."""
    encode = ColumnTransformer([("ward", OneHotEncoder(), ["ward"])], remainder="passthrough")
    pipeline = make_pipeline(encode, LogisticRegression()).fit(ROWS, SICK.astype(int))
    inputs = [
        ("age", FloatTensorType([None, 1])),
        ("visits", Int64TensorType([None, 1])),
        ("ward", StringTensorType([None, 1])),
    ]
    signature = infer_signature(ROWS, SICK.astype(int)) if with_signature else None
    name = f"columns-{with_signature}"
    registry = publish(mlflow_server.url, name, to_onnx(pipeline, initial_types=inputs), signature)
    service = serve(registry)
    service.until_serving("1")
    record = {"age": 71.5, "visits": 3, "ward": "west"}
    expected = pipeline.predict_proba(pd.DataFrame([record]))[0]
    answer = service.predict(record)
    assert answer["prediction"] == int(expected.argmax())
    assert answer["probabilities"] == pytest.approx({"0": expected[0], "1": expected[1]}, abs=1e-5)
    wrong = service.http.post("/predict", json={"age": "old", "visits": 3.5, "ward": 1})
    assert wrong.status_code == 422
    assert {fault["field"] for fault in wrong.json()["errors"]} == {"age", "visits", "ward"}


@pytest.mark.whole
def test_a_regressor_without_a_signature(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """The graph alone says how wide a row is; the answer has no probability."""
    features = ROWS[["age", "visits"]].to_numpy(np.float32)
    regressor = LinearRegression().fit(features, 3 * features[:, 0] - features[:, 1])
    registry = publish(mlflow_server.url, "regressor", to_onnx(regressor, features[:1]))
    service = serve(registry)
    service.until_serving("1")
    answer = service.predict({"feature_0": 10, "feature_1": 4})
    assert answer == {
        "prediction": pytest.approx(26, abs=1e-3),
        "model_name": "regressor",
        "model_version": "1",
    }
    batch = {"instances": [{"feature_0": 10, "feature_1": 4}, {"feature_0": 0, "feature_1": 1}]}
    answers = service.http.post("/predict/batch", json=batch).json()
    assert [each["prediction"] for each in answers["predictions"]] == pytest.approx(
        [26, -1], abs=1e-3
    )


@pytest.mark.whole
def test_an_artifact_in_a_folder_of_its_own(
    mlflow_server: Server, serve: Callable[..., Service], tmp_path: Any
) -> None:
    """A version whose files the tracking server does not proxy is read from where they are."""
    features = ROWS[["age", "visits"]].to_numpy(np.float32)
    regressor = LinearRegression().fit(features, features[:, 0])
    mlflow.onnx.save_model(
        to_onnx(regressor, features[:1]), str(tmp_path / "model"), pip_requirements=[]
    )
    client = MlflowClient(mlflow_server.url)
    experiment = client.create_experiment("own-folder", artifact_location=f"file://{tmp_path}/runs")
    run = client.create_run(experiment)
    client.create_registered_model("own-folder")
    folder = tmp_path / "runs" / run.info.run_id / "artifacts"
    folder.mkdir(parents=True)
    (tmp_path / "model").rename(folder / "model")
    client.create_model_version("own-folder", f"file://{folder}/model", run.info.run_id)
    registry = Registry(mlflow_server.url, "own-folder", client)
    registry.stage("1", "Production")
    service = serve(registry)
    service.until_serving("1")
    assert service.predict({"feature_0": 5, "feature_1": 4})["prediction"] == pytest.approx(
        5, abs=1e-3
    )
