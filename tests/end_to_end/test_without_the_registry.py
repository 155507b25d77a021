"""The registry is down: clients notice nothing, and a restart serves what was last verified.

Between a real server and three predictors stands a proxy, which starts and ends as the server would: one
predictor starts before it, one serves when it ends, and one had to stop serving before.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from demo.processes import free_port
from tests.end_to_end.parts import (
    Registry,
    Service,
    register_again,
    starter,
    wait_until,
)
from tests.faults.parts import Proxy
from tests.shared import Server

Start = Callable[..., Service]


@dataclass(frozen=True)
class Early:
    """A predictor that started before its registry, and what it said then."""

    service: Service
    registry: Registry
    health: httpx.Response
    ready: httpx.Response


@dataclass(frozen=True)
class Left:
    """A predictor that outlived its registry, what it followed, and what it answered before."""

    service: Service
    registry: Registry
    record: dict[str, Any]
    answer: dict[str, Any]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as stack:
        yield starter(stack, tmp_path_factory.mktemp("predictors"))


@pytest.fixture(scope="module")
def proxy(trained: Server) -> Proxy:
    """It does not listen yet."""
    return Proxy(int(trained.url.rpartition(":")[2]), free_port())


@pytest.fixture(scope="module")
def new_registry(trained: Server, proxy: Proxy) -> Callable[[], Registry]:
    """Registers the trained versions under a new name, which predictors reach through the proxy."""
    return lambda: replace(register_again(trained.url), url=proxy.url)


@pytest.fixture(scope="module")
def early(start: Start, new_registry: Callable[[], Registry]) -> Early:
    """No registry, and an empty cache."""
    registry = new_registry()
    service = start(registry, "early")
    wait_until(lambda: bool(_registry(service)["fault"]), "the registry was asked in vain")
    return Early(service, registry, service.http.get("/health"), service.http.get("/ready"))


@pytest.fixture(scope="module")
def server(early: Early, proxy: Proxy) -> Iterator[ExitStack]:
    """The server that the early one waited for; it is down when the stack is closed."""
    with ExitStack() as stack:
        stack.enter_context(proxy)
        early.registry.stage("1", "Production")
        early.service.until_serving("1")
        yield stack


@pytest.fixture(scope="module")
def withdrawn(
    server: ExitStack,
    new_registry: Callable[[], Registry],
    start: Start,
) -> Left:
    """Its version was demoted before the server stopped."""
    registry = new_registry()
    registry.stage("1", "Production")
    service = start(registry, "withdrawn")
    service.until_serving("1")
    record = service.example()
    answer = service.predict(record)
    registry.stage("1", "Archived")
    service.until_serving(None)
    return Left(service, registry, record, answer)


@pytest.fixture(scope="module")
def left(
    server: ExitStack, new_registry: Callable[[], Registry], withdrawn: Left, start: Start
) -> Left:
    """It serves; then the server stops, for good."""
    registry = new_registry()
    registry.stage("1", "Production")
    service = start(registry, "left")
    service.until_serving("1")
    record = service.example()
    answer = service.predict(record)
    server.close()
    for each in (service, withdrawn.service):
        wait_until(lambda each=each: not _registry(each)["reachable"], "the registry is down")
    return Left(service, registry, record, answer)


@pytest.mark.whole
@pytest.mark.usefixtures("server")
def test_a_predictor_that_starts_first_serves_as_soon_as_the_registry_is_there(
    early: Early,
) -> None:
    """No registry and an empty cache: alive, not ready, and it says why."""
    assert early.health.status_code == 200
    assert early.ready.status_code == 503
    assert "has not said which version may serve" in early.ready.json()["detail"]
    early.service.predict(early.service.example())


def test_a_stopped_registry_changes_nothing_and_a_restart_serves_the_last_verified_version(
    left: Left, start: Start
) -> None:
    """Answers go on, staleness is told; a predictor that starts meanwhile serves from its cache."""
    assert left.service.predict(left.record) == left.answer
    assert _registry(left.service)["last_answer_age_seconds"] > 0
    assert left.service.http.get("/ready").status_code == 200
    assert left.service.child.stop() == 0

    restarted = start(left.registry, "left")
    restarted.until_serving("1")
    assert restarted.predict(left.record) == left.answer
    assert _registry(restarted)["last_answer_at"] is None
    assert 'predictor_swaps_total{reason="restored"} 1.0' in restarted.http.get("/metrics").text
    swaps = [line for line in restarted.log_lines() if line["event"] == "swapped"]
    assert [swap["reason"] for swap in swaps] == ["promoted", "restored"]


@pytest.mark.usefixtures("left")
def test_a_demoted_version_is_not_brought_back_by_a_restart_without_the_registry(
    withdrawn: Left, start: Start
) -> None:
    """The registry's last word was that none may serve."""
    withdrawn.service.child.stop()
    restarted = start(withdrawn.registry, "withdrawn")
    wait_until(lambda: bool(_registry(restarted)["fault"]), "the registry was asked in vain")
    response = restarted.http.get("/ready")
    assert response.status_code == 503
    assert "has not said which version may serve" in response.json()["detail"]


def _registry(service: Service) -> dict[str, Any]:
    return dict(service.http.get("/model").json()["registry"])
