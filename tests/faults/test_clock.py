"""The wall clock is set back or forward under a running predictor, and nothing waits for the old time.

The clock is libfaketime's: what it says is in a file, and the tests change the file.
"""

import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.parts import wait_until
from tests.faults.conftest import Make
from tests.faults.parts import POLL_SECONDS, World
from tests.predictor.graphs import GOOD
from tests.required import library
from tests.shared import Server

pytestmark = pytest.mark.whole  # faketime
SetClock = Callable[[int], None]
HOUR, DAY = 3600, 86_400


@pytest.fixture(scope="module")
def wall_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that says how far the predictors' wall clock is off."""
    file: Path = tmp_path_factory.mktemp("clock") / "offset"
    file.write_text("+0")
    return file


@pytest.fixture(scope="module", params=["1", "2"], ids=["one process", "two workers"])
def world(
    make_world: Make, mlflow_server: Server, wall_clock: Path, request: pytest.FixtureRequest
) -> Iterator[World]:
    faked = {
        "LD_PRELOAD": library("libfaketimeMT.so.1", "faketime"),
        "FAKETIME_TIMESTAMP_FILE": str(wall_clock),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "PREDICTOR_WORKERS": request.param,
    }
    with make_world(mlflow_server, **faked) as world:
        yield world


@pytest.fixture
def set_clock(wall_clock: Path, world: World) -> Iterator[SetClock]:
    """Sets the predictor's wall clock off by so many seconds; returns once it says so itself."""

    def set_to(seconds: int) -> None:
        # In one step: a file that is read while it is written says nothing.
        beside = wall_clock.with_suffix(".new")
        beside.write_text(f"{seconds:+d}")
        beside.replace(wall_clock)
        wait_until(lambda: abs(says(world) - time.time() - seconds) < 20, "the clock is another")

    set_to(0)
    if not world.slopes:
        world.promote(world.good())
    wait_until(lambda: world.service.serving() is not None, "a version serves")
    yield set_to
    set_to(0)


def answers(world: World) -> set[int]:
    """The statuses of several predictions, each on a connection of its own: all workers are asked."""
    none_kept = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=world.service.child.url, limits=none_kept, timeout=20) as client:
        return {client.post("/predict", json=GOOD).status_code for _ in range(8)}


def says(world: World) -> float:
    """What the predictor's wall clock says, in seconds since the epoch."""
    date = world.service.http.get("/health").headers["date"]
    return parsedate_to_datetime(date).timestamp()


@pytest.mark.parametrize("seconds", [-60, -DAY, DAY])
def test_a_demotion_and_a_promotion_count_at_once(
    world: World, set_clock: SetClock, seconds: int
) -> None:
    """A version that was withdrawn answers nobody, whatever happened to the clock."""
    number = world.service.serving()
    assert number is not None
    set_clock(seconds)
    world.registered.stage(world.name, int(number), "Archived")
    wait_until(lambda: answers(world) == {503}, "nothing serves")
    world.promote(number)
    wait_until(lambda: answers(world) == {200}, "the version serves again")


@pytest.mark.parametrize("seconds", [-HOUR, DAY])
def test_ages_and_times_are_right_after_it(world: World, set_clock: SetClock, seconds: int) -> None:
    """No age is negative or a day long, and what Prometheus is told is by the clock as it is now."""
    set_clock(seconds)
    registry = world.model()["registry"]
    assert registry["reachable"]
    assert 0 <= registry["last_answer_age_seconds"] < 30
    now = says(world)
    for name in (
        "predictor_registry_last_success_timestamp_seconds",
        "predictor_serving_since_timestamp_seconds",
    ):
        assert world.metric(name) == pytest.approx(now, abs=60)


def test_a_day_forward_is_one_look(world: World, set_clock: SetClock) -> None:
    """Turns that no time was for are not caught up on."""
    set_clock(DAY)
    before = len(world.proxy.asked)
    time.sleep(20 * POLL_SECONDS)
    assert len(world.proxy.asked) - before < 200


def test_a_failed_version_is_tried_again(world: World, set_clock: SetClock) -> None:
    """Its delay goes on, and its files are looked at."""
    run_id, uri = world.registered.artifact({"MLmodel": b"flavors: {}"})
    broken = world.registered.version(world.name, uri, run_id)
    world.promote(broken)
    wait_until(lambda: world.model()["last_failure"] is not None, "the failure is told")
    set_clock(-HOUR)
    mark = world.mark()
    wait_until(lambda: bool(world.logged("load_failed", mark)), "it is tried again")
    world.registered.stage(world.name, int(broken), "Archived")
