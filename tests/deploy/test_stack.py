"""The command of each service of deploy/compose.yaml runs, for real, and together they do their job."""

import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from demo.processes import Child, spawn
from deploy import stack_secrets
from tests.deploy.stack import PORTS, Database, Stack
from tests.end_to_end.parts import wait_until
from tests.required import development_program, program
from trainer.candidates import CATALOGUE

pytestmark = pytest.mark.whole


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack with secrets of its own, in a folder that PostgreSQL's user may reach, too."""
    # The service looks of itself once an hour: what it hears before, it hears by MLflow's webhook.
    with tempfile.TemporaryDirectory(prefix="stack-") as folder:
        Path(folder).chmod(0o755)
        stack = Stack(Path(folder), {"PREDICTOR_POLL_SECONDS": "3600"})
        stack_secrets.make(stack.secrets)
        yield stack


@pytest.mark.timeout(600)
def test_the_whole_stack_as_processes(stack: Stack) -> None:
    """Up in its order, then: predict with a key, promote, roll back, and watch it in Prometheus."""
    program("wget"), program("prometheus"), program("nginx"), program("curl")
    with ExitStack() as ending:
        database, _ = _database(stack, ending), _up(stack, ending, "mlflow")
        _up(stack, ending, "gateway")
        predictor = _up(stack, ending, "predictor")
        _nobody_gets_in_without_a_key(stack)
        began = stack.run("trainer")
        assert began.returncode == 0, began.stdout + began.stderr
        first = _champion(stack)
        assert database.ask("select count(*) from model_versions") == str(len(CATALOGUE))
        _only_its_names_reach_mlflow(stack)
        settings = stack.copied("./prometheus", "prometheus", "prometheus.yml") / "prometheus.yml"
        # How often Prometheus looks is how long the test would wait for it.
        settings.write_text(re.sub(r"(?<=_interval: )\d+s", "1s", settings.read_text()))
        _up(stack, ending, "prometheus")
        _until_watched(stack, first)

        other = "1" if first != "1" else "2"
        _trainer(
            stack, "promote", other, "--to", "Production", "--force", "--reason", "to watch it"
        )
        second = _champion(stack)
        assert second != first
        _until_watched(stack, second)
        _trainer(stack, "rollback", "--reason", "seen enough")
        assert _champion(stack) == first
        _until_watched(stack, first)
        # Started again, it neither trains nor promotes.
        again = stack.run("trainer")
        assert (again.returncode, f"serving: version {first}" in again.stdout) == (0, True), again
        predictor.process.send_signal(signal.SIGTERM)
        assert predictor.process.wait(30) == 0


@pytest.mark.timeout(300)
def test_replicas_and_the_trainer_use_its_nats(stack: Stack, tmp_path: Path) -> None:
    """With the credentials that were made, and no others: a status is written, and `trainer fleet` shows it."""
    program("wget"), development_program("nats-server")
    file = stack.secrets / "nats_credentials"
    stack.changed = {"PREDICTOR_NATS_URL": f"nats://127.0.0.1:{stack.ports[PORTS['nats']]}"}
    with ExitStack() as ending:
        _up(stack, ending, "nats")
        settings = {**stack.settings("predictor"), "PREDICTOR_CACHE_DIR": str(tmp_path)}
        command = [sys.executable, *stack.command("predictor")[1:]]  # it has nats-py
        predictor = spawn(command, stack.url("predictor"), tmp_path / "log", settings)
        ending.callback(predictor.stop)

        def shown() -> bool:
            found = stack.run("trainer", "fleet", "--json")
            return "models:/breast-cancer/Production" in found.stdout

        wait_until(shown, "the replica has reported", 120)
        user, _, _ = file.read_text().partition(":")
        file.write_text(f"{user}:another")
        refused = stack.run("trainer", "fleet")
        assert (refused.returncode, "Authorization Violation" in refused.stderr) == (1, True)


def _up(stack: Stack, ending: ExitStack, service: str) -> Child:
    assert stack.check(service).returncode != 0, "nothing is there to be healthy"
    child = stack.start(service)
    ending.callback(child.stop)
    stack.until_healthy(service, child)
    return child


def _database(stack: Stack, ending: ExitStack) -> Database:
    database = Database(stack)
    database.make()
    child = database.start()
    ending.callback(child.stop)
    stack.until_healthy("postgres", child)
    database.ask("create database mlflow", database="postgres")
    return database


def _nobody_gets_in_without_a_key(stack: Stack) -> None:
    with httpx.Client(base_url=stack.url("predictor"), timeout=20) as http:
        assert http.post("/predict", json={}).status_code == 401
        assert http.get("/metrics").status_code == 401
        assert http.get("/metrics", headers=stack.key("api_key")).status_code == 401
        assert http.get("/metrics", headers=stack.key("operations_key")).status_code == 200
        # Right key, and nothing that may serve yet.
        assert http.post("/predict", json={}, headers=stack.key("api_key")).status_code == 503


def _champion(stack: Stack) -> str:
    """The version that MLflow says is in Production, once it answers a prediction."""
    (found,) = _registry(stack, stages="Production").json()["model_versions"][:1]
    version = str(found["version"])
    with httpx.Client(base_url=stack.url("predictor"), timeout=20) as http:

        def answers() -> bool:
            schemas = http.get("/openapi.json").json()["components"]["schemas"]
            record = schemas["Record"].get("example")
            answer = http.post("/predict", json=record, headers=stack.key("api_key"))
            return answer.status_code == 200 and answer.json()["model_version"] == version

        wait_until(answers, f"version {version} answers")
    return version


def _registry(stack: Stack, host: str = "localhost:5000", **asked: str) -> httpx.Response:
    url = f"{stack.url('mlflow')}/api/2.0/mlflow/registered-models/get-latest-versions"
    return httpx.get(
        url, params={"name": "breast-cancer", **asked}, headers={"Host": host}, timeout=20
    )


def _only_its_names_reach_mlflow(stack: Stack) -> None:
    """By the name that the other services use, and by this machine's; a page elsewhere gets nowhere."""
    assert _registry(stack, host="mlflow:5000").status_code == 200
    assert _registry(stack, host="evil.example").status_code == 403


def _trainer(stack: Stack, *arguments: str) -> None:
    done = stack.run("trainer", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def _until_watched(stack: Stack, version: str) -> None:
    """Prometheus scrapes with the operations key, and its rules are in force."""

    def value(query: str) -> list[str]:
        found = httpx.get(f"{stack.url('prometheus')}/api/v1/query", params={"query": query})
        return [each["value"][1] for each in found.json()["data"]["result"]]

    wait_until(lambda: value("predictor_model_version") == [version], f"{version} is watched", 60)
    assert value("up") == ["1"]
    rules = httpx.get(f"{stack.url('prometheus')}/api/v1/rules").json()["data"]["groups"]
    assert rules
