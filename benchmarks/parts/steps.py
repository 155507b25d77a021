"""Where the CPU time of one `/predict` request goes, at 32 connections."""

import json
import os
import subprocess
from dataclasses import dataclass

from benchmarks.context import BenchContext
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import publish
from benchmarks.servers import record_file
from demo.processes import ROOT, predictor_python


@dataclass(frozen=True)
class Steps:
    """CPU time in µs per request, one for each round: of each step, and of all, measured at once."""

    steps: dict[str, list[float]]
    whole: list[float]


def run(context: BenchContext) -> Steps:
    """Measure the logistic regression, in one process on the server's core."""
    context.print_step("Steps of a request")
    published = publish(context.mlflow_url, context.folder, "steps", [diagnosis(LOGISTIC)])
    command = [
        predictor_python(), "-m", "benchmarks.references.steps",
        str(published.files[0]), str(record_file(context, published)),
    ]  # fmt: skip
    env = {**os.environ, **published.settings}
    found = Steps({}, [])
    for _ in range(context.plan.rounds):
        with context.plan.exclusive():
            with context.cores.pin_children_to_server():
                process = subprocess.Popen(
                    command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
                )
            output, _ = process.communicate()
        steps, whole = json.loads(output.splitlines()[-1])
        for name, microseconds in steps.items():
            found.steps.setdefault(name, []).append(microseconds)
        found.whole.append(whole)
    return found
