"""`trainer replay`: what a real service recorded, computed again on versions of a real registry."""

import json
import os
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from typer.testing import CliRunner

from exporters import log_model
from tests.end_to_end.parts import Registry, Service, starter
from trainer.cli import app
from trainer.mlflow_server import connect

pytestmark = pytest.mark.whole

pa = pytest.importorskip(
    "pyarrow", reason="pyarrow is not installed; `make environments` installs it"
)
pq = pytest.importorskip("pyarrow.parquet", reason="as pyarrow")
pytest.importorskip("duckdb", reason="as pyarrow")

RANDOM = np.random.default_rng(0)
NUMBERS = pd.DataFrame(RANDOM.normal(size=(200, 12)), columns=[f"x {n}" for n in range(12)])
WARDS = ["Zürich", "Bern", "Genève"]
WORDS = ["pain", "none", "fever", "Übelkeit"]
MIXED = pd.DataFrame(
    {
        "age in years": RANDOM.integers(20, 90, 200),
        "dose": RANDOM.normal(size=200),
        "smoker": RANDOM.random(200) > 0.5,
        "ward": RANDOM.choice(WARDS, 200),
        "note": [" ".join(RANDOM.choice(WORDS, 4)) for _ in range(200)],
    }
)
ILL = np.where(NUMBERS["x 0"] + NUMBERS["x 1"] > 0, "ill", "well")


def classifier(seed: int) -> Any:
    """Wide enough that a row alone and a row among others may differ in the last bit."""
    network = MLPClassifier((37, 19), max_iter=20, random_state=seed)
    return make_pipeline(StandardScaler(), network).fit(NUMBERS, ILL)


def regressor() -> Any:
    return make_pipeline(StandardScaler(), LinearRegression()).fit(NUMBERS, NUMBERS["x 0"] * 3)


