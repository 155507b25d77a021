"""The cost of records: the predictor with them, and without."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import process
from benchmarks.context import BenchContext
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.http import CONNECTIONS, Rounds, interleaved
from benchmarks.parts.traces import full_predictor
from benchmarks.registry import publish

OFF, ON = "no records", "every prediction recorded"
_WRITER = b"predictor.recording.writer"
_SECONDS = 30  # for a process to start


@dataclass(frozen=True)
class Records:
    """Rounds by number of connections, then by configuration."""

    loads: dict[int, Rounds]


def run(context: BenchContext) -> Records:
    """Measure the logistic regression; the writer runs on wrk's core, in a lower priority."""
    context.print_step("Records")
    published = publish(context.mlflow_url, context.folder, "recorded", [diagnosis(LOGISTIC)])
    with context.scope() as scope:
        recorded = {"PREDICTOR_RECORD_URI": str(context.folder / "records")}
        subjects = {
            OFF: full_predictor(scope, published, OFF, {}),
            ON: full_predictor(scope, published, ON, recorded),
        }
        writer = child_of(subjects[ON].child.process.pid, _WRITER)
        os.sched_setaffinity(writer, {context.cores.clients})
        process.lower_priority(writer)
        return Records(interleaved(context.plan.of_tails, subjects, CONNECTIONS))


def child_of(pid: int, command: bytes) -> int:
    """The process with this in its command line that a predictor has started."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if command in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        time.sleep(0.1)
    raise BenchError(f"the predictor did not start {command.decode()} within {_SECONDS} s")
