"""The wheel: what is in it, and that an environment outside of the checkout trains, promotes and serves with it."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import httpx
import pytest

from demo.processes import QUIET, ROOT, Child, free_port, running, start_mlflow

PACKAGES = ("approvals", "fleet", "predictor", "trainer", "exporters", "mlflow_hotswap")
OTHERS = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
UV = Path(sys.executable).with_name("uv")


def build(folder: Path, **env: str) -> Path:
    """Build the wheel, by way of the source distribution, from a copy of what both need."""
    source = folder / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in OTHERS:
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **env})
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), PROJECT_SOURCE="")


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (each for each in file.namelist() if each.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(file.read(name).decode())


def test_it_has_every_file_of_the_packages(wheel: Path) -> None:
    """Pages, protocols and markers of types, too; nothing of tests, and nothing twice."""
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert found == {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    assert {f"{name}/py.typed" for name in PACKAGES} <= found


def test_its_metadata_are_valid_and_complete(wheel: Path) -> None:
    """As an index shows them: twine warns of nothing; the license of Swagger UI is named, too."""
    twine = [sys.executable, "-m", "twine", "check", "--strict", *wheel.parent.iterdir()]
    checked = subprocess.run(twine, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    found = metadata(wheel)
    assert found["Description-Content-Type"] == "text/markdown"
    assert found.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert {"License-Expression", "Keywords", "Requires-Python"} <= set(found.keys())
    assert "Typing :: Typed" in found.get_all("Classifier", [])
    assert "predictor/web/docs/LICENSE" in found.get_all("License-File", [])


@pytest.mark.whole
def test_a_release_names_its_address(wheel: Path, tmp_path: Path) -> None:
    """The repository does not know its own address; the build of a release does."""
    assert metadata(wheel).get_all("Project-URL") is None
    released = metadata(build(tmp_path, PROJECT_SOURCE="https://git.example/hotswap/"))
    urls = dict(each.split(", ") for each in released.get_all("Project-URL", []))
    assert urls["Source"] == "https://git.example/hotswap"
    assert urls["Issues"] == "https://git.example/hotswap/issues"
    page = released.get_payload()
    addresses = re.findall(r'\]\(([^)#][^)]*)\)|src(?:set)?="([^"]+)"', page)
    found = [*urls.values(), *(one or other for one, other in addresses)]
    ours = [each for each in found if each.startswith(urls["Source"] + "/")]
    assert len(ours) > 20
    assert not [each for each in found if not each.startswith("https://")]
    for kind, path in (
        re.fullmatch(r".*?/(blob/main|raw/main|issues)/?(.*)", each).groups() for each in ours
    ):
        assert kind == "issues" or (ROOT / path.partition("#")[0]).exists(), path
        assert (kind == "raw/main") == path.endswith((".png", ".svg"))


class Environment:
    """An environment with a file of pinned requirements, and the wheel."""

    def __init__(self, folder: Path, requirements: str, wheel: Path) -> None:
        self.bin = folder / "env" / "bin"
        self.folder = folder / "elsewhere"
        self.folder.mkdir()
        # Modules of these names in the working folder must not be taken for the installed ones.
        for name in PACKAGES:
            (self.folder / f"{name}.py").write_text("raise ImportError('not the installed one')")
        self._uv("venv", "--python", sys.executable, str(self.bin.parent))
        self._uv("pip", "sync", "--require-hashes", str(ROOT / "requirements" / requirements))
        self._uv("pip", "install", "--no-deps", str(wheel))
        self._uv("pip", "check")

    def needs(self, distribution: str) -> str:
        """What pip would install in addition."""
        return self._uv("pip", "install", "--offline", "--dry-run", distribution)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / "mlflow-hotswap", *arguments], cwd=self.folder, env=self._clean(env),
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    def serve(self, **env: str) -> Child:
        port = free_port()
        own = {"PREDICTOR_PORT": str(port), "PREDICTOR_CACHE_DIR": str(self.folder / "cache")}
        log = self.folder / "log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [self.bin / "mlflow-hotswap", "serve"], cwd=self.folder,
                env=self._clean({**own, **env}), stderr=output, start_new_session=True,
            )  # fmt: skip
        return Child(process, f"http://127.0.0.1:{port}", log)

    def _clean(self, env: dict[str, str]) -> dict[str, str]:
        return {**QUIET, "PATH": os.environ["PATH"], "HOME": str(self.folder), **env}

    def _uv(self, *arguments: str) -> str:
        env = {**os.environ, "VIRTUAL_ENV": str(self.bin.parent)}
        done = subprocess.run(
            [UV, *arguments], env=env, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def serving(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("serving"), "predictor.txt", wheel)


@pytest.fixture(scope="module")
def training(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("training"), "trainer.txt", wheel)


@pytest.fixture
def server(tmp_path: Path, training: Environment) -> Iterator[Child]:
    with running(start_mlflow(tmp_path / "mlflow", python=str(training.bin / "python"))) as server:
        yield server


@pytest.mark.whole
@pytest.mark.timeout(900)  # it installs two environments
def test_from_the_wheel_to_an_answer(
    server: Child, training: Environment, serving: Environment
) -> None:
    """Train and promote with the extra; serve without any, by one process and by two."""
    assert "no changes" in training.needs("mlflow-hotswap[trainer]")
    tracking = {"MLFLOW_TRACKING_URI": server.url}
    for arguments in (
        ["train", "--quick", "--candidates", "logistic_regression"],
        ["promote", "1", "--to", "Production", "--reason", "the first"],
    ):
        done = training.run(*arguments, **tracking)
        assert done.returncode == 0, done.stderr
    for workers in ("1", "2"):
        with running(serving.serve(**tracking, PREDICTOR_WORKERS=workers), "/ready") as service:
            document = httpx.get(f"{service.url}/openapi.json").json()
            record = document["components"]["schemas"]["Record"]["example"]
            answer = httpx.post(f"{service.url}/predict", json=record).json()
            assert (answer["model_name"], answer["model_version"]) == ("breast-cancer", "1")
            assert httpx.get(f"{service.url}/").status_code == 200
            assert "not the installed one" not in service.log.read_text()
    first = next(line for line in serving.folder.joinpath("log").read_text().splitlines())
    assert json.loads(first)["event"] == "starting"


@pytest.mark.whole
@pytest.mark.timeout(900)  # it installs two environments
def test_without_an_extra(serving: Environment) -> None:
    """The version, a key, and one line for what needs an extra."""
    assert serving.run("--version").stdout.startswith("mlflow-hotswap ")
    assert serving.run("keys", "ward-1").returncode == 0
    for arguments, env, extra in (
        (["train"], {}, "trainer"),
        (["serve"], {"PREDICTOR_GRPC_PORT": "9000"}, "grpc"),
        (["serve"], {"OTEL_TRACES_EXPORTER": "otlp"}, "traces"),
    ):
        done = serving.run(*arguments, MLFLOW_TRACKING_URI="http://127.0.0.1:1", **env)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1, done.stderr
        assert f"pip install 'mlflow-hotswap[{extra}]'" in done.stderr
