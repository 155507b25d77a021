"""Programs that some tests need: missing, they fail the test in CI and skip it elsewhere."""

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of an installed program."""
    path = shutil.which(name)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not installed; .ci/run installs it")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path
