"""`/predict/batch` in rows per second, beside decoding and ONNX Runtime alone in a loop."""

import subprocess
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from benchmarks import servers
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from benchmarks.sample import Sample
from benchmarks.stage import Stage
from benchmarks.subject import Subject
from demo.processes import ROOT, predictor_python

ROWS = (1, 10, 100, 1_000, 10_000)
# Enough to keep the server busy while wrk reads an answer; large bodies need fewer for it.
_CONNECTIONS = {1: 32, 10: 32, 100: 16, 1_000: 4, 10_000: 4}
_MOST_BODY_BYTES = 64_000_000  # 10,000 rows are more than a megabyte


@dataclass(frozen=True)
class Batch:
    """Rounds of batches of so many rows, and the loop's rows per second in each."""

    rows: int
    samples: list[Sample]
    loop: list[float]

    @property
    def rates(self) -> list[float]:
        """Rows per second that the predictor answered, in each round."""
        return [self.rows * sample.requests_per_second for sample in self.samples]

    @property
    def shares(self) -> list[float]:
        """What part of the loop's rows that is, in each round."""
        return [ours / alone for ours, alone in zip(self.rates, self.loop, strict=True)]


def run(stage: Stage) -> list[Batch]:
    """The logistic regression, with batches from small to large."""
    stage.say("Batches")
    published = publish(stage.mlflow_url, stage.folder, "batches", [diagnosis(LOGISTIC)])
    with stage.scene() as scene:
        settings = {"PREDICTOR_MAX_BODY_BYTES": str(_MOST_BODY_BYTES)}
        single = servers.predictor(scene, published, settings)
        return [_one(scene, published, single, rows) for rows in ROWS]


def _one(stage: Stage, published: Published, single: Subject, rows: int) -> Batch:
    subject, batch = _asked_for(single, published, rows), Batch(rows, [], [])
    for _ in range(stage.plan.rounds):
        with stage.plan.quiet():
            batch.samples.append(
                subject.sample(connections=_CONNECTIONS[rows], seconds=stage.plan.brief.seconds)
            )
            batch.loop.append(_loop(stage, published.files[0], subject.body))
    return batch


def _asked_for(single: Subject, published: Published, rows: int) -> Subject:
    """The same server, asked for so many rows at a time."""
    known = len(published.truth.records)
    numbers = [number % known for number in range(rows)]
    body = single.body.with_name(f"{rows}-rows.json")
    instances = [published.truth.records[number] for number in numbers]
    body.write_bytes(msgspec.json.encode({"instances": instances}))
    check = partial(published.truth.batch, records=numbers)
    return replace(single, body=body, check=check, path="/predict/batch")


def _loop(stage: Stage, model: Path, body: Path) -> float:
    command = [
        predictor_python(), "-m", "benchmarks.references.loop",
        str(model), str(body), str(stage.plan.brief.seconds),
    ]  # fmt: skip
    with stage.cores.of_the_server():
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    output, _ = process.communicate()
    return float(output)
