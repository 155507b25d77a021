"""The names that the package offers, and what is said where its extra is missing."""

import subprocess

import pytest

import exporters
from demo.processes import ROOT, predictor_python


@pytest.mark.parametrize("name", exporters.__all__)
def test_every_name_can_be_imported(name):
    """They are imported when they are used."""
    assert getattr(exporters, name)


def test_a_missing_extra_is_named():
    """In the environment that has what serving needs and nothing more."""
    done = subprocess.run(
        [predictor_python(), "-c", "from exporters import log_model"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: log_model needs the package mlflow, which is not installed: "
        "pip install 'mlflow-hotswap[trainer]'"
    )
