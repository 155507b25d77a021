"""What several test modules share: real MLflow servers, trained versions, predictors that follow them."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.processes import Child, free_port, running, start_mlflow


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One MLflow server for the whole run; a test that stops or breaks its server starts its own."""
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with running(start_mlflow(folder, free_port())) as server:
        yield server


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database and artifacts of a server on which `python -m trainer train --quick` has run."""
    from tests.end_to_end.parts import trainer  # slow to import, and most tests need it not

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
def registry(trained: Child):
    """The five trained versions under a name that only this test uses; none is promoted."""
    from tests.end_to_end.parts import register_again

    return register_again(trained.url)


@pytest.fixture
def serve(tmp_path: Path):
    """Starts predictors that follow a registry, and stops them after the test."""
    from tests.end_to_end.parts import starter

    with ExitStack() as stack:
        yield starter(stack, tmp_path)
