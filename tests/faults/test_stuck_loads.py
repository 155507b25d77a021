"""Loads that hang hold up nothing but themselves: above all not a key's end."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from predictor.keys import line_of
from tests.end_to_end.parts import wait_until
from tests.faults.conftest import Make
from tests.faults.parts import World, linear, mlmodel, replied
from tests.predictor.graphs import GOOD
from tests.predictor.parts import http
from tests.shared import Server

VERSIONS = 12  # more than the threads of a pool that all would share
SECONDS = 15.0  # in which a key that was taken out works no longer; it is two where nothing is busy


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"{line_of('old', 'old')}\n{line_of('new', 'new')}\n")
    return file


@pytest.fixture(scope="module")
def world(make_world: Make, mlflow_server: Server, keys: Path) -> Iterator[World]:
    settings = {"PREDICTOR_API_KEYS_FILE": str(keys), "PREDICTOR_LOAD_SECONDS": "2"}
    with make_world(mlflow_server, **settings) as world:
        yield world


def status(world: World, key: str) -> int:
    answer = world.service.http.post("/predict", json=GOOD, headers={"X-API-Key": key})
    return int(answer.status_code)


@pytest.mark.whole
def test_a_key_is_taken_out_while_loads_hang(world: World, keys: Path, tmp_path: Path) -> None:
    """Each of many versions has a file whose opening blocks; a good version still loads."""
    good = world.promote(world.version({"MLmodel": mlmodel(), "model.onnx": linear()}))
    world.service.until_serving(good)
    os.mkfifo(tmp_path / "MLmodel")
    elsewhere = json.dumps({"artifact_uri": f"file://{tmp_path}"}).encode()
    world.proxy.misbehave("get-download-uri", replied(http("200 OK", elsewhere)))
    for _ in range(VERSIONS):
        hangs = world.promote(world.version({"MLmodel": mlmodel()}))
        wait_until(
            lambda hangs=hangs: (world.model()["loading"] or {}).get("model_version") == hangs,
            "it loads",
        )
    assert status(world, "old") == 200
    beside = keys.with_suffix(".new")
    beside.write_text(f"{line_of('new', 'new')}\n")
    beside.replace(keys)
    began = time.monotonic()
    wait_until(lambda: status(world, "old") == 401, "the key works no longer", SECONDS)
    print(f"\nrefused {time.monotonic() - began:.1f} s after it was taken out")
    assert status(world, "new") == 200
    world.proxy.behave()
    better = world.promote(world.version({"MLmodel": mlmodel(), "model.onnx": linear(0.5)}))
    world.service.until_serving(better)
    tasks = Path(f"/proc/{world.service.child.process.pid}/task")
    assert len([*tasks.iterdir()]) < 60
