"""What several test modules share: a real MLflow server on a port of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import Child, free_port, running, start_mlflow


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One MLflow server for the whole run; a test that stops or breaks its server starts its own."""
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with running(start_mlflow(folder, free_port())) as server:
        yield server
