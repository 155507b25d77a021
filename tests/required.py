"""Programs that some tests need: missing, they fail the test in CI and skip it elsewhere."""

import os
import shutil
from pathlib import Path

import pytest

whole = True
"""Whether the test that runs is marked `whole`; conftest.py sets it."""


def program(name: str) -> str:
    """The path of an installed program. Only tests that are marked `whole` may need one."""
    if not whole:
        pytest.fail(f"mark this test with pytest.mark.whole: it needs {name}")
    path = shutil.which(name)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not installed; .ci/run installs it")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def library(name: str, package: str) -> str:
    """The path of a shared library of a Debian package, for LD_PRELOAD."""
    program(package)
    found = sorted(Path("/usr/lib").glob(f"*/{package}/{name}"))
    if not found:
        pytest.skip(f"{name} is not installed")
    return str(found[0])
