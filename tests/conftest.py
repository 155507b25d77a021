"""What several test modules share: real MLflow servers, trained versions, predictors that follow them."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from demo.processes import Child, running, start_mlflow
from tests import required

# How long an example takes says how busy the machine is, and nothing of what is tested.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")

# Of several workers, one takes all of these: they attack one predictor, which has to bear them all.
ATTACKS = {f"tests/hostile/test_{name}.py" for name in ("attacks", "document", "fuzz")}
# The folders with the longest tests. `faults` begins, because one of the two files that begin needs
# no trained versions: it goes on while they are trained for the other.
FIRST = (
    "faults", "compatibility", "end_to_end", "deploy", "benchmarks", "hostile", "page", "trainer",
)  # fmt: skip


class ByFile(LoadFileScheduling):
    """With `-n`, each worker takes the next file when it is done with one, in the order collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file.startswith("tests/page/"):
            return "page"  # one Chromium for all
        return "attacks" if file in ATTACKS else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that all workers end at nearly the same time."""
    rank = {folder: place for place, folder in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.parent.name, len(FIRST)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell `required.program` whether this test may need one."""
    required.whole = item.get_closest_marker("whole") is not None


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One MLflow server for the whole run; a test that stops or breaks its server starts its own."""
    folder: Path = tmp_path_factory.mktemp("mlflow")
    with running(start_mlflow(folder)) as server:
        yield server


@dataclass(frozen=True)
class Training:
    """What `python -m trainer train --quick` left, and the server that it ran on, if it is ours."""

    folder: Path
    server: Child | None


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Training]:
    """Done once for the whole run: of several workers, the first that asks trains."""
    from tests.end_to_end.parts import trainer  # slow to import, and most tests need it not

    of_all = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        of_all = of_all.parent
    done, server = of_all / "trained", None
    with ExitStack() as stack:
        with (of_all / "trained.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                folder = of_all / "training"
                server = stack.enter_context(running(start_mlflow(folder)))
                trainer(server.url, "train", "--quick")
                # Nobody asks the server meanwhile, so its database is whole.
                shutil.copytree(folder, of_all / "copying").rename(done)
        yield Training(done, server)


@pytest.fixture(scope="session")
def trained_folder(training: Training) -> Path:
    """The database and artifacts of a server that has the trained versions; to be copied only."""
    return training.folder


@pytest.fixture(scope="session")
def trained(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One server of the trained versions for all tests that only read it and add to it."""
    if training.server:
        yield training.server
        return
    folder = shutil.copytree(training.folder, tmp_path_factory.mktemp("own") / "trained")
    with running(start_mlflow(folder)) as server:
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
