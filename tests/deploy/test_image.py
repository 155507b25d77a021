"""The predictor's image: it serves, and contains only what serving needs."""

import base64
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from demo.processes import ROOT, Child, free_port, running
from deploy import sbom
from tests.deploy.image import Image, built
from tests.end_to_end.parts import Registry, Service, wait_until
from tests.predictor.graphs import reading_text

# The first build of a machine takes minutes; CI has it behind it.
pytestmark = [pytest.mark.whole, pytest.mark.timeout(1800)]
UID = 10001
PYTHON = "venv/lib/python*/site-packages"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built("predictor") as image:
        yield image


@pytest.fixture
def settings(registry: Registry) -> dict[str, str]:
    """Those of a predictor that follows a registry in which version 1 is in Production."""
    registry.stage("1", "Production")
    return {
        "MLFLOW_TRACKING_URI": registry.url,
        "PREDICTOR_MODEL_URI": f"models:/{registry.name}/Production",
        "PREDICTOR_PORT": str(free_port()),
        "PREDICTOR_ALLOW_ANONYMOUS": "true",
    }


def url(settings: dict[str, str]) -> str:
    return f"http://127.0.0.1:{settings['PREDICTOR_PORT']}"


def inside(child: Child) -> int:
    """The process that a starter's descendants end in: the predictor."""
    pid = child.process.pid
    # Of each thread, because it may be any of them that starts a process.
    while children := [
        int(each)
        for file in Path(f"/proc/{pid}/task").glob("*/children")
        for each in file.read_text().split()
    ]:
        (pid,) = children
    return pid


def test_the_image_answers_predictions_from_the_registry(
    image: Image, registry: Registry, settings: dict[str, str], tmp_path: Path
) -> None:
    """As its user and with its settings: it serves, follows a promotion, is healthy, ends with 0."""
    unhealthy = image.run(*image.health_check, settings=settings)
    assert (unhealthy.returncode, unhealthy.stdout) == (1, "")
    child = image.start(url(settings), tmp_path / "log", settings)
    with running(child, "/ready"):
        service = Service(child)
        record = service.example()
        expected = registry.reference("1").probabilities(record)
        assert service.predict(record)["probabilities"] == pytest.approx(expected, abs=1e-6)
        registry.stage("2", "Production")
        service.until_serving("2")
        assert service.predict(record)["model_version"] == "2"
        assert image.run(*image.health_check, settings=settings).returncode == 0
        os.kill(inside(child), signal.SIGTERM)
        assert child.process.wait(30) == 0, child.log.read_text()


def test_it_runs_as_the_first_process_of_a_read_only_container(
    image: Image, settings: dict[str, str], tmp_path: Path
) -> None:
    """No capability, no new privilege, nothing writable but a tmpfs and its volume; SIGTERM ends it with 0."""
    child = image.contain(image.entry, url(settings), tmp_path / "log", settings)
    with running(child, "/ready"):
        service = Service(child)
        assert service.predict(service.example())["model_version"] == "1"
        assert service.http.get("/model").json()["cache"]["fault"] is None
        process = Path(f"/proc/{inside(child)}")
        status = dict(
            line.split(":\t", 1) for line in (process / "status").read_text().splitlines()
        )
        assert status["NSpid"].split()[-1] == "1"
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {str(UID)}
        assert (status["NoNewPrivs"], int(status["CapEff"], 16)) == ("1", 0)
        mounts = [line.split()[4:6] for line in (process / "mountinfo").read_text().splitlines()]
        assert "ro" in next(options for place, options in mounts if place == "/").split(",")
        written = [path.name for path in (process / "root/tmp").iterdir()]
        assert not written
        os.kill(inside(child), signal.SIGTERM)
        assert child.process.wait(30) == 0, child.log.read_text()


def test_a_signal_while_it_starts_is_not_lost(
    image: Image, settings: dict[str, str], tmp_path: Path
) -> None:
    """The first process of a container has to handle SIGTERM before its slow imports."""
    child = image.contain(image.entry, url(settings), tmp_path / "log", settings)
    try:
        wait_until(lambda: handles(child, signal.SIGTERM), "it handles SIGTERM")
        os.kill(inside(child), signal.SIGTERM)
        assert child.process.wait(30) == 0
    finally:
        child.kill()
    assert "Started server process" not in child.log.read_text()


def handles(child: Child, number: signal.Signals) -> bool:
    """Whether the predictor handles a signal; what starts it does not."""
    try:
        process = Path(f"/proc/{inside(child)}")
        caught = re.search(r"^SigCgt:\s(\w+)$", (process / "status").read_text(), re.MULTILINE)
        name = (process / "cmdline").read_text()
    except (OSError, ValueError):
        return False  # it is being replaced by the next in the line
    return bool(caught) and "predictor" in name and bool(int(caught[1], 16) >> (number - 1) & 1)


def test_it_has_the_locale_of_models_with_text_features(image: Image) -> None:
    """Letters with accents become small in it as they do where the model was trained."""
    code = (
        "import base64, sys, numpy, onnxruntime; "
        "session = onnxruntime.InferenceSession(base64.b64decode(sys.argv[1])); "
        "rows = numpy.array([['ÉTÉ'], ['nothing']], object); "
        "print(numpy.count_nonzero(session.run(None, {'text': rows})[0], axis=1).tolist())"
    )
    found = image.run("python", "-c", code, base64.b64encode(reading_text()).decode())
    assert found.stdout.strip() == "[1, 0]", found.stderr


