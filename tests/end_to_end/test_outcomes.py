"""Outcomes reported to a real service: the report equals scikit-learn on what clients got, and no outcome is lost."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pytest
from mlflow.artifacts import list_artifacts
from sklearn import metrics

from tests.end_to_end.parts import Registry, Service, command, wait_until
from tests.end_to_end.test_recording import Clients, descendants
from trainer.data import POSITIVE, load
from trainer.registry import register

pytestmark = pytest.mark.whole

Answers = dict[str, tuple[str, float]]
"""What clients got, by id: the prediction, and the probability of the positive class."""


@pytest.fixture
def own_runs(registry: Registry) -> Registry:
    """The same two versions, each with a run that only this test has."""
    client, name = registry.client, f"{registry.name}-own"
    for version in sorted(client.search_model_versions(f"name = '{registry.name}'"), key=_number)[
        :2
    ]:
        run = client.create_run("0", run_name=f"outcomes of {version.version}")
        client.set_terminated(run.info.run_id)
        register(
            client, model_name=name, run_id=run.info.run_id, source=version.source, description="",
            tags=version.tags,
        )  # fmt: skip
    return Registry(registry.url, name, client)


def _number(version: Any) -> int:
    return int(version.version)


def ask(service: Service, prefix: str) -> tuple[Answers, dict[str, str]]:
    """Predict all rows, some in batches; return the answers and the truth, both by id."""
    rows, truth = load(), {}
    records, answers = rows.features.to_dict("records"), Answers()
    actual = [str(each) for each in rows.target]

    def take(id_: str, answer: dict[str, Any], number: int) -> None:
        answers[id_] = (answer["prediction"], answer["probabilities"][POSITIVE])
        truth[id_] = actual[number]

    for number, each in enumerate(records[:60]):
        id_ = f"{prefix}-{number}"
        response = service.http.post("/predict", json=each, headers={"x-request-id": id_})
        take(id_, response.json(), number)
    for start in range(60, len(records), 100):
        batch = records[start : start + 100]
        id_ = f"{prefix}-batch-{start}"
        response = service.http.post(
            "/predict/batch", json={"instances": batch}, headers={"x-request-id": id_}
        )
        for row, answer in enumerate(response.json()["predictions"]):
            take(f"{id_}#{row}", answer, start + row)
    return answers, truth


def send(service: Service, outcomes: list[dict[str, str]]) -> None:
    response = service.http.post("/outcomes", json={"outcomes": outcomes})
    assert response.status_code == 202, response.text
    assert response.json() == {"accepted": len(outcomes)}


def test_the_report_equals_scikit_learn_on_what_clients_got(
    own_runs: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two versions, a part of the outcomes, repetitions, contradictions and unknown ids; then MLflow has it, too."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)  # it has pyarrow
    folder = tmp_path / "records"
    own_runs.stage("1", "Production")
    service = serve(own_runs, PREDICTOR_RECORD_URI=str(folder), PREDICTOR_RECORD_SECONDS="0.5")
    service.until_serving("1")
    found = {"1": ask(service, "one")}
    own_runs.stage("1", "Archived")
    own_runs.stage("2", "Production")
    service.until_serving("2")
    found["2"] = ask(service, "two")
    reported: dict[str, dict[str, str]] = {}
    for version, (_, truth) in found.items():
        told = {id_: label for number, (id_, label) in enumerate(truth.items()) if number % 4}
        flipped = {id_: "benign" if label == POSITIVE else POSITIVE for id_, label in told.items()}
        wrong_first = dict([*flipped.items()][:5])
        send(service, [{"id": i, "outcome": o, "at": "2026-11-29T10:00:00Z"} for i, o in wrong_first.items()])  # fmt: skip
        by_file = dict([*told.items()][-40:])
        send(service, [{"id": i, "outcome": o} for i, o in told.items() if i not in by_file])
        (tmp_path / f"{version}.csv").write_text(
            "id,outcome\n" + "".join(f"{i},{o}\n" for i, o in by_file.items())
        )
        reported[version] = told
    send(service, [{"id": i, "outcome": o} for i, o in [*reported["1"].items()][:7]])
    send(service, [{"id": f"nobody-{number}", "outcome": POSITIVE} for number in range(3)])
    os.kill(service.child.process.pid, signal.SIGTERM)
    service.child.process.wait(60)
    for version in found:
        for _ in range(2):
            command(
                own_runs.url, "outcomes", "import", str(tmp_path / f"{version}.csv"), str(folder)
            )
    said = command(own_runs.url, "outcomes", "report", str(folder), "--json", "--log")
    report = json.loads(said)
    told_rows = sum(map(len, reported.values()))
    counts = report["outcomes"]
    assert counts["ids"] == told_rows + 3
    assert counts["reported"] == told_rows + 3 + 10 + 7
    assert (counts["contradictory"], counts["repeated"], counts["unknown"]) == (10, 7, 3)
    assert counts["ambiguous_ids"] == 0
    for group in report["groups"]:
        answers, truth = found[group["model_version"]]
        _compare(group, answers, reported[group["model_version"]])
        assert (group["predictions"], group["positive"]) == (len(truth), POSITIVE)
    _compare_mlflow(own_runs, report)
    again = command(own_runs.url, "outcomes", "report", str(folder), "--log")
    assert again.count("metrics and the folder realised to run") == 2
    _compare_mlflow(own_runs, report)


def _compare(group: dict[str, Any], answers: Answers, told: dict[str, str]) -> None:
    """As scikit-learn has it, from the responses alone."""
    actual = np.array([label == POSITIVE for label in told.values()])
    called = np.array([answers[id_][0] == POSITIVE for id_ in told])
    probability = np.array([answers[id_][1] for id_ in told])
    expected = {
        "sensitivity": metrics.recall_score(actual, called),
        "specificity": metrics.recall_score(actual, called, pos_label=False),
        "roc_auc": metrics.roc_auc_score(actual, probability),
        "brier_score": metrics.brier_score_loss(actual, probability),
    }
    found = group["metrics"]
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert all(found[name]["low"] <= expected[name] <= found[name]["high"] for name in expected)
    assert group["outcomes"] == len(told)
    shares = [each["positive"] for each in group["calibration"]]
    assert sum(shares) == actual.sum()


def _compare_mlflow(registry: Registry, report: dict[str, Any]) -> None:
    for group in report["groups"]:
        run = registry.client.get_run(group["run_id"])
        for name in ("sensitivity", "roc_auc", "brier_score"):
            assert run.data.metrics[f"realised_{name}"] == group["metrics"][name]["value"]
            assert run.data.metrics[f"realised_{name}_low"] == group["metrics"][name]["low"]
        assert run.data.metrics["realised_outcomes"] == group["outcomes"]
        files = list_artifacts(
            run_id=group["run_id"], artifact_path="realised", tracking_uri=registry.url
        )
        assert {each.path for each in files} == {
            f"realised/{name}" for name in (
                "report.json", "roc_curve.png", "calibration_curve.png", "confusion_matrix.png",
                "precision_recall_curve.png", "over_time.png",
            )
        }  # fmt: skip


def send_one(client: httpx.Client, name: str) -> httpx.Response:
    return client.post("/outcomes", json={"id": name, "outcome": POSITIVE})


def test_killed_processes_lose_no_outcome(
    registry: Registry,
    serve: Callable[..., Service],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers and the writer, by SIGKILL, under load: every accepted outcome is there, once."""
    monkeypatch.setenv("SERVICE_PYTHON", sys.executable)
    registry.stage("1", "Production")
    service = serve(
        registry,
        PREDICTOR_WORKERS="2",
        PREDICTOR_RECORD_URI=str(tmp_path / "records"),
        PREDICTOR_RECORD_SECONDS="0.5",
    )
    service.until_serving("1")
    pid = service.child.process.pid

    def processes(part: str) -> list[int]:
        return [each for each, command in descendants(pid).items() if part in command]

    with Clients(service.child.url, send_one) as clients:
        for part in ("predictor.recording.writer", "predictor.workers.worker") * 2:
            wait_until(lambda: processes(part), f"{part} runs")  # noqa: B023
            before = len(clients.accepted)
            wait_until(lambda: len(clients.accepted) > before + 30, "outcomes come")  # noqa: B023
            os.kill(processes(part)[0], signal.SIGKILL)
        before = len(clients.accepted)
        wait_until(lambda: len(clients.accepted) > before + 30, "outcomes come again")
    os.kill(pid, signal.SIGTERM)
    service.child.process.wait(60)
    files = [str(each) for each in (tmp_path / "records" / "_outcomes").rglob("*.parquet")]
    rows = duckdb.sql(f"select id from read_parquet({files})").fetchall()
    found = [id_ for (id_,) in rows]
    assert clients.accepted - {*found} == set()
    assert len(found) == len({*found})
