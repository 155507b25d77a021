"""The registry is down: clients notice nothing, and a restart serves what was last verified."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from demo.processes import Child, free_port, running, start_mlflow
from tests.end_to_end.parts import MODEL, Registry, Service, register_again, trainer, wait_until


@pytest.fixture
def own_server(own_trained_folder: Path) -> Iterator[Child]:
    """A server with the trained versions that this test may stop."""
    with running(start_mlflow(own_trained_folder, free_port())) as server:
        yield server


def test_a_stopped_registry_changes_nothing_and_a_restart_serves_the_last_verified_version(
    own_server: Child, serve: Callable[..., Service]
) -> None:
    """Answers go on, staleness is told; a predictor that starts meanwhile serves from its cache."""
    registry = register_again(own_server.url)
    registry.stage("1", "Production")
    service = serve(registry)
    service.until_serving("1")
    record = service.example()
    before = service.predict(record)

    own_server.stop()
    wait_until(lambda: not _registry(service)["reachable"], "the registry is seen to be down")
    assert service.predict(record) == before
    assert _registry(service)["last_answer_age_seconds"] > 0
    assert service.http.get("/ready").status_code == 200
    assert service.child.stop() == 0

    restarted = serve(registry)
    restarted.until_serving("1")
    assert restarted.predict(record) == before
    assert _registry(restarted)["last_answer_at"] is None
    assert 'predictor_swaps_total{reason="restored"} 1.0' in restarted.http.get("/metrics").text
    swaps = [line for line in restarted.log_lines() if line["event"] == "swapped"]
    assert [swap["reason"] for swap in swaps] == ["promoted", "restored"]


def test_a_demoted_version_is_not_brought_back_by_a_restart_without_the_registry(
    own_server: Child, serve: Callable[..., Service]
) -> None:
    """The registry's last word was that none may serve."""
    registry = register_again(own_server.url)
    registry.stage("1", "Production")
    service = serve(registry)
    service.until_serving("1")
    registry.stage("1", "Archived")
    service.until_serving(None)
    own_server.stop()
    service.child.stop()

    restarted = serve(registry)
    wait_until(lambda: bool(_registry(restarted)["fault"]), "the registry was asked in vain")
    response = restarted.http.get("/ready")
    assert response.status_code == 503
    assert "has not said which version may serve" in response.json()["detail"]


def test_a_predictor_that_starts_first_serves_as_soon_as_the_registry_is_there(
    own_trained_folder: Path, serve: Callable[..., Service]
) -> None:
    """No registry and an empty cache: alive, not ready, and it says why."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    service = serve(Registry(url, MODEL, MlflowClient(url)))
    assert service.http.get("/health").status_code == 200
    wait_until(lambda: bool(_registry(service)["fault"]), "the registry was asked in vain")
    assert service.http.get("/ready").status_code == 503
    with running(start_mlflow(own_trained_folder, port)):
        trainer(url, "promote", "1", "--to", "Production")
        service.until_serving("1")
        service.predict(service.example())


def _registry(service: Service) -> dict[str, Any]:
    return dict(service.http.get("/model").json()["registry"])
