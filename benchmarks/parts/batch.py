"""Rows per second of `/predict/batch`, compared with decoding and ONNX Runtime in a loop."""

import subprocess
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject
from demo.processes import ROOT, predictor_python

ROWS = (1, 10, 100, 1_000, 10_000)
# Enough to keep the server busy while wrk reads a response; large bodies need fewer.
_CONNECTIONS = {1: 32, 10: 32, 100: 16, 1_000: 4, 10_000: 4}
_MAX_BODY_BYTES = 64_000_000  # 10,000 rows are more than a megabyte


@dataclass(frozen=True)
class Batch:
    """Rounds with one batch size; `loop` has the loop's rows per second in each round."""

    rows: int
    samples: list[Sample]
    loop: list[float]

    @property
    def rates(self) -> list[float]:
        """The predictor's rows per second, in each round."""
        return [self.rows * sample.requests_per_second for sample in self.samples]

    @property
    def shares(self) -> list[float]:
        """The predictor's rate divided by the loop's, in each round."""
        return [ours / alone for ours, alone in zip(self.rates, self.loop, strict=True)]


def run(context: BenchContext) -> list[Batch]:
    """Measure the logistic regression with each batch size."""
    context.print_step("Batches")
    published = publish(context.mlflow_url, context.folder, "batches", [diagnosis(LOGISTIC)])
    with context.scope() as scope:
        settings = {"PREDICTOR_MAX_BODY_BYTES": str(_MAX_BODY_BYTES)}
        single = servers.predictor(scope, published, settings)
        return [measure(scope, published, single, rows) for rows in ROWS]


def measure(context: BenchContext, published: Published, single: Subject, rows: int) -> Batch:
    """Measure batches of so many rows at a server of single records."""
    subject, batch = _batch_subject(single, published, rows), Batch(rows, [], [])
    for _ in range(context.plan.rounds):
        with context.plan.exclusive():
            batch.samples.append(
                subject.sample(connections=_CONNECTIONS[rows], seconds=context.plan.brief.seconds)
            )
            batch.loop.append(_loop(context, published.files[0], subject.body))
    return batch


def _batch_subject(single: Subject, published: Published, rows: int) -> Subject:
    """The same server with requests of this many rows."""
    known = len(published.truth.records)
    numbers = [number % known for number in range(rows)]
    body = single.body.with_name(f"{rows}-rows.json")
    instances = [published.truth.records[number] for number in numbers]
    body.write_bytes(msgspec.json.encode({"instances": instances}))
    check = partial(published.truth.batch, records=numbers)
    return replace(single, body=body, check=check, path="/predict/batch")


def _loop(context: BenchContext, model: Path, body: Path) -> float:
    command = [
        predictor_python(), "-m", "benchmarks.references.loop",
        str(model), str(body), str(context.plan.brief.seconds),
    ]  # fmt: skip
    with context.cores.pin_children_to_server():
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate()
    return float(output)
