"""The smallest bench there is, against the real parts: it prints every figure; the speed is not checked."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.servers import BY_HAND, EMPTY, PREDICTOR
from demo.processes import ROOT
from tests.required import program

pytestmark = pytest.mark.whole


def test_a_second_of_each_server(tmp_path: Path):
    """Every figure of a part is there, and each target has a verdict."""
    program("wrk")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("the bench needs two cores")
    file = tmp_path / "results.json"
    arguments = [
        "--only",
        "http",
        "--seconds",
        "1",
        "--rounds",
        "1",
        "--tries",
        "1",
        "--output",
        str(file),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = results.read(file, results.Results)
    assert found.http is not None
    for rounds in found.http.loads.values():
        assert set(rounds) == {EMPTY, BY_HAND, PREDICTOR}
        for (sample,) in rounds.values():
            assert sample.requests > 0
            assert 0 < sample.p50_us <= sample.p99_us
            assert sample.cpu_us > 0
    assert min(found.http.pss_megabytes.values()) > 0
    assert len(re.findall(r"\b(met|missed)\b", done.stdout)) == 6
