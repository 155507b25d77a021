"""From a file to answers: `train --data`, promote each version, compare every answer with the library."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn import datasets

from tests.end_to_end.parts import Registry, Service, command
from tests.shared import Server
from trainer.candidates import catalogue

pytestmark = [pytest.mark.whole, pytest.mark.timeout(600)]

TOLERANCE = 1e-5
SINGLE_REQUESTS = 5
BATCH = 300  # rows; the service bounds the bytes of a body


def public(name: str) -> pd.DataFrame:
    """A table that scikit-learn ships; classes that have names are texts."""
    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    if "target_names" in bunch and isinstance(bunch.target_names[0], str):
        return bunch.data.assign(target=bunch.target_names[bunch.target])
    return bunch.frame


def mixed() -> pd.DataFrame:
    """Numbers, integers, booleans, categories and sentences; some are missing."""
    random = np.random.default_rng(0)
    values, classes = datasets.make_classification(
        300, 3, n_informative=3, n_redundant=0, random_state=0
    )
    frame = pd.DataFrame(values.round(3), columns=["age", "Größe (cm)", "dose"])
    words = ["pain", "none", "good", "Übelkeit", "bad-tempered", "fine.", "very"]
    town = np.where(values[:, 0] > 0, "Zürich", "Bern").astype(object)
    town[::13] = None
    frame["visits"] = random.integers(0, 9, 300)
    frame["smoker"] = random.random(300) > 0.6
    frame["town"] = town
    frame["note"] = [" ".join(random.choice(words, 6)) for _ in range(300)]
    frame.loc[::9, "dose"] = np.nan
    frame.loc[::17, "note"] = ""
    frame["patient"] = [f"p-{row:04}" for row in range(300)]
    frame["price"] = (values[:, 0] * 30 + frame["smoker"] * 10 + random.normal(size=300)).round(2)
    frame["outcome"] = np.where(classes == 1, "ill", "healthy")
    return frame


TABLES: dict[str, tuple[Callable[[], pd.DataFrame], str, str]] = {
    "iris": (lambda: public("iris"), "target", ""),
    "wine": (lambda: public("wine"), "target", ""),
    "diabetes": (lambda: public("diabetes"), "target", ""),
    "digits": (lambda: public("digits"), "target", ""),
    "mixed": (mixed, "outcome", "--positive ill --id patient --drop price"),
    "prices": (mixed, "price", "--drop outcome"),
}


@pytest.mark.parametrize("name", TABLES)
def test_every_answer_is_that_of_the_library(
    mlflow_server: Server,
    serve: Callable[..., Service],
    tmp_path: Path,
    name: str,
) -> None:
    make, target, options = TABLES[name]
    frame = make()
    file = tmp_path / f"{name}.csv"
    frame.to_csv(file, index=False)
    model = f"table-{name}"
    arguments = f"train --data {file} --target {target} --model-name {model} --quick --trials 1"
    chosen = options.split()
    printed = command(mlflow_server.url, *arguments.split(), *chosen)
    assert printed.startswith("column")

    registry = Registry(mlflow_server.url, model, MlflowClient(mlflow_server.url))
    task = registry.client.get_model_version(model, "1").tags["task"]
    known = [*catalogue(task)]
    versions = registry.versions()
    assert sorted(versions) == sorted(known)
    service = serve(registry)
    for candidate, version in versions.items():
        registry.stage(version, "Production")
        service.until_serving(version)
        mlflow.set_tracking_uri(mlflow_server.url)
        uri = f"models:/{model}/{version}"
        names = mlflow.models.get_model_info(uri).signature.inputs.input_names()
        compare(service, mlflow.sklearn.load_model(uri), frame[names], candidate)
        registry.stage(version, "Archived")


def compare(service: Service, pipeline: Any, rows: pd.DataFrame, candidate: str) -> None:
    """Every row in batches, and some alone."""
    texts = list(rows.select_dtypes(exclude=["number", "bool"]))
    typed = rows.astype(dict.fromkeys(texts, object))
    typed[texts] = typed[texts].where(typed[texts].notna(), np.nan)
    records = json.loads(typed.to_json(orient="records", double_precision=15))
    answers = []
    for start in range(0, len(records), BATCH):
        batch = {"instances": records[start : start + BATCH]}
        answered = service.http.post("/predict/batch", json=batch)
        assert answered.status_code == 200, answered.text
        answers += answered.json()["predictions"]
    answers += [service.predict(record) for record in records[:SINGLE_REQUESTS]]
    typed = pd.concat([typed, typed.head(SINGLE_REQUESTS)])
    expected = pipeline.predict(typed)
    if not hasattr(pipeline, "predict_proba"):
        found = np.array([each["prediction"] for each in answers])
        assert np.abs(found - expected).max() <= TOLERANCE * np.std(expected), candidate
        return
    probabilities = pipeline.predict_proba(typed)
    labels = [str(label) for label in pipeline.classes_]
    found = np.array([[each["probabilities"][label] for label in labels] for each in answers])
    assert np.abs(found - probabilities).max() <= TOLERANCE, candidate
    best = np.sort(probabilities, axis=1)
    decided = best[:, -1] - best[:, -2] > TOLERANCE
    predicted = np.array([each["prediction"] for each in answers])
    assert (predicted == expected)[decided].all(), candidate
