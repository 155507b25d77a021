"""What several test modules share: real MLflow servers, trained versions, predictors that follow them."""

import gc
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from demo.processes import Child
from tests import required
from tests.shared import Server, Shared

# The tests start hundreds of processes. Each would compile our modules anew where none may keep them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Several test processes share the cores: more threads of OpenMP only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# MLflow's client searches the whole path for these at each request, which takes longer than the request.
for _name in ("dbruntime", "pyspark", "IPython"):
    if find_spec(_name) is None:
        sys.modules[_name] = None  # type: ignore[assignment]

# How long an example takes says how busy the machine is, and nothing of what is tested.
UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("test", settings(), **UNHURRIED, max_examples=25)
settings.register_profile("test-all", settings(), **UNHURRIED, max_examples=300)

EVERY_TEST_WHOLE = re.compile(r"^pytestmark = \[?pytest\.mark\.whole\b", re.MULTILINE)

# Of several workers, one takes all of these: they attack one predictor, which has to bear them all.
ATTACKS = {f"tests/hostile/test_{name}.py" for name in ("attacks", "document", "fuzz")}
# The first file of one worker trains the versions. The files after it are for the other worker
# meanwhile: they are long, and need no MLflow server. Then come the folders with the longest tests.
FIRST = (
    "end_to_end/test_promotion_and_rollback.py", "predictor/test_cli.py", "model/test_runs.py",
    "exporters/test_export.py", "end_to_end", "faults", "compatibility", "deploy", "benchmarks",
    "hostile", "page", "trainer",
)  # fmt: skip


# Without LightGBM, which is a candidate where it is installed: its own tests have it.
CANDIDATES = (
    "logistic_regression", "random_forest", "hist_gradient_boosting", "support_vector_machine",
    "multilayer_perceptron",
)  # fmt: skip
"""The trained versions of `make test-all`: the documents' examples promote version 5."""
FEW_CANDIDATES = ("logistic_regression", "hist_gradient_boosting", "multilayer_perceptron")
"""The trained versions of `make test`, which end in a third of the time."""


def pytest_configure(config: pytest.Config) -> None:
    """`make test` tries fewer examples of each property than `make test-all`."""
    settings.load_profile("test" if _is_quick(config) else "test-all")


def _is_quick(config: pytest.Config) -> bool:
    """Whether this is `make test`."""
    return str(config.option.markexpr) == "not whole"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`make test` does not import the files of which every test is marked `whole`."""
    if not _is_quick(config) or collection_path.suffix != ".py":
        return None
    return bool(EVERY_TEST_WHOLE.search(collection_path.read_text())) or None


_frozen = 0
"""How many modules there were when garbage collections were last told to leave out what there is."""


def pytest_collection_finish() -> None:
    _freeze()


@pytest.fixture(scope="module", autouse=True)
def _frozen_libraries() -> None:
    """Libraries that the tests of the module before have imported are left out, too."""
    if len(sys.modules) > _frozen + 50:
        _freeze()


def _freeze() -> None:
    """Leave all modules and tests out of later garbage collections, which would take seconds."""
    global _frozen  # noqa: PLW0603
    gc.collect()
    gc.freeze()
    _frozen = len(sys.modules)


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
    rank = {part: place for place, part in enumerate(FIRST)}

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return rank.get(f"{folder}/{item.path.name}", rank.get(folder, len(FIRST)))

    items.sort(key=place)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The process that started the workers ends what they shared."""
    if not hasattr(session.config, "workerinput"):
        Shared(session.config._tmp_path_factory.getbasetemp()).stop()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tell `required.program` whether this test may need one."""
    required.whole = item.get_closest_marker("whole") is not None


@pytest.fixture(scope="module", autouse=True)
def _own_tracking_uri() -> Iterator[None]:
    """`mlflow.set_tracking_uri` holds for the process, and comes before the environment of later files."""
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Shared:
    """What all workers of this run share."""
    folder = tmp_path_factory.getbasetemp()
    return Shared(folder if worker_id == "master" else folder.parent)


@pytest.fixture(scope="session")
def mlflow_server(shared_servers: Shared) -> Server:
    """One MLflow server for the whole run; a test that stops or breaks its server starts its own."""
    return shared_servers.server("mlflow")


@pytest.fixture(scope="session")
def quick(pytestconfig: pytest.Config) -> bool:
    """Whether this is `make test`."""
    return _is_quick(pytestconfig)


@pytest.fixture(scope="session")
def trained(shared_servers: Shared, quick: bool) -> Server:
    """One server that has the trained versions, at least three; tests only read them, and add to them."""
    candidates = FEW_CANDIDATES if quick else CANDIDATES
    return shared_servers.server("trained", partial(_train, candidates))


@pytest.fixture(scope="session")
def trained_folder(shared_servers: Shared, trained: Server) -> Path:
    """The database and artifacts of a server that has the trained versions; to be copied only."""
    return shared_servers.folder / "training"


def _train(candidates: Sequence[str], server: Child) -> None:
    from tests.end_to_end.parts import command  # slow to import, and most tests need it not

    command(server.url, "train", "--quick", "--candidates", ",".join(candidates))
    # Nobody else has the server yet, so its database is whole.
    shutil.copytree(server.log.parent, server.log.parent.parent / "training")


@pytest.fixture
def own_trained_folder(trained_folder: Path, tmp_path: Path) -> Path:
    """A copy for a test that stops its server."""
    return shutil.copytree(trained_folder, tmp_path / "mlflow")


@pytest.fixture
def registry(trained: Server):
    """The trained versions under a name that only this test uses; none is promoted."""
    from tests.end_to_end.parts import register_again

    return register_again(trained.url)


@pytest.fixture
def serve(tmp_path: Path):
    """Starts predictors that follow a registry, and stops them after the test."""
    from tests.end_to_end.parts import starter

    with ExitStack() as stack:
        yield starter(stack, tmp_path)
