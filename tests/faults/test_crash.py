"""Killed at any step of a load, or with a disk that fails, the predictor serves what it may."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from demo.processes import (
    QUIET,
    ROOT,
    Child,
    free_port,
    predictor_python,
    predictor_settings,
    start_predictor,
)
from predictor.registry.cache import Cache
from tests.end_to_end.parts import Registry, Service, wait_until

pytestmark = pytest.mark.whole

SABOTEUR = Path(__file__).parent / "saboteur"


class Warmed:
    """An interpreter that has imported what a predictor needs, and forks into one at each start."""

    def __init__(self) -> None:
        command = [predictor_python(), "-m", "tests.faults.saboteur.warmed"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **QUIET, "OPENBLAS_NUM_THREADS": "1"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, folder: Path, port: int, env: Mapping[str, str]) -> Child:
        """As `start_predictor`."""
        log = folder / "predictor.log"
        settings = {**predictor_settings(folder, port), **env}
        pid = self.ask(start=settings, log=str(log))
        return Child(cast("Any", Forked(self, pid)), f"http://127.0.0.1:{port}", log)

    def ask(self, **what: object) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(what) + "\n")
        stdin.flush()
        return json.loads(stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@dataclass
class Forked:
    """What a test needs of a Popen, for a process that is another one's child."""

    warmed: Warmed
    pid: int
    args: tuple[str, ...] = ("a forked predictor",)
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.warmed.ask(poll=self.pid)
        return self.returncode

    def wait(self, _seconds: float | None = None) -> int | None:
        if self.returncode is None:
            self.returncode = self.warmed.ask(wait=self.pid)
        return self.returncode


class Sabotaged:
    """Starts predictors on one cache folder, whose file operations in it are spoiled."""

    start: Callable[[Path, int, Mapping[str, str]], Child] = staticmethod(start_predictor)

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder
        self.uri = f"models:/{registry.name}/Production"
        self.cache_folder = folder / "cache"
        self.cache = Cache(self.cache_folder, scope=f"{registry.url}\n{self.uri}")

    @contextmanager
    def started(self, **sabotage: str) -> Iterator[Child]:
        env = {
            "MLFLOW_TRACKING_URI": self.registry.url,
            "PREDICTOR_MODEL_URI": self.uri,
            "PREDICTOR_POLL_SECONDS": "0.1",
            "PYTHONPATH": str(SABOTEUR),
            "SABOTAGE_BELOW": str(self.cache_folder),
            **sabotage,
        }
        (self.folder / "predictor.log").unlink(missing_ok=True)
        child = self.start(self.folder, free_port(), env)
        try:
            yield child
        finally:
            child.kill()

    @contextmanager
    def serving(self, **sabotage: str) -> Iterator[Service]:
        with self.started(**sabotage) as child:
            child.wait_until_answers("/ready")
            yield Service(child)

    def is_kept(self, version: str) -> bool:
        found = self.cache.last_verified()
        return found is not None and found[0].version == version

    def check_cache(self) -> None:
        """Whatever is there is whole, and one of the two versions is what was verified last."""
        for place in (self.cache_folder / "artifacts").glob("[!.]*"):
            assert self.cache._fetched(place.name) is not None
        assert self.is_kept("1") or self.is_kept("2")


@pytest.fixture
def sabotaged(registry: Registry, tmp_path: Path) -> Sabotaged:
    """Version 1 serves and is in the cache; version 2, of another kind, is promoted."""
    made = Sabotaged(registry, tmp_path)
    registry.stage("1", "Production")
    with made.started():
        wait_until(lambda: made.is_kept("1"), "version 1 is in the cache")
    registry.stage("2", "Production")
    return made


@pytest.fixture
def warmed() -> Iterator[Warmed]:
    made = Warmed()
    yield made
    made.close()


def operations_of_a_load(sabotaged: Sabotaged) -> list[str]:
    """What a load of version 2 that nothing disturbs does to the cache, operation by operation."""
    with sabotaged.started() as child:
        wait_until(lambda: sabotaged.is_kept("2"), "version 2 is in the cache")
        return re.findall(r"^operation \d+ (\S+)", child.log.read_text(), re.MULTILINE)


@pytest.mark.timeout(400)
def test_killed_at_every_file_operation_of_a_load(sabotaged: Sabotaged, warmed: Warmed) -> None:
    """The cache is whole after each kill, and the next start serves.

    Each is a process of its own, forked once all is imported and before anything is made.
    """
    sabotaged.start = warmed.start
    before = shutil.copytree(sabotaged.cache_folder, sabotaged.folder / "before")
    steps = operations_of_a_load(sabotaged)
    assert {"open", "os.rename", "os.mkdir"} <= set(steps)
    for step, operation in enumerate(steps, 1):
        shutil.rmtree(sabotaged.cache_folder)
        shutil.copytree(before, sabotaged.cache_folder)
        with sabotaged.started(KILL_AT=str(step)) as child:
            assert child.process.wait(60) == -signal.SIGKILL
        sabotaged.check_cache()
        # Opens only read, or write beside: what they leave is what the next rename leaves too.
        if operation != "open":
            serves_again(sabotaged)
    print(f"killed at each of {len(steps)} file operations, and whole after each")


def serves_again(sabotaged: Sabotaged) -> None:
    """Started on what the killed one left."""
    with sabotaged.serving() as service:
        service.until_serving("2")
        service.predict(service.example())
        wait_until(lambda: sabotaged.is_kept("2"), "version 2 is in the cache")


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EACCES"])
def test_a_cache_that_cannot_be_written(sabotaged: Sabotaged, error: str) -> None:
    """Full, read-only or someone else's: it serves from memory and says so."""
    with sabotaged.serving(FAIL_WITH=error) as service:
        service.until_serving("2")
        assert service.predict(service.example())["model_version"] == "2"
        cache = service.http.get("/model").json()["cache"]
        assert "serves from memory" in cache["fault"] or "withdrawn" in cache["fault"]
        assert "predictor_cache_failures_total 1.0" in service.http.get("/metrics").text
        lines = service.child.log.read_text().splitlines()
        told = [json.loads(line) for line in lines if '"cache_not_written"' in line]
    assert [each["model_version"] for each in told] == ["2"]
    # What version 2 replaced could not be forgotten either, but it is whole.
    sabotaged.check_cache()


def test_two_predictors_share_one_cache_folder(sabotaged: Sabotaged) -> None:
    """Both load the promoted version at once, and leave one whole copy."""
    with sabotaged.serving() as one, sabotaged.serving() as other:
        for service in (one, other):
            service.until_serving("2")
            service.predict(service.example())
        wait_until(lambda: sabotaged.is_kept("2"), "version 2 is in the cache")
    sabotaged.check_cache()
