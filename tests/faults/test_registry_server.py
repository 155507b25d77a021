"""The registry's process dies or stops: what is served is served on, and the registry followed again."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import Child, running, start_mlflow
from tests.end_to_end.parts import wait_until
from tests.faults.conftest import Make
from tests.faults.parts import Asking, World, failing, recovers

pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Child]]:
    """A server, and its successors on the same port and the same files."""
    folder: Path = tmp_path_factory.mktemp("own")
    started = [start_mlflow(folder)]
    with running(started[0]):
        yield started
    started[-1].stop()


@pytest.fixture(scope="module")
def world(make_world: Make, servers: list[Child]) -> Iterator[World]:
    with make_world(servers[0], MLFLOW_TRACKING_URI=servers[0].url) as world:
        yield world


def test_killed_then_started_again(world: World, asked: Asking, servers: list[Child]) -> None:
    """A registry that comes back is followed again, by itself."""
    promoted, mark = world.good(), world.mark()
    with failing(world, "unreachable", "did not answer"):
        servers[-1].kill()
    servers.append(start_mlflow(servers[0].log.parent, int(servers[0].url.rpartition(":")[2])))
    servers[-1].wait_until_answers("/health")
    world.promote(promoted)
    recovers(world, promoted, mark)


def test_paused_then_continued(world: World, asked: Asking, servers: list[Child]) -> None:
    """It takes connections and says nothing: as good as down, for as long as that lasts."""
    promoted, mark = world.good(), world.mark()
    group = os.getpgid(servers[-1].process.pid)
    try:
        with failing(world, "unreachable", "ReadTimeout"):
            os.killpg(group, signal.SIGSTOP)
    finally:
        os.killpg(group, signal.SIGCONT)
    wait_until(lambda: bool(world.logged("registry_answered", mark)), "it answers again")
    world.promote(promoted)
    world.serves(promoted)
