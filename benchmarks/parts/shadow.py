"""The cost of a shadow: the predictor with one, and without, at half of the load that it can bear."""

import json
import os
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.context import BenchContext
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import Rounds
from benchmarks.parts.records import child_of
from benchmarks.parts.traces import full_predictor
from benchmarks.registry import publish
from benchmarks.sample import middle, rate
from benchmarks.subject import Subject

OFF, ON = "no shadow", "every prediction repeated by a shadow"
_CONNECTIONS = 64
_PROCESS = b"predictor.shadow.process"
_SECONDS = 60  # for the shadow to compare


@dataclass(frozen=True)
class Shadow:
    """Rounds at half load by configuration, the requests per second of a full load, and the share of the rows compared."""

    half: Rounds
    full_rate: float
    compared: float


def run(context: BenchContext) -> Shadow:
    """Measure the logistic regression beside another one; the shadow's process runs on wrk's core, when wrk does not need it."""
    context.print_step("Shadow")
    models = [diagnosis(LOGISTIC), diagnosis(LOGISTIC, classify__C=0.01)]
    published = publish(context.mlflow_url, context.folder, "shadowed", models)
    plan = context.plan.brief
    with context.scope() as scope:
        shadow = {"PREDICTOR_SHADOW_URI": f"models:/{published.name}/2"}
        subjects = {
            OFF: full_predictor(scope, published, OFF, {}),
            ON: full_predictor(scope, published, ON, shadow),
        }
        process = child_of(subjects[ON].child.process.pid, _PROCESS)
        for thread in Path(f"/proc/{process}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {context.cores.clients})
        _wait_until_it_compares(subjects[ON])
        with plan.exclusive():
            full = [subjects[OFF].sample(connections=_CONNECTIONS, seconds=plan.seconds)]
        pause = round(1000 * _CONNECTIONS / (middle(full, rate) / 2))
        rounds: Rounds = {OFF: [], ON: []}
        tails = context.plan.of_tails
        for _ in range(tails.rounds):
            with plan.exclusive():
                for name, subject in subjects.items():
                    half = replace(subject, pause_ms=pause)
                    rounds[name].append(
                        half.sample(connections=_CONNECTIONS, seconds=tails.seconds)
                    )
        return Shadow(rounds, middle(full, rate), _share(subjects[ON]))


def _wait_until_it_compares(subject: Subject) -> None:
    deadline = time.monotonic() + _SECONDS
    while _told(subject)["state"] != "comparing":
        if time.monotonic() > deadline:
            raise BenchError(f"the shadow does not compare after {_SECONDS} s: {_told(subject)}")
        time.sleep(0.1)


def _share(subject: Subject) -> float:
    told = _told(subject)
    rows = told["rows"] + told["skipped_rows"] + told["failed_rows"]
    if not told["rows"]:
        raise BenchError(f"the shadow compared nothing: {told}")
    return float(told["rows"] / rows)


def _told(subject: Subject) -> dict[str, Any]:
    with urllib.request.urlopen(f"{subject.child.url}/model", timeout=10) as response:
        return dict(json.load(response)["shadow"])
