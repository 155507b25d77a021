"""The predictor beside the real `mlflow models serve`, both with the same version: what each answers."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from demo.processes import free_port, running, spawn
from tests.end_to_end.parts import Service, register_again, starter
from tests.end_to_end.scoring_table import CSV, Case, table
from tests.shared import Server

pytestmark = pytest.mark.whole


@dataclass(frozen=True)
class Beside:
    """Clients of both, and what the version takes."""

    mlflow: httpx.Client
    predictor: Service
    names: list[str]
    rows: list[list[float]]


@pytest.fixture(scope="module")
def beside(trained: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """Both with the boosted trees, the one candidate that answers on a missing value."""
    registry = register_again(trained.url)
    version = registry.versions()["hist_gradient_boosting"]
    registry.stage(version, "Production")
    folder, port = tmp_path_factory.mktemp("scoring"), free_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local",
        "-m", f"models:/{registry.name}/{version}", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    programs = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it looks for uvicorn
    )
    env = {"MLFLOW_TRACKING_URI": trained.url, "MLFLOW_MODELS_WORKERS": "1", "PATH": programs}
    server = spawn(command, f"http://127.0.0.1:{port}", folder / "serve.log", env)
    with ExitStack() as stack:
        predictor = starter(stack, folder)(registry)
        stack.enter_context(running(server, "/ping"))
        predictor.until_serving(version)
        record = predictor.example()
        row = [*record.values()]
        rows = [row, [value * 1.5 for value in row]]
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=30))
        yield Beside(client, predictor, [*record], rows)


def ask(client: httpx.Client, case: Case) -> httpx.Response:
    # MLflow's server closes a connection on which it failed, without a word of it.
    headers = {"connection": "close"} | (
        {"content-type": case.type} if case.type is not None else {}
    )
    return client.post("/invocations", content=case.body, headers=headers)


def check_same(theirs: httpx.Response, ours: httpx.Response) -> None:
    assert ours.status_code == theirs.status_code
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    if theirs.status_code == 200:
        assert ours.json() == theirs.json()
    elif theirs.status_code != 415:  # which is plain text
        for key in ("error_code", "sqlstate", "error_class"):
            assert ours.json()[key] == theirs.json()[key]
        assert ours.json()["message"]


def test_the_responses_and_errors_are_those_of_mlflow(beside: Beside) -> None:
    """Form by form; where the two differ, both sides are pinned, and why."""
    faults, kinds = [], Counter()
    for case in table(beside.names, beside.rows):
        theirs, ours = ask(beside.mlflow, case), ask(beside.predictor.http, case)
        kinds[case.compared] += 1
        try:
            if case.compared == "same":
                check_same(theirs, ours)
            else:
                assert case.why
                assert (theirs.status_code, ours.status_code) == (case.theirs, case.ours)
        except AssertionError as error:
            faults.append(f"{case.name}: {error}\n  {theirs.text[-300:]}\n  {ours.text[:300]}")
    assert not faults, "\n".join(faults)
    print(f"\n{kinds.total()} requests to both: {dict(kinds)}")
    assert kinds["same"] >= 100


def test_ping_and_version(beside: Beside) -> None:
    for path in ("/ping", "/version"):
        theirs, ours = beside.mlflow.get(path), beside.predictor.http.get(path)
        assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text) != (200, "")
        assert ours.headers["content-type"] == "text/plain; charset=utf-8"  # it is no JSON


def test_as_sagemaker_calls_a_container(beside: Beside) -> None:
    """`GET /ping` until 200, then `POST /invocations` with a header of CSV, which MLflow needs."""
    http = beside.predictor.http
    assert http.get("/ping").status_code == 200
    lines = [",".join(map(str, each)) for each in [beside.names, *beside.rows]]
    headers = {
        "content-type": CSV,
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "a",
    }
    answer = http.post("/invocations", content="\n".join(lines), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["x-model-version"] == beside.predictor.serving()
    expected = [
        beside.predictor.predict(dict(zip(beside.names, row, strict=True)))["prediction"]
        for row in beside.rows
    ]
    assert answer.json() == {"predictions": expected}
