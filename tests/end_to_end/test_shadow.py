"""A shadow follows another pointer, computes the same rows, and has no effect on any answer."""

import os
import random
import signal
import stat
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from sklearn.datasets import load_breast_cancer

from tests.end_to_end.parts import Registry, Service, wait_until
from tests.end_to_end.test_foreign_models import publish
from tests.end_to_end.test_recording import descendants
from tests.predictor.graphs import counting, graph, regressor, tensor
from tests.shared import Server

pytestmark = [pytest.mark.whole, pytest.mark.timeout(400)]

FAR = 120  # seconds: the process of the shadow only gets what others leave of the processor
PROCESS = "predictor.shadow.process"
FIELDS = {
    "uri", "model_version", "digest", "run_id", "state", "reason", "compared_with", "rows", "flips", "not_finite", "failed_rows",
    "skipped_rows", "difference", "serving_seconds", "shadow_seconds",
}  # fmt: skip


def between(number: int) -> list[dict[str, float]]:
    """Records between two real ones of each class, where versions differ."""
    table = load_breast_cancer()
    names = [str(each).replace(" ", "_") for each in table.feature_names]
    chance = random.Random(7)
    rows = {label: table.data[table.target == label] for label in (0, 1)}
    found = []
    for _ in range(number):
        one, other = (chance.choice(rows[label]) for label in (0, 1))
        share = chance.random()
        found.append(dict(zip(names, (share * one + (1 - share) * other).tolist(), strict=True)))
    return found


def shadow(service: Service) -> dict[str, Any]:
    return dict(service.http.get("/model").json()["shadow"])


def until_shadow(service: Service, **expected: object) -> dict[str, Any]:
    """Wait until these members of `shadow` are so; return all."""
    try:
        wait_until(
            lambda: all(shadow(service)[name] == value for name, value in expected.items()),
            f"the shadow is {expected}",
            FAR,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}; /model says {shadow(service)}") from None
    return shadow(service)


def process_of(service: Service) -> int | None:
    found = [
        each for each, line in descendants(service.child.process.pid).items() if PROCESS in line
    ]
    return found[0] if found else None


def label(probabilities: dict[str, float]) -> str:
    return max(probabilities, key=lambda name: probabilities[name])


def following(registry: Registry, pointer: str) -> dict[str, str]:
    return {"PREDICTOR_SHADOW_URI": f"models:/{registry.name}{pointer}"}


@pytest.mark.parametrize("pointer", ["/Staging", "@challenger"])
def test_every_row_is_compared(
    registry: Registry, serve: Callable[..., Service], pointer: str
) -> None:
    """The classes that differ, and the largest difference, are those of an offline computation."""
    registry.stage("1", "Production")
    if pointer == "/Staging":
        registry.stage("2", "Staging")
    else:
        registry.client.set_registered_model_alias(registry.name, "challenger", "2")
    service = serve(registry, **following(registry, pointer))
    service.until_serving("1")
    until_shadow(service, state="comparing", model_version="2")
    records = between(90)
    answers = [service.predict(record) for record in records[:40]]
    response = service.http.post("/predict/batch", json={"instances": records[40:]})
    answers += response.json()["predictions"]
    one, two = registry.reference("1"), registry.reference("2")
    flips: Counter[tuple[str, str]] = Counter()
    largest = 0.0
    for record, answer in zip(records, answers, strict=True):
        expected, other = one.probabilities(record), two.probabilities(record)
        assert answer["prediction"] == label(expected)
        if label(expected) != label(other):
            flips[label(expected), label(other)] += 1
        largest = max(largest, abs(expected["malignant"] - other["malignant"]))
    told = until_shadow(service, rows=len(records))
    assert told.keys() == FIELDS
    assert flips
    assert {(each["serving"], each["shadow"]): each["rows"] for each in told["flips"]} == flips
    assert told["difference"]["max"] == pytest.approx(largest, abs=1e-6)
    assert told["compared_with"]["model_version"] == "1"
    assert (told["not_finite"], told["failed_rows"], told["skipped_rows"]) == (0, 0, 0)
    assert told["serving_seconds"]["p50"] > 0
    assert told["shadow_seconds"]["p99"] > 0


