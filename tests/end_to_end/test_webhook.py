"""Promotion to answer by MLflow's webhook, with real parts; polls come once an hour and bring nothing."""

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.parts import Registry, Service, command, wait_until
from trainer.history import Place
from trainer.lifecycle import Lifecycle
from trainer.pointer import AliasPointer, RegistryState, StagePointer
from trainer.promotion import Policy
from trainer.registry import RegisteredModel
from trainer.webhooks import Webhooks, read_secret

NEVER = "3600"  # seconds between polls, the most that can be set
PROMOTIONS = 4


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("0123456789abcdef\n")
    return path


@pytest.fixture
def told(registry: Registry, secret: Path) -> Iterator[Callable[[Service], None]]:
    """Has MLflow tell a service of changes, as the command does, until the test ends."""
    webhooks = Webhooks(registry.client)

    def tell(service: Service) -> None:
        webhooks.put(registry.name, url(service), read_secret(secret))

    yield tell
    webhooks.remove(registry.name)


def url(service: Service) -> str:
    return f"{service.child.url}/webhooks/mlflow"


class Timed(StagePointer):
    """The stage pointer, which notes when MLflow had moved a version."""

    moved = 0.0

    def move(self, version: str, target: Place, state: RegistryState) -> int | None:
        changed_ms = super().move(version, target, state)
        self.moved = time.perf_counter()
        return changed_ms


class FirstAnswers:
    """A client that asks without a pause, and notes when each version answered first since `forget`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._record = service.example()
        self._seen: dict[str, float] = {}
        self._stop = threading.Event()
        self.thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.thread.join()

    def forget(self) -> None:
        self._seen.clear()

    def of(self, version: str) -> float:
        wait_until(lambda: version in self._seen, f"version {version} answers")
        return self._seen[version]

    def _ask(self) -> None:
        while not self._stop.is_set():
            version = self._service.predict(self._record)["model_version"]
            self._seen.setdefault(version, time.perf_counter())
            time.sleep(0.001)


def lifecycle(registry: Registry) -> tuple[Lifecycle, Timed]:
    shelf = RegisteredModel(registry.client, registry.name)
    pointer = Timed(shelf)
    return Lifecycle(shelf, pointer, "tester@here"), pointer


def force(made: Lifecycle, version: str) -> None:
    made.promote(version, Policy(), "to see the swap", force=True)


def samples(service: Service) -> dict[tuple[str, ...], float]:
    text = service.http.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_promotion_answers_at_once(
    registry: Registry,
    serve: Callable[..., Service],
    secret: Path,
    told: Callable[[Service], None],
) -> None:
    """By stage, for which MLflow fires nothing: the tag that comes after it tells. So do rollbacks."""
    made, pointer = lifecycle(registry)
    force(made, "1")
    service = serve(
        registry, PREDICTOR_POLL_SECONDS=NEVER, PREDICTOR_WEBHOOK_SECRET_FILE=str(secret)
    )
    service.until_serving("1")
    told(service)  # whose webhook the command finds, and tries
    said = command(
        registry.url, "webhook", "set", url(service), "--secret-file", str(secret),
        "--name", registry.name, "--try",
    )  # fmt: skip
    assert "an example was taken, with 200" in said
    since_move, since_call = [], []
    with FirstAnswers(service) as answers:
        for turn in range(PROMOTIONS):
            answers.forget()
            called = time.perf_counter()
            if turn % 2:
                made.roll_back("to see the swap")
            else:
                force(made, "2")
            answered = answers.of("1" if turn % 2 else "2")
            since_move.append(answered - pointer.moved)
            since_call.append(answered - called)
        command(
            registry.url, "promote", "3", "--to", "Production", "--model", registry.name,
            "--force", "--reason", "with the command",
        )  # fmt: skip
        answers.of("3")
    for what, seconds in (("the stage moved", since_move), ("promote() was called", since_call)):
        print(
            f"{len(seconds)} promotions and rollbacks, from when {what} to the first answer: median "
            f"{1000 * statistics.median(seconds):.0f} ms, longest {1000 * max(seconds):.0f} ms"
        )
    found = samples(service)
    assert found["predictor_webhook_deliveries_total", "accepted"] >= PROMOTIONS + 1
    assert found["predictor_swaps_total", "promoted"] >= 1 + PROMOTIONS / 2


@pytest.mark.whole
def test_an_alias_answers_at_once(
    registry: Registry,
    serve: Callable[..., Service],
    secret: Path,
    told: Callable[[Service], None],
) -> None:
    """However it is moved: in MLflow's page, by our command, or away. Of two workers, both hear."""
    registry.client.set_registered_model_alias(registry.name, "production", "1")
    service = serve(
        registry, PREDICTOR_POLL_SECONDS=NEVER, PREDICTOR_WEBHOOK_SECRET_FILE=str(secret),
        PREDICTOR_MODEL_URI=f"models:/{registry.name}@production", PREDICTOR_WORKERS="2",
    )  # fmt: skip

    def both_serve(version: str) -> None:
        wait_until(
            lambda: samples(service).get(("predictor_workers", version)) == 2,
            f"both workers serve {version}",
        )

    both_serve("1")
    told(service)
    registry.client.set_registered_model_alias(registry.name, "production", "2")
    both_serve("2")
    shelf = RegisteredModel(registry.client, registry.name)
    force(Lifecycle(shelf, AliasPointer(shelf, "production"), "tester@here"), "3")
    both_serve("3")
    registry.client.delete_registered_model_alias(registry.name, "production")
    both_serve("none")
    assert service.http.post("/predict", json={}).status_code == 503


@pytest.mark.whole
def test_without_the_webhook_a_promotion_waits_for_the_poll(
    registry: Registry,
    serve: Callable[..., Service],
    secret: Path,
    told: Callable[[Service], None],
) -> None:
    """With a secret that is not MLflow's, and then with no webhook at all: it costs that, and no more."""
    made, _ = lifecycle(registry)
    force(made, "1")
    service = serve(registry, PREDICTOR_WEBHOOK_SECRET_FILE=str(secret))
    service.until_serving("1")
    told(service)
    webhooks = Webhooks(registry.client)
    webhooks.put(registry.name, url(service), "another secret")
    force(made, "2")
    service.until_serving("2")
    refused = ("predictor_webhook_deliveries_total", "bad_signature")
    wait_until(lambda: samples(service)[refused] >= 1, "the delivery was refused")
    (line,) = [each for each in service.log_lines() if each["event"] == "webhook_refused"]
    assert line["outcome"] == "bad_signature"
    webhooks.remove(registry.name)
    made.roll_back("to see the swap")
    service.until_serving("1")
