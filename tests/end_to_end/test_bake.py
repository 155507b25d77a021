"""A promotion that has to prove itself: it stays, or rolls back by itself, on a real service and registry."""

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import mlflow
import pytest
from mlflow import MlflowClient

from tests.end_to_end.parts import Registry, Service, trainer
from tests.predictor.graphs import regressor
from tests.shared import Server

pytestmark = pytest.mark.whole

RECORDS = [{"feature_0": value, "feature_1": 0.0} for value in (1.0, 2.0, 3.0, -1.0)]


@contextmanager
def traffic(service: Service) -> Iterator[None]:
    """A client that asks without pause."""
    end = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.http.base_url, timeout=20) as client:
            for record in itertools.cycle(RECORDS):
                if end.wait(0.01):
                    return
                client.post("/predict", json=record)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.fixture
def registry(mlflow_server: Server) -> Registry:
    """Version 1 answers every record, version 2 has no finite answer for some, version 3 does what 1 does."""
    name = f"baked-{uuid.uuid4().hex[:8]}"
    mlflow.set_tracking_uri(mlflow_server.url)
    for op in ("Neg", "Log", "Neg"):
        with mlflow.start_run():
            mlflow.onnx.log_model(
                regressor(op=op), name="model", registered_model_name=name,
                pip_requirements=[], await_registration_for=None,
            )  # fmt: skip
    found = Registry(mlflow_server.url, name, MlflowClient(mlflow_server.url))
    found.stage("1", "Production")
    return found


def test_a_version_stays_or_is_rolled_back_by_itself(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """For answers that are not finite; the history has the reason. Nobody had to look."""
    service = serve(registry)
    service.until_serving("1")
    promote = ("--to", "Production", "--model", registry.name, "--service", service.child.url,
               "--force", "--reason", "try", "--who", "ops@night")  # fmt: skip

    with traffic(service):
        bad = trainer(registry.url, "promote", "2", *promote, "--bake", "60s", check=False)
        assert bad.returncode == 1, bad.stdout + bad.stderr
        assert "rows had no finite answer" in bad.stderr
        assert f"rolled back: version 1 of {registry.name} serves again" in bad.stdout
        service.until_serving("1")

        good = trainer(registry.url, "promote", "3", *promote, "--bake", "4s")
        assert "bake: version 3 stays, after" in good.stdout
        assert service.serving() == "3"

    history = trainer(registry.url, "history", "2", "--model", registry.name).stdout
    assert "bake:" in history.replace("\n", " ")
    tags = registry.client.get_model_version(registry.name, "2").tags
    entries = [value for key, value in sorted(tags.items()) if "transition" in key]
    assert "had no finite answer" in entries[-1]


def test_nothing_is_promoted_if_nobody_can_watch(registry: Registry) -> None:
    """The service cannot be reached, or there is nothing to roll back to."""
    promote = ("promote", "3", "--to", "Production", "--model", registry.name,
               "--force", "--reason", "try")  # fmt: skip
    lost = trainer(
        registry.url, *promote, "--bake", "4s", "--service", "http://127.0.0.1:9", check=False
    )
    assert lost.returncode == 1
    assert "http://127.0.0.1:9 does not tell its state" in lost.stderr
    registry.stage("1", "Archived")
    first = trainer(registry.url, *promote, "--bake", "4s", check=False)
    assert "none is in Production" in first.stderr
    assert registry.client.get_model_version(registry.name, "3").current_stage == "None"
