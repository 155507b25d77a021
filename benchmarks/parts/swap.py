"""A swap every second under load, and the same load on the same process without."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle

from benchmarks import servers
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from benchmarks.sample import Sample
from benchmarks.stage import Stage
from benchmarks.subject import Subject
from stress.observed import Predictor

CONNECTIONS = 32
EVERY_SECONDS = 1.0
_LEAST_SECONDS = 4  # of a sample: several swaps fall into each
POLL_SECONDS = 0.25  # a swap is noticed well before the next
_TRIES = 3  # MLflow, too, can have to wait for its core
_FEWEST = 0.7  # of the promotions must have become swaps before the sample ends


@dataclass(frozen=True)
class Swap:
    """Rounds without and with swaps, and how many swaps each of the latter saw."""

    quiet: list[Sample]
    swapping: list[Sample]
    swaps: list[int]


def run(stage: Stage) -> Swap:
    """Two versions of the logistic regression in turn. Raises BenchError where swaps did not come."""
    stage.say("Swaps under load")
    models = [diagnosis(LOGISTIC), diagnosis(LOGISTIC, classify__C=0.01)]
    published = publish(stage.mlflow_url, stage.folder, "swapped", models)
    seconds = max(stage.plan.seconds, _LEAST_SECONDS)
    seen = Swap([], [], [])
    with stage.scene() as scene:
        settings = {"PREDICTOR_POLL_SECONDS": str(POLL_SECONDS)}
        subject = servers.predictor(scene, published, settings)
        with stage.plan.quiet():
            subject.warm_up(connections=CONNECTIONS)
        for _ in range(stage.plan.rounds):
            with stage.plan.quiet():
                seen.quiet.append(subject.sample(connections=CONNECTIONS, seconds=seconds))
                _swapping(subject, published, seconds, seen)
    return seen


def _swapping(subject: Subject, published: Published, seconds: int, seen: Swap) -> None:
    for _ in range(_TRIES):
        sample, swaps, passed = _sample(subject, published, seconds)
        if swaps >= _FEWEST * passed / EVERY_SECONDS:
            seen.swapping.append(sample)
            seen.swaps.append(swaps)
            return
    raise BenchError(f"only {swaps} swaps in {passed:.0f} s")


def _sample(subject: Subject, published: Published, seconds: int) -> tuple[Sample, int, float]:
    """A sample, the swaps that came meanwhile, and the seconds that both took."""
    with closing(Predictor(subject.child, subject.child.log.parent / "cache")) as predictor:
        before, began = predictor.look().swaps, time.monotonic()
        with _promotions(published):
            sample = subject.sample(connections=CONNECTIONS, seconds=seconds)
        swaps, passed = predictor.look().swaps - before, time.monotonic() - began
    return sample, swaps, passed


@contextmanager
def _promotions(published: Published) -> Iterator[None]:
    done = threading.Event()

    def promote() -> None:
        for version in cycle((2, 1)):
            published.promote(version)
            if done.wait(EVERY_SECONDS):
                return

    thread = threading.Thread(target=promote)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