def test_it_has_what_serving_needs_and_nothing_more(image: Image) -> None:
    """Exactly the locked requirements and our package; nothing to install, build or train with."""
    installed = {
        f"{canonicalize_name(name)}=={version}"
        for each in image.root.glob(f"{PYTHON}/*.dist-info")
        for name, version in [each.name.removesuffix(".dist-info").split("-")]
    }
    assert installed == locked(image)
    assert sorted(path.name for path in (image.root / "app").iterdir()) == [
        "LICENSE",
        "approvals",
        "fleet",
        "predictor",
    ]
    unwanted = ["pip", "uv", "gcc", "cc", "c++", "ld", "make", "git", "curl", "wget"]
    found = image.run("sh", "-c", "for each; do command -v $each; done; true", "-", *unwanted)
    assert (found.stdout, found.stderr) == ("", "")
    assert image.run("python", "-c", "import pip").returncode == 1
    assert not [*image.root.glob("**/pip-*.whl")]


def locked(image: Image) -> set[str]:
    """What the requirements file pins for the image's Python, as `name==version`."""
    python = image.run("python", "-c", "import platform; print(platform.python_version())")
    environment = {"python_full_version": python.stdout.strip()}
    lines = re.findall(
        r"^(\S+==.*) \\$", (ROOT / "requirements/predictor.txt").read_text(), re.MULTILINE
    )
    requirements = [Requirement(line) for line in lines]
    return {
        f"{canonicalize_name(each.name)}{each.specifier}"
        for each in requirements
        if each.marker is None or each.marker.evaluate(environment)
    }


def test_its_bill_of_materials_lists_what_is_installed(image: Image, tmp_path: Path) -> None:
    """CycloneDX, valid by its schema: our packages as locked, Python, and Debian's as dpkg says."""
    file = tmp_path / "sbom.json"
    assert sbom.main(["--image", image.id, "--output", str(file)]) == 0
    # Seconds of imports, which every worker would spend when it collects the tests.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read_text()) is None
    bill = json.loads(file.read_text())
    assert bill["metadata"]["component"]["name"] == "mlflow-hotswap predictor"
    listed = {each.get("purl", each["name"]): each for each in bill["components"]}
    python = {purl.removeprefix("pkg:pypi/") for purl in listed if purl.startswith("pkg:pypi/")}
    assert python == {pin.replace("==", "@") for pin in locked(image)}
    # protobuf names its licence in words that are in no list of licences.
    assert {each["name"] for each in listed.values() if "licenses" not in each} - {
        each["name"] for purl, each in listed.items() if purl.startswith("pkg:deb/")
    } <= {"CPython", "protobuf"}
    debian = {each["name"] for purl, each in listed.items() if purl.startswith("pkg:deb/")}
    dpkg = image.run("dpkg-query", "--show", "--showformat", "${Package}\n").stdout.split()
    assert debian == set(dpkg)
    assert listed.keys() - {*(f"pkg:pypi/{each}" for each in python)} - {
        purl for purl in listed if purl.startswith("pkg:deb/")
    } == {"CPython"}


def test_its_size_is_the_one_in_the_documentation(image: Image) -> None:
    """Within a tenth: other base images and newer libraries move it."""
    page = (ROOT / "docs/containers.md").read_text()
    found = re.search(r"then has (\d+) MB unpacked", page)
    assert found
    listed = subprocess.run(
        ["buildah", "images", "--json", image.id], capture_output=True, text=True, check=True
    )
    size, unit = json.loads(listed.stdout)[0]["size"].split()
    assert unit == "MB"
    assert float(size) == pytest.approx(int(found[1]), rel=0.1)


def test_its_user_owns_nothing_but_the_volume(image: Image) -> None:
    """A fixed number, which Kubernetes can check; code and libraries are root's."""
    assert image.config["User"] == f"{UID}:{UID}"
    owned = {
        str(path.relative_to(image.root))
        for folder in ("app", "venv", "var", "etc", "usr")
        for path in (image.root / folder).rglob("*")
        if not path.is_symlink() and writable(path.stat())
    }
    volume = "var/cache/mlflow-hotswap"
    assert {path for path in owned if not path.startswith(f"{volume}/")} == {volume}


def writable(status: os.stat_result) -> bool:
    """Whether the image's user may write here, temporary folders aside, which all may."""
    if status.st_mode & stat.S_ISVTX:
        return False
    return UID in {status.st_uid, status.st_gid} or bool(status.st_mode & stat.S_IWOTH)


def test_every_module_that_it_imports_is_compiled_already(image: Image) -> None:
    """On a read-only file system it would be compiled at every start."""
    code = (
        "import pathlib, sys, predictor.service, predictor.healthcheck, predictor.workers.supervisor;"
        "modules = [m.__spec__ for m in sys.modules.values() if getattr(m, '__spec__', None)];"
        "print([s.name for s in modules if s.has_location and s.origin.endswith('.py')"
        " and not pathlib.Path(s.cached).exists()])"
    )
    found = image.run("python", "-c", code)
    assert found.stdout.strip() == "[]", found.stderr
    assert "PYTHONDONTWRITEBYTECODE=1" in image.config["Env"]


def test_its_labels_describe_it(image: Image) -> None:
    """The labels that registries and scanners read, and the signal that ends it."""
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in image.config["Labels"].items()
    }
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert labels["revision"] == head
    version = re.search(
        r'^__version__ = "(.+)"$', (ROOT / "predictor/__init__.py").read_text(), re.MULTILINE
    )
    assert version
    assert (labels["version"], labels["licenses"]) == (version[1], "Apache-2.0")
    assert labels["title"] == "mlflow-hotswap predictor"
    assert image.config["StopSignal"] == "SIGTERM"
    assert image.config["Entrypoint"] == ["python", "-m", "predictor"]
