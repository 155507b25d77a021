"""The images with extras: several at once, all of them pinned."""

import re
import tomllib

import pytest

from demo.processes import ROOT
from tests.deploy.image import built

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
# What each extra of an image is imported as.
MODULES = {
    "predictor": {
        "approvals": "approvals.approvers",
        "traces": "opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http",
        "grpc": "grpc, predictor.protocols.open_inference.grpc.server",
        "nats": "nats, predictor.fleet.connection",
        "record": "predictor.recording.writer",
        "s3": "s3fs",
        "gcs": "gcsfs",
        "azure": "adlfs",
    },
    "trainer": {
        "lightgbm": "lightgbm, onnxmltools",
        "xgboost": "xgboost",
        "catboost": "catboost",
        "optuna": "trainer.shared_search",
        "pkcs11": "pkcs11",
        "duckdb": "duckdb",
    },
}
PINS = {"predictor": "extras", "trainer": "trainer-extras"}
VARIABLES = {"predictor": "SERVICE_EXTRAS", "trainer": "TRAINER_EXTRAS"}
of_both = pytest.mark.parametrize("target", MODULES)


def pins(name: str) -> set[str]:
    """The lines `name==version` of a requirements file, with their markers."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return set(re.findall(r"^(\S+==.*?) \\$", text, re.MULTILINE))


@of_both
def test_extras_do_not_change_the_other_packages(target):
    """An image with extras has every package of one without, in the same version, and those of each extra."""
    found = pins(PINS[target])
    assert pins(target) <= found
    names = {pin.partition("==")[0] for pin in found}
    for extra in MODULES[target]:
        for requirement in EXTRAS[extra]:
            assert re.match(r"[\w-]+", requirement)[0] in names


@of_both
def test_the_pages_name_every_extra_that_an_image_can_have(target):
    """The Makefile pins those and no others."""
    makefile, extras = (ROOT / "Makefile").read_text(), [*MODULES[target]]
    listed = re.search(rf"^{VARIABLES[target]} = (.+)$", makefile, re.MULTILINE)
    assert listed[1].split() == extras
    *others, last = (f"`{name}`" for name in extras)
    page = " ".join((ROOT / "docs/containers.md").read_text().split())
    assert f"{', '.join(others)} and {last}" in page


@pytest.mark.whole
@pytest.mark.timeout(1800)
@of_both
def test_an_image_with_every_extra_imports_them_all(target):
    """By one build argument, with spaces or commas between the names."""
    extras = [*MODULES[target]]
    with built(target, EXTRAS=f"{' '.join(extras[:3])},{','.join(extras[3:])}") as image:
        done = image.run("python", "-c", f"import {', '.join(MODULES[target].values())}")
        assert (done.returncode, done.stderr) == (0, "")
        mlflow = image.run("python", "-c", "import mlflow")
        assert (mlflow.returncode == 0) == (target == "trainer")


@pytest.mark.whole
@pytest.mark.timeout(1800)
@of_both
def test_an_unknown_extra_ends_the_build(target):
    """An image without it would only fail where it is used."""
    with (
        pytest.raises(AssertionError, match="extra not found: grcp"),
        built(target, EXTRAS="grcp"),
    ):
        pass
