"""The costs are measured on a real MLflow server and a real predictor."""

import re
import subprocess
import sys
from dataclasses import fields

import pytest

from demo.processes import ROOT
from scale import costs, report
from scale.costs import Costs
from scale.experiment import compare
from scale.measure import Counts, measure
from scale.registry import followed_model

DOCUMENT = (ROOT / "docs/scale.md").read_text()


def scale(*arguments: str) -> str:
    command = [sys.executable, "-m", "scale", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.whole
def test_a_real_server_and_a_real_replica_are_measured(mlflow_server, tmp_path):
    """A few requests of each kind give every figure; pollers hear of a real promotion."""
    model = followed_model(mlflow_server.url, mlflow_server.group, tmp_path)
    found = measure(model, tmp_path, Counts(each=2, large=1, full_seconds=0.2))
    compared = compare(model, found, replicas=4, load=0.2, polls=2)
    for field in fields(Costs):
        assert getattr(found, field.name), field.name
    assert found.series > 100
    assert found.file(12) > found.small_file
    assert len(compared.real.noticed) == len(compared.simulated.noticed) == 4
    assert len(compared.lines()) == 5
    costs.write(found, tmp_path / "costs.json")
    assert costs.read(tmp_path / "costs.json") == found


def test_the_command_prints_a_line_for_each_plan():
    """`python -m scale` with several values of an option."""
    arguments = ("--replicas", "10", "50", "--poll-seconds", "2", "--servers", "1")
    printed = scale(*arguments).splitlines()
    assert len(printed) == 4
    assert printed[2].startswith("| 10 | 2 | 1 | 0.022 |")


def test_the_document_shows_what_was_measured():
    """docs/scale.md shows the stored costs."""
    assert report.measured(costs.read()) in DOCUMENT


@pytest.mark.parametrize("command", re.findall(r"^python -m scale (--.*)$", DOCUMENT, re.MULTILINE))
def test_the_document_shows_what_its_commands_print(command):
    """Each simulated table is the output of the command above it."""
    printed = scale(*command.split())
    assert f"{command}\n```\n\n{printed}" in DOCUMENT