def of_texts() -> Any:
    columns = make_column_transformer(
        (StandardScaler(), ["age in years", "dose"]),
        (OneHotEncoder(handle_unknown="ignore"), ["ward"]),
        (TfidfVectorizer(), "note"),
        ("passthrough", ["smoker"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(MIXED, MIXED["dose"] > 0)


MODELS = {
    "classifier": (lambda: [classifier(0), classifier(1)], NUMBERS),
    "regressor": (lambda: [regressor()], NUMBERS),
    "texts": (lambda: [of_texts()], MIXED),
}


@dataclass(frozen=True)
class Answered:
    """A registered model whose version 1 answered, and the folder of the records."""

    url: str
    model: str
    records: Path

    @property
    def file(self) -> Path:
        return next(iter(sorted(self.records.rglob("*.parquet"))))

    def replay(self, what: object, *options: object, version: str = "1", code: int = 0) -> str:
        arguments = ["replay", str(what), "--version", version, *map(str, options)]
        given = ["--records", str(self.records)] if not str(what).endswith(".parquet") else []
        environment = {"MLFLOW_TRACKING_URI": self.url}
        result = CliRunner().invoke(app, [*arguments, *given], env=environment)
        assert result.exit_code == code, result.output
        return result.output


def answer(service: Service, rows: pd.DataFrame) -> None:
    """Ask row by row, several at once, in batches, and for an explanation."""
    records = json.loads(rows.to_json(orient="records", double_precision=15))

    def post(path: str, body: Any, name: str) -> None:
        response = service.http.post(path, json=body, headers={"x-request-id": name})
        assert response.status_code == 200, response.text

    for number, record in enumerate(records[:20]):
        post("/predict", record, f"one-{number}")
    threads = [
        threading.Thread(target=post, args=("/predict", record, f"many-{number}"))
        for number, record in enumerate(records[:20])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    post("/predict/batch", {"instances": records[:7]}, "batch")
    post("/predict/batch", {"instances": records}, "all")
    post("/predict/what-if", {"instances": records[:5]}, "tried")


@pytest.fixture(scope="module", params=MODELS)
def answered(request, mlflow_server, tmp_path_factory) -> Answered:
    fit, rows = MODELS[request.param]
    model = f"replayed-{request.param}-{os.getpid()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
        connect()
        mlflow.set_tracking_uri(mlflow_server.url)
        # Not by `set_experiment`, which holds for this process and all later tests in it.
        experiment = MlflowClient(mlflow_server.url).create_experiment(model)
        for fitted in fit():
            with mlflow.start_run(experiment_id=experiment):
                log_model(fitted, rows, registered_model_name=model)
    registry = Registry(mlflow_server.url, model, MlflowClient(mlflow_server.url))
    registry.stage("1", "Production")
    folder = tmp_path_factory.mktemp("replay")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVICE_PYTHON", sys.executable)  # it has pyarrow
        service = starter(stack, folder)(
            registry,
            PREDICTOR_RECORD_URI=str(folder / "records"),
            PREDICTOR_RECORD_SPOOL_DIR=str(folder / "spool"),
        )
        service.until_serving("1")
        answer(service, rows)
    # The service ended, and so all is written.
    return Answered(mlflow_server.url, model, folder / "records")


CLASSIFIER = pytest.mark.parametrize("answered", ["classifier"], indirect=True)


def test_every_answer_is_the_same(answered):
    """To the last bit: rows that were computed alone, with others' rows, and in batches."""
    total = sum(len(pq.read_table(file)) for file in answered.records.rglob("*.parquet"))
    assert total == 20 + 20 + 7 + 200 + 5
    files = sorted(answered.records.rglob("*.parquet"))
    for file in files:
        count = len(pq.read_table(file))
        assert answered.replay(file) == (
            f"{count} of {count} predictions are equal to the last bit with version 1 of {answered.model}\n"
        )


@pytest.mark.parametrize(
    ("id_", "count"),
    [("one-3", 1), ("many-7", 1), ("batch#2", 1), ("batch", 7), ("all", 200), ("tried", 5)],
)
def test_an_id_of_a_prediction_or_of_a_request(answered, id_, count):
    said = answered.replay(id_)
    assert said.startswith(f"{count} of {count} predictions are equal to the last bit")


def altered(answered: Answered, folder: Path, column: str, change: Any) -> Path:
    """A copy of a file with other values in a column of its first two rows."""
    table = pq.read_table(answered.file)
    values = table[column].to_pylist()
    values[:2] = [change(each) for each in values[:2]]
    place = table.column_names.index(column)
    changed = table.set_column(place, column, pa.array(values, table.schema.field(column).type))
    path = folder / "altered.parquet"
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    return path


def test_one_bit_is_a_difference(answered, tmp_path):
    """Both answers are listed."""
    names = pq.read_table(answered.file).column_names
    numbers = [each for each in names if each.startswith("probability_")] or ["prediction"]
    path = altered(answered, tmp_path, numbers[0], lambda value: float(np.nextafter(value, 9)))
    count = len(pq.read_table(path))
    lines = answered.replay(path, code=1).splitlines()
    assert lines[0].startswith(f"{count - 2} of {count} predictions are equal")
    assert lines[1].split() == ["id", "value", "recorded", "computed"]
    assert len(lines) == 4
    ids = pq.read_table(path)["id"].to_pylist()
    for line, id_ in zip(lines[2:], ids, strict=False):
        found, name, recorded, computed = line.split()
        assert (found, name) == (id_, numbers[0])
        assert float(recorded) == np.nextafter(float(computed), 9)


def test_another_value_of_a_feature_is_a_difference(answered, tmp_path):
    """The answers depend on what was recorded of the rows."""
    name = "feature_dose" if "texts" in answered.model else "feature_x 0"
    path = altered(answered, tmp_path, name, lambda value: value + 1)
    assert "2 of" not in answered.replay(path, code=1).splitlines()[0][:4]


@CLASSIFIER
def test_another_version_differs_and_it_is_said(answered):
    """That its graph is another one is no error."""
    lines = answered.replay("batch", version="2", code=1).splitlines()
    assert lines[0].endswith("was answered by version 1, which has another graph")
    assert (
        lines[1]
        == f"0 of 7 predictions are equal to the last bit with version 2 of {answered.model}"
    )
    assert lines[3].split()[:2] in (["batch#0", "prediction"], ["batch#0", "probability_ill"])
    many = answered.replay("all", version="2", code=1).splitlines()
    assert many[-1].startswith("(20 of ")


@CLASSIFIER
def test_a_version_whose_files_were_changed(answered, tmp_path):
    path = altered(answered, tmp_path, "digest", lambda _: "sha256:0")
    said = answered.replay(path, code=1)
    assert "was answered by sha256:0: the files of the version were changed" in said


def test_a_feature_that_was_left_out_or_hashed(answered, tmp_path):
    table = pq.read_table(answered.file)
    said = json.loads(table.schema.metadata[b"mlflow-hotswap"])
    name = said["features"][0][0]
    hashed = {**said, "features": [[name, "string", "hash"], *said["features"][1:]]}
    without = {**said, "features": said["features"][1:]}
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata({"mlflow-hotswap": json.dumps(hashed)}), path)
    assert f"{path} has only hashes of {name} (PREDICTOR_RECORD_OMIT)" in answered.replay(
        path, code=1
    )
    pq.write_table(table.replace_schema_metadata({"mlflow-hotswap": json.dumps(without)}), path)
    assert f"{name}: were left out of the record (PREDICTOR_RECORD_OMIT)" in answered.replay(
        path, code=1
    )


@CLASSIFIER
def test_a_version_with_other_features(answered, mlflow_server):
    """Such as one of another model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server.url)
        connect()
        mlflow.set_tracking_uri(mlflow_server.url)
        rows = NUMBERS.rename(columns={"x 3": "y 3"})
        fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, ILL)
        log_model(fitted, rows, registered_model_name=f"other-{answered.model}")
    said = answered.replay("batch", "--model-name", f"other-{answered.model}", code=1)
    assert "has other features: it lacks x 3 of" in said
    assert "and it has y 3" in said


@pytest.mark.parametrize("text", ["' or true --", "x'; drop table records; --", '" or 1=1', "$id"])
@CLASSIFIER
def test_an_id_is_only_compared(answered, text):
    assert f"has no prediction with the id {text!r}" in answered.replay(text, code=1)
    said = answered.replay("batch", "--model-name", text, code=1)
    assert said.startswith("error: ")
    assert "Traceback" not in said


@CLASSIFIER
def test_what_cannot_be_replayed(answered, tmp_path):
    """Each error says what to do."""
    said = answered.replay("batch", version="9", code=1)
    assert f"{answered.model} has no version '9', only 2, 1" in said
    assert "cannot be read" in answered.replay("/nowhere/x.parquet", code=1)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    assert "is no file of recorded predictions" in answered.replay(other, code=1)
    environment = {"MLFLOW_TRACKING_URI": answered.url, "PREDICTOR_RECORD_URI": None}
    result = CliRunner().invoke(app, ["replay", "batch", "--version", "1"], env=environment)
    assert "say with --records where the service records" in result.output
