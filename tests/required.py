"""What some tests need beside Python: missing, it fails the test in CI and skips it elsewhere."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

from demo.processes import ROOT

whole = True
"""Whether the test that runs is marked `whole`; conftest.py sets it."""


def program(name: str) -> str:
    """The path of an installed program. Only tests that are marked `whole` may need one."""
    if not whole:
        pytest.fail(f"mark this test with pytest.mark.whole: it needs {name}")
    path = shutil.which(name)
    if path is None:
        _missing(f"{name} is not installed", "; .ci/run installs it")
    return str(path)


def development_program(name: str) -> str:
    """The path of a program that the development requirements install, beside this Python or on the PATH."""
    path = Path(sys.executable).with_name(name)
    found = str(path) if path.exists() else shutil.which(name)
    if found is None:
        _missing(f"{name} is not installed", "; `make environments` installs it")
    return str(found)


def library(name: str, package: str) -> str:
    """The path of a shared library of a Debian package, for LD_PRELOAD."""
    program(package)
    found = sorted(Path("/usr/lib").glob(f"*/{package}/{name}"))
    if not found:
        _missing(f"{name} is not installed", f"; it is part of {package}")
    return str(found[0])


def module(name: str) -> None:
    """A module of an extra that not every environment of the tests has yet."""
    if importlib.util.find_spec(name) is None:
        _missing(f"the module {name} is not installed", "; `make environments` installs it")


def environment(name: str) -> str:
    """The Python of the environment that has requirements/NAME.txt and nothing else."""
    python = os.environ.get(f"{name.upper()}_PYTHON") or str(ROOT / f".venv-{name}/bin/python")
    if not Path(python).exists():
        _missing(f"there is no {python}", f"; `make .venv-{name}/installed` makes it")
    return python


def _missing(what: str, remedy: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(what + remedy)
    pytest.skip(what + remedy)
