"""The CPU time of a request's steps is measured in the real service."""

import json
import math
import subprocess
import sys

import pytest

from benchmarks.parts.steps import Steps
from demo.processes import ROOT
from tests.predictor.graphs import classifier


@pytest.mark.whole
def test_every_step_has_a_time(tmp_path):
    """Each client gets a response in every tick; else the program fails."""
    model, body = tmp_path / "model.onnx", tmp_path / "body.json"
    model.write_bytes(classifier())
    body.write_bytes(b'{"feature_0": 1.5, "feature_1": 2.5}')
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.references.steps", str(model), str(body)],
        cwd=ROOT, env={"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    steps, whole = json.loads(done.stdout.splitlines()[-1])
    found = Steps({name: [each] for name, each in steps.items()}, [whole])
    assert len(found.steps) == 10
    assert all(map(math.isfinite, steps.values()))
    assert whole > 0
