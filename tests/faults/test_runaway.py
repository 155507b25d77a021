"""A record on which the model never ends: it is refused, and nobody else notices.

What the graph does is read from the record, so no check of a version can find it.
"""

import contextlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
import pytest

from demo.processes import answers
from predictor.keys import line_of
from tests.end_to_end.parts import wait_until
from tests.faults.conftest import Make
from tests.faults.parts import World, mlmodel
from tests.predictor.graphs import counting, one_long_node, regressor
from tests.shared import Server

pytestmark = pytest.mark.whole

FOREVER = 1e15
BOUND = 20.0  # seconds; more than the settings below allow, and a hang takes longer
KEY = "k3y"
BACKGROUND = [[1.0, 2.0], [3.0, 4.0]]
SIGNATURE = json.dumps([{"type": "float", "name": f"feature_{n}"} for n in range(2)])
Started = Callable[[bytes], AbstractContextManager[World]]


@pytest.fixture(
    params=["1", "2"],
    ids=["one process", "two workers and keys"],
    scope="module",
)
def started(
    make_world: Make,
    mlflow_server: Server,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Started:
    """Starts a predictor of a graph; version 1, the sum of the columns, is in Production as well."""
    settings = {
        "PREDICTOR_WORKERS": request.param, "PREDICTOR_INFERENCE_SECONDS": "1",
        "PREDICTOR_SHUTDOWN_SECONDS": "1",
    }  # fmt: skip
    if request.param == "2":
        keys: Path = tmp_path_factory.mktemp("keys") / "keys"
        keys.write_text(line_of("all", KEY))
        settings["PREDICTOR_API_KEYS_FILE"] = settings["PREDICTOR_OPERATIONS_KEYS_FILE"] = str(keys)

    @contextlib.contextmanager
    def start(graph: bytes) -> Iterator[World]:
        with make_world(mlflow_server, **settings) as world:
            world.service.http.headers["X-API-Key"] = KEY
            for model in (regressor(), graph):
                files = {
                    "MLmodel": mlmodel(signature={"inputs": SIGNATURE}), "model.onnx": model,
                }  # fmt: skip
                world.service.until_serving(world.promote(world.version(files)))
            yield world

    return start


@pytest.fixture(scope="module")
def world(started: Started) -> Iterator[World]:
    with started(counting(background=BACKGROUND)) as world:
        yield world


def record(first: float) -> dict[str, float]:
    return {"feature_0": first, "feature_1": 1.0}


def by_http(path: str, body: Any, kind: str = "application/json") -> Callable[[World], Any]:
    def ask(world: World) -> tuple[int, str]:
        content = body if isinstance(body, str) else json.dumps(body)
        answer = world.service.http.post(
            path.replace("MODEL", quote(world.name)), content=content,
            headers={"Content-Type": kind},
        )  # fmt: skip
        return answer.status_code, answer.text

    return ask


TENSOR = {"name": "X", "shape": [1, 2], "datatype": "FP32", "data": [FOREVER, 1.0]}
DOORS = {
    "predict": by_http("/predict", record(FOREVER)),
    "predict, above the fast lane": by_http("/predict?a=b", record(FOREVER)),
    "a large record": by_http("/predict", json.dumps(record(FOREVER)) + " " * 20_000),
    "batch": by_http("/predict/batch", {"instances": [record(1), record(FOREVER)]}),
    "explain": by_http("/predict/explain", record(FOREVER)),
    "v2": by_http("/v2/models/MODEL/infer", {"inputs": [TENSOR]}),
    "v2, several rows": by_http(
        "/v2/models/MODEL/infer",
        {"inputs": [{**TENSOR, "shape": [2, 2], "data": [1, 1, FOREVER, 1]}]},
    ),
    "invocations": by_http("/invocations", {"dataframe_records": [record(FOREVER)]}),
    "invocations, CSV": by_http("/invocations", f"feature_0,feature_1\n{FOREVER},1\n", "text/csv"),
}


class Others:
    """Two clients that ask without a pause while a test goes on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.answers, self.wrong, self.slowest_health = 0, [], 0.0  # type: ignore[var-annotated]

    def __enter__(self) -> Self:
        self._goes_on = True
        self._threads = [threading.Thread(target=each) for each in (self._predict, self._health)]
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.answers > 0, "others get answers")
        self.answers, self.slowest_health = 0, 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self._goes_on = False
        for thread in self._threads:
            thread.join(30)

    def _predict(self) -> None:
        asked, url = 0, self._world.service.child.url
        with httpx.Client(base_url=url, timeout=30, headers={"X-API-Key": KEY}) as client:
            while self._goes_on:
                asked = (asked + 1) % 50
                answer = client.post("/predict", json=record(asked))
                if answer.json().get("prediction") != asked + 1:
                    self.wrong.append(answer.text)
                self.answers += 1

    def _health(self) -> None:
        while self._goes_on:
            began = time.monotonic()
            if not answers(f"{self._world.service.child.url}/health"):
                self.wrong.append("no /health")
            self.slowest_health = max(self.slowest_health, time.monotonic() - began)


@pytest.mark.parametrize("door", DOORS)
def test_it_is_refused_at_every_door_and_others_get_their_answers(world: World, door: str) -> None:
    """503 that says why; meanwhile the service is well, and right."""
    with Others(world) as others:
        began = time.monotonic()
        status, said = DOORS[door](world)
        seconds = time.monotonic() - began
    print(
        f"\n{door}: {seconds:.1f} s; {others.answers} others, /health {others.slowest_health:.2f} s"
    )
    assert status == 503, said
    assert "PREDICTOR_INFERENCE_SECONDS" in said
    assert seconds < BOUND
    assert others.slowest_health < BOUND / 2
    assert others.answers
    assert not others.wrong, others.wrong[:3]


def test_operators_see_it(world: World) -> None:
    """Which version it is, how often it happened, in the model, the metrics and the log."""
    serving = world.service.serving()
    DOORS["predict"](world)
    wait_until(lambda: world.model()["last_failure"] is not None, "the model says so")
    failure = world.model()["last_failure"]
    assert (failure["model_version"], failure["stage"]) == (serving, "inference")
    assert "stopped" in failure["reason"]
    labels = {"model_version": serving}
    assert world.metric("predictor_inference_timeouts_total", **labels) > 0
    assert world.metric("predictor_failed_model_version", model_name=world.name) == int(serving)
    lines = world.logged("inference_timed_out")
    assert {line["model_version"] for line in lines} == {serving}


def test_a_rollback_takes_effect_meanwhile(world: World) -> None:
    """Also while several such records are computed."""
    number = world.service.serving()
    asking = [threading.Thread(target=DOORS["predict"], args=[world]) for _ in range(4)]
    for each in asking:
        each.start()
    began = time.monotonic()
    world.registered.stage(world.name, int(number), "Archived")
    world.service.until_serving("1")
    print(f"\nthe version before serves after {time.monotonic() - began:.1f} s")
    assert world.model()["last_failure"] is None
    for each in asking:
        each.join(30)
    world.promote(number)
    world.service.until_serving(number)


@pytest.mark.parametrize("graph", [counting, one_long_node], ids=["it loops", "one long node"])
def test_the_process_ends_in_time(started: Started, graph: Callable[[], bytes]) -> None:
    """SIGTERM counts although the event loop computes, and nothing can end that."""
    with started(graph()) as world:
        process = world.service.child.process
        largest = FOREVER if graph is counting else 150_000.0
        body, headers = json.dumps(record(largest)), {"X-API-Key": KEY}
        address = world.service.child.url.removeprefix("http://")
        asking = [http.client.HTTPConnection(address, timeout=60) for _ in range(4)]
        for client in asking:
            client.request("POST", "/predict", body, headers)
        time.sleep(0.3)  # it computes
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(BOUND)
        print(f"\nended after {time.monotonic() - began:.1f} s with {process.returncode}")
        if graph is one_long_node:
            assert "exit_forced" in world.service.child.log.read_text()
        for client in asking:
            client.close()
