"""A server with five trained versions, and predictors in their own environment."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.processes import Child, free_port, running, start_mlflow, start_predictor
from tests.end_to_end.parts import POLL_SECONDS, Registry, Service, register_again, trainer


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database and artifacts of a server on which `python -m trainer train --quick` has run."""
    folder = tmp_path_factory.mktemp("trained")
    with running(start_mlflow(folder, free_port())) as server:
        trainer(server.url, "train", "--quick")
    return folder


@pytest.fixture(scope="session")
def trained(trained_folder: Path) -> Iterator[Child]:
    """One server of the trained versions for all tests that only read it and add to it."""
    with running(start_mlflow(trained_folder, free_port())) as server:
        yield server


@pytest.fixture
def own_trained_folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A copy for a test that stops its server."""
    return shutil.copytree(trained_folder, tmp_path / "mlflow")


@pytest.fixture
def registry(trained: Child) -> Registry:
    """The five trained versions under a name that only this test uses; none is promoted."""
    return register_again(trained.url)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts predictors that follow a registry, and stops them after the test."""
    with ExitStack() as stack:

        def start(registry: Registry, folder: str = "predictor", **settings: str) -> Service:
            env = {
                "MLFLOW_TRACKING_URI": registry.url,
                "PREDICTOR_MODEL_URI": f"models:/{registry.name}/Production",
                "PREDICTOR_POLL_SECONDS": str(POLL_SECONDS),
                **settings,
            }
            child = start_predictor(tmp_path / folder, free_port(), env)
            return Service(stack.enter_context(running(child)))

        yield start
