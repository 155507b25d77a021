"""The main job: promote and it serves, demote and the one before is back, nothing is lost."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.end_to_end.parts import Registry, Service, command
from trainer.data import load, split

# Rows of one tick run together, and ONNX Runtime's linear classifier adds in another order for
# several rows than for one: two units in the last place of a float32 below 1.
ONE_ROW_OR_MANY = 2 * 2.0**-24


def test_the_whole_journey_with_our_commands(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """Train, promote, predict, promote another, see the swap, demote, see the rollback."""
    model = ("--model", registry.name)
    linear, boosted = (
        registry.versions()[c] for c in ("logistic_regression", "hist_gradient_boosting")
    )
    command(registry.url, "promote", linear, "--to", "Production", *model)
    service = serve(registry)
    service.until_serving(linear)
    record = service.example()
    first = service.predict(record)
    assert (first["model_name"], first["model_version"]) == (registry.name, linear)

    forced = ("--force", "--reason", "a test wants to see a swap")
    command(registry.url, "promote", boosted, "--to", "Production", *forced, *model)
    service.until_serving(boosted)
    second = service.predict(record)
    assert second["model_version"] == boosted
    assert second["probabilities"] != first["probabilities"]

    command(registry.url, "demote", boosted, *model)
    service.until_serving(linear)
    assert service.predict(record) == first


def test_an_older_version_is_promoted_and_rolled_back_with_our_commands(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """MLflow names the highest number in Production; a lower one still gets to serve, and back."""
    model = ("--model", registry.name)
    registry.stage("3", "Production")
    service = serve(registry)
    service.until_serving("3")
    files_of_1_again = str(len(registry.versions()) + 1)
    forced = ("--force", "--reason", "the older one again")
    command(registry.url, "promote", "1", "--to", "Production", *forced, *model)
    service.until_serving(files_of_1_again)
    record = service.example()
    expected = registry.reference("1").probabilities(record)
    assert service.predict(record)["probabilities"] == pytest.approx(expected, abs=ONE_ROW_OR_MANY)
    command(registry.url, "rollback", *model)
    service.until_serving("3")


def test_demoting_with_mlflows_own_client_rolls_back_and_the_last_one_stops_the_service(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """Without our tools: the version before is back; after the last there is 503 with the reason."""
    registry.stage("1", "Production")
    registry.stage("2", "Production")
    service = serve(registry)
    service.until_serving("2")
    record = service.example()
    registry.stage("2", "Archived")
    service.until_serving("1")
    assert service.http.get("/ready").status_code == 200

    registry.stage("1", "None")
    service.until_serving(None)
    for response in (service.http.get("/ready"), service.http.post("/predict", json=record)):
        assert response.status_code == 503
        assert "names no version" in response.json()["detail"]
        assert int(response.headers["Retry-After"]) > 0
    assert service.http.get("/health").status_code == 200
    gauge = f'predictor_model_version{{model_name="{registry.name}"}} 0.0'
    assert gauge in service.http.get("/metrics").text


def test_an_alias_is_followed_and_its_deletion_stops_the_service(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """With `models:/NAME@alias`, nothing reads stages."""
    registry.stage("3", "Production")
    registry.client.set_registered_model_alias(registry.name, "production", "2")
    service = serve(registry, PREDICTOR_MODEL_URI=f"models:/{registry.name}@production")
    service.until_serving("2")
    registry.client.set_registered_model_alias(registry.name, "production", "1")
    service.until_serving("1")
    registry.client.delete_registered_model_alias(registry.name, "production")
    service.until_serving(None)


@pytest.mark.whole
def test_a_pinned_version_serves_whatever_is_promoted(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """`models:/NAME/2` is version 2."""
    registry.stage("3", "Production")
    service = serve(registry, PREDICTOR_MODEL_URI=f"models:/{registry.name}/2")
    service.until_serving("2")


def test_eight_clients_lose_nothing_and_get_nothing_wrong_in_ten_promotions_and_demotions(
    registry: Registry, serve: Callable[..., Service]
) -> None:
    """Every answer is 200, and exactly what the version named in it gives."""
    low, high = (registry.versions()[c] for c in ("logistic_regression", "multilayer_perceptron"))
    registry.stage(low, "Production")
    service = serve(registry)
    service.until_serving(low)
    references = [registry.reference(version) for version in (low, high)]
    for record in split(load()).test.features.to_dict("records"):  # the first that tells them apart
        given = [reference.probabilities(record) for reference in references]
        if abs(given[0]["benign"] - given[1]["benign"]) > 1000 * ONE_ROW_OR_MANY:
            break
    expected = dict(zip((low, high), given, strict=True))

    answers = _while_eight_clients_ask(
        service, record, lambda: _ten_changes(registry, service, low, high)
    )
    assert all(response.status_code == 200 for response in answers)
    given = [response.json() for response in answers]
    for answer in given:
        right = expected[answer["model_version"]]
        assert answer["probabilities"] == pytest.approx(right, rel=0, abs=ONE_ROW_OR_MANY)
        assert answer["prediction"] == max(right, key=right.__getitem__)
    assert {answer["model_version"] for answer in given} == {low, high}
    print(f"{len(given)} answers, 10 changes, 0 lost, 0 wrong")


def _ten_changes(registry: Registry, service: Service, low: str, high: str) -> None:
    for _ in range(5):
        registry.stage(high, "Production")
        service.until_serving(high)
        registry.stage(high, "Archived")
        service.until_serving(low)


def _while_eight_clients_ask(
    service: Service, record: dict[str, Any], change: Callable[[], None]
) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    failures: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=service.child.url, timeout=20) as client:
            while not done.is_set():
                try:
                    answers.append(client.post("/predict", json=record))
                except Exception as error:  # noqa: BLE001  a lost request is what this looks for
                    failures.append(error)

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    try:
        change()
    finally:
        done.set()
        for client in clients:
            client.join()
    assert not failures
    return answers
