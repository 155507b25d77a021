"""Worlds for the tests of faults: a real MLflow server, a proxy that misbehaves, a real predictor."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from demo.processes import Child, free_port, running, start_predictor
from tests.end_to_end.parts import Service
from tests.faults.parts import POLL_SECONDS, Asking, Elsewhere, Proxy, Registered, World
from tests.shared import Server

Make = Callable[..., AbstractContextManager[World]]


@pytest.fixture(scope="module")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Starts a world around a server; settings are those of its predictor."""

    @contextmanager
    def make(
        server: Child | Server, pointer: str = "/Production", **settings: str
    ) -> Iterator[World]:
        registered = Registered(server.url)
        name = registered.model()
        folder: Path = tmp_path_factory.mktemp("faults")
        port = int(server.url.rpartition(":")[2])
        with Proxy(port) as proxy:
            env = {
                "MLFLOW_TRACKING_URI": proxy.url,
                "PREDICTOR_MODEL_URI": f"models:/{name}{pointer}",
                "PREDICTOR_POLL_SECONDS": str(POLL_SECONDS),
                **settings,
            }
            with running(start_predictor(folder, free_port(), env)) as child:
                yield World(registered, name, proxy, Service(child))

    return make


@pytest.fixture(scope="module")
def asked(world: World) -> Iterator[Asking]:
    """A client that asks the world's predictor all the time."""
    world.serves(world.promote(world.good()))
    with Asking(world.service.child.url, world.slopes) as asking:
        yield asking


@pytest.fixture(autouse=True)
def nobody_noticed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to a world that is asked, each answer came and was right."""
    asked: Asking | None = None
    if "asked" in request.fixturenames:
        asked = request.getfixturevalue("asked")
    yield
    if asked is not None:
        asked.check()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    place = Elsewhere()
    yield place
    place.close()