def test_values_that_are_tried_out_count_nowhere(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not as predictions, not for drift, not by the shadow, by any worker; the record has them as what they are."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # it has pyarrow
    registry.stage("1", "Production")
    registry.stage("2", "Staging")
    records = tmp_path / "records"
    service = serve(
        registry,
        **following(registry, "/Staging"),
        PREDICTOR_RECORD_URI=str(records),
        PREDICTOR_RECORD_SECONDS="0.2",
        PREDICTOR_DRIFT_FEATURES="200",
    )
    service.until_serving("1")
    until_shadow(service, state="comparing", model_version="2")
    real, *tried = between(31)
    service.predict(real)
    until_shadow(service, rows=1)
    counted = (
        "predictor_predictions_total",
        "predictor_feature_rows_total",
        "predictor_batch_rows_count",
    )

    def counts() -> dict[str, float]:
        lines = service.http.get("/metrics").text.splitlines()
        found = (line.rsplit(" ", 1) for line in lines if line.startswith(counted))
        return {name: float(value) for name, value in found}

    wait_until(lambda: sum(counts().values()) > 2, "the prediction is counted", FAR)
    before = counts()
    answered = service.http.post("/predict/what-if", json={"instances": tried})
    assert len(answered.json()["predictions"]) == len(tried)
    explained = service.http.post("/predict/explain?what_if=true", json=tried[0])
    assert explained.status_code == 200, explained.text

    def rows() -> dict[str, int]:
        found = [pd.read_parquet(each) for each in records.rglob("*.parquet")]
        protocols = [name for table in found for name in table["protocol"]]
        return dict(Counter(protocols))

    wait_until(lambda: sum(rows().values()) == 1 + len(tried) + 1, "all rows are recorded", FAR)
    assert rows() == {"predict": 1, "what_if": len(tried) + 1}
    assert counts() == before
    assert shadow(service)["rows"] == 1
    service.predict(real)
    assert until_shadow(service, rows=2)["rows"] == 2
    assert counts() != before


def regressors(url: str, shadow_graph: bytes) -> Registry:
    """Version 1 in Production adds two features; version 2 in Staging is this graph, of the same features."""
    name = f"sum-{uuid.uuid4().hex[:8]}"
    registry = publish(url, name, onnx.load_from_string(regressor()))
    mlflow.set_tracking_uri(url)
    with mlflow.start_run():
        mlflow.onnx.log_model(
            onnx.load_from_string(shadow_graph), name="model", registered_model_name=name,
            pip_requirements=[], await_registration_for=None,
        )  # fmt: skip
    registry.stage("2", "Staging")
    return registry


def comparing(serve: Callable[..., Service], registry: Registry, **settings: str) -> Service:
    """A service whose shadow is version 2, in Staging."""
    service = serve(registry, **following(registry, "/Staging"), **settings)
    service.until_serving("1")
    until_shadow(service, state="comparing", model_version="2")
    return service


def ask(service: Service, *records: tuple[float, float]) -> None:
    """Each answer is there, and right."""
    for one, other in records:
        answer = service.predict({"feature_0": one, "feature_1": other})
        assert answer["prediction"] == one + other
        assert answer["model_version"] == "1"


def eats(share: float) -> bytes:
    """The sum of the columns of `X`; where one is 1000 or more, it takes this share of 4 GB first."""
    nodes = [
        helper.make_node("ReduceMax", ["X"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "share"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "single"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["much"]),
        helper.make_node("Concat", ["zero", "much"], ["some"], axis=0),
        helper.make_node("ReduceSum", ["some"], ["nothing"], keepdims=0),
        helper.make_node("ReduceSum", ["X", "axes"], ["sum"], keepdims=1),
        helper.make_node("Add", ["sum", "nothing"], ["value"]),
    ]
    constants = {
        "share": np.float32(1e6 * share), "single": np.array([1]), "zero": np.zeros(1, np.float32),
        "axes": np.array([1]),
    }  # fmt: skip
    return graph(nodes, [tensor("X")], [tensor("value", shape=(None, 1))], constants)


def test_answers_that_are_not_finite(mlflow_server: Server, serve: Callable[..., Service]) -> None:
    """They are counted, and are no answers."""
    service = comparing(serve, regressors(mlflow_server.url, regressor(op="Log")))
    ask(service, *[(-number, -2.0) for number in range(1, 6)], (1.0, 0.0))
    told = until_shadow(service, not_finite=5, rows=1)
    assert told["difference"]["max"] == 1  # the logarithm of 1 is 0
    assert told["flips"] == []


def test_a_shadow_that_takes_too_long(mlflow_server: Server, serve: Callable[..., Service]) -> None:
    """Its computations are stopped, then it pauses; nobody waits for it."""
    registry = regressors(mlflow_server.url, counting())
    service = comparing(serve, registry, PREDICTOR_INFERENCE_SECONDS="0.5")
    ask(service, *[(1.0, 2.0)] * 3)
    until_shadow(service, rows=3)
    deadline = time.monotonic() + FAR
    while shadow(service)["state"] == "comparing":
        ask(service, (2.0**40, 0.0))
        assert time.monotonic() < deadline
    told = shadow(service)
    assert told["state"] == "failed"
    assert "PREDICTOR_INFERENCE_SECONDS" in told["reason"]
    assert "shadow_failed" in {line["event"] for line in service.log_lines()}
    ask(service, *[(2.0**40, 0.0)] * 20)
    samples = service.http.get("/metrics").text
    assert 'predictor_shadow_rows_total{outcome="failed"} 0.0' not in samples
    assert "predictor_shadow_failed 1.0" in samples
    assert "predictor_inference_timeouts_total" not in {
        line.partition("{")[0] for line in samples.splitlines() if line.endswith(" 1.0")
    }


def test_a_shadow_that_takes_all_memory(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """Its process has a limit: such rows fail, or it ends and is started again; the service notices nothing."""
    registry = regressors(mlflow_server.url, eats(share=1))
    service = comparing(serve, registry, PREDICTOR_SHADOW_MAX_BYTES=str(1 << 30))
    ask(service, (0.0, 0.0))
    until_shadow(service, rows=1)
    for _ in range(20):
        ask(service, (1000.0, 1.0))
    wait_until(lambda: failed_rows(service) > 0, "rows of the shadow failed", FAR)
    until_shadow(service, state="comparing")
    ask(service, (0.0, 0.0))


def test_a_shadow_without_enough_memory_to_start(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """It ends, as after a leak, and is started again and again; the reason is told."""
    registry = regressors(mlflow_server.url, regressor())
    limit = {"PREDICTOR_SHADOW_MAX_BYTES": str(1 << 27)}
    service = serve(registry, **following(registry, "/Staging"), **limit)
    service.until_serving("1")
    wait_until(lambda: shadow(service)["state"] == "failed", "the shadow failed", FAR)
    ask(service, *[(float(number), 0.5) for number in range(50)])
    lines = [line for line in service.log_lines() if line["event"] == "shadow_ended"]
    assert lines
    assert (
        'predictor_shadow_rows_total{outcome="compared"} 0.0' in service.http.get("/metrics").text
    )


def failed_rows(service: Service) -> float:
    """As counted by all workers."""
    (line,) = [
        each
        for each in service.http.get("/metrics").text.splitlines()
        if each.startswith('predictor_shadow_rows_total{outcome="failed"}')
    ]
    return float(line.rpartition(" ")[2])


def test_a_process_that_is_stopped_or_killed(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """By two workers: while it is stopped, every request is answered; it is replaced, and compares again."""
    registry = regressors(mlflow_server.url, regressor())
    settings = {"PREDICTOR_WORKERS": "2", "PREDICTOR_INFERENCE_SECONDS": "1"}
    service = comparing(serve, registry, **settings)
    first = process_of(service)
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    wait_until(
        lambda: (
            ask(service, *[(1.0, 2.0)] * 20) is None and process_of(service) not in {first, None}
        ),
        "another process was started",
        FAR,
    )
    assert [line["event"] for line in service.log_lines()].count("shadow_hung") == 1
    until_shadow(service, state="comparing")
    second = process_of(service)
    assert second is not None
    os.kill(second, signal.SIGKILL)
    wait_until(
        lambda: (
            ask(service, *[(3.0, 2.0)] * 20) is None and process_of(service) not in {second, None}
        ),
        "another process was started",
        FAR,
    )
    until_shadow(service, state="comparing")
    before = shadow(service)["rows"]
    wait_until(
        lambda: ask(service, (3.0, 2.0)) is None and shadow(service)["rows"] > before,
        "rows are compared again",
        FAR,
    )
    reasons = [line["reason"] for line in service.log_lines() if line["event"] == "shadow_ended"]
    assert reasons == [
        "it did not respond, and was killed", "it was killed by signal SIGKILL",
    ]  # fmt: skip
    assert "predictor_shadow_restarts_total 2.0" in service.http.get("/metrics").text


def test_the_process_ends_with_the_service(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """Also if it is stopped and the service is killed; its socket is private."""
    registry = regressors(mlflow_server.url, regressor())
    service = comparing(serve, registry)
    (path,) = service.child.log.parent.rglob("*.sock")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    process = process_of(service)
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    os.kill(service.child.process.pid, signal.SIGKILL)
    service.child.process.wait(60)
    wait_until(lambda: not runs(process), "the process of the shadow has ended", FAR)


def runs(pid: int) -> bool:
    """Whether a process has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_record_has_the_answers_of_the_shadow(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row by row; and none for rows before it compared."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # it has pyarrow
    registry.stage("1", "Production")
    settings = {
        "PREDICTOR_RECORD_URI": str(tmp_path / "records"),
        "PREDICTOR_WORKERS": "2",
        **following(registry, "/Staging"),
    }
    service = serve(registry, **settings)
    service.until_serving("1")
    records = between(20)
    service.http.post("/predict", json=records[0], headers={"x-request-id": "before"})
    registry.stage("2", "Staging")
    until_shadow(service, state="comparing", model_version="2")
    wait_until(lambda: compares_everywhere(service), "both workers compare", FAR)
    for number, record in enumerate(records):
        service.http.post("/predict", json=record, headers={"x-request-id": f"{number:02}"})
    service.http.post(
        "/predict/batch", json={"instances": records}, headers={"x-request-id": "batch"}
    )
    until_shadow(service, rows=2 * len(records))
    service.child.process.terminate()
    service.child.process.wait(60)
    table = recorded(tmp_path / "records")
    assert table.loc["before"][SHADOW].isna().all()
    two = registry.reference("2")
    for number, record in enumerate(records):
        expected = two.probabilities(record)
        for name in (f"{number:02}", f"batch#{number}"):
            row = table.loc[name]
            assert row["shadow_version"] == "2"
            assert row["shadow_digest"].startswith("sha256:")
            assert row["shadow_prediction"] == label(expected)
            assert row["shadow_probability"] == pytest.approx(max(expected.values()), abs=1e-6)


SHADOW = ["shadow_version", "shadow_digest", "shadow_prediction", "shadow_probability"]


def compares_everywhere(service: Service) -> bool:
    """Whether each of two workers has said that it compares."""
    changed = [line for line in service.log_lines() if line["event"] == "shadow_changed"]
    return {line["worker"] for line in changed if line["state"] == "comparing"} == {0, 1}


def recorded(folder: Path) -> pd.DataFrame:
    """All records, by their ids."""
    tables = [pd.read_parquet(path) for path in folder.rglob("*.parquet")]
    return pd.concat(tables).set_index("id")


def test_versions_that_cannot_be_compared(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """The state says why; so it does where the same version serves, or none is named."""
    registry = regressors(mlflow_server.url, regressor(width=3))
    service = serve(registry, **following(registry, "/Staging"))
    service.until_serving("1")
    told = until_shadow(service, state="failed")
    assert "it has 'feature_2' as well" in told["reason"]
    assert told["compared_with"] is None
    ask(service, (1.0, 2.0))
    registry.stage("2", "None")
    told = until_shadow(service, state="waiting", model_version=None)
    assert "Staging" in told["reason"]
    registry.client.set_registered_model_alias(registry.name, "same", "1")
    other = serve(registry, "other", **following(registry, "@same"))
    other.until_serving("1")
    told = until_shadow(other, state="waiting", model_version="1")
    assert told["reason"] == "it is the version that answers requests"


def test_without_a_shadow_there_is_none(
    mlflow_server: Server, serve: Callable[..., Service]
) -> None:
    """Neither a process, nor series, nor a member of `/model`."""
    registry = publish(mlflow_server.url, "alone", onnx.load_from_string(regressor()))
    service = serve(registry)
    service.until_serving("1")
    assert service.http.get("/model").json()["shadow"] is None
    assert process_of(service) is None
    series = [
        line
        for line in service.http.get("/metrics").text.splitlines()
        if line.startswith("predictor_shadow")
    ]
    assert series == []
