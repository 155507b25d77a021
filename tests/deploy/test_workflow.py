"""What runs where strangers send changes is what runs here."""

import re

import pytest
import yaml

from demo.processes import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_workflow_runs_the_same_script_and_builds_wheel_and_images_on_a_tag():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    steps = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    assert ".ci/run" in steps["test"]
    assert jobs["release"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert jobs["release"]["needs"] == "test"
    release = "\n".join(steps["release"])
    assert "make dist" in release
    assert "PROJECT_SOURCE" in jobs["release"]["env"]
    assert "make image" in release


@pytest.mark.parametrize("file", [".github/workflows/ci.yml", ".pre-commit-config.yaml"])
def test_every_command_exists(file):
    """A target or a script that was renamed is renamed here, too."""
    text = (ROOT / file).read_text()
    for target in re.findall(r"(?:entry: |^ +)make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for path in re.findall(r"(?:\.ci/\w+|requirements/\w+\.txt)", text):
        assert (ROOT / path).exists(), path
    for program in re.findall(r"entry: \.venv/bin/([\w-]+)", text):
        assert f"$(BIN)/{program}" in MAKEFILE, program
