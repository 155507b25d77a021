"""Compare the same load with a swap every second and without swaps."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.errors import BenchError
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.registry import Published, publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject
from stress.observation import Predictor

CONNECTIONS = 32
EVERY_SECONDS = 1.0
_MIN_SECONDS = 4  # of a sample, so that it has several swaps
POLL_SECONDS = 0.25  # shorter than the time between swaps
_TRIES = 3  # MLflow, too, may wait for its core
_MIN_SWAP_SHARE = 0.7  # of the promotions must become swaps during the sample


@dataclass(frozen=True)
class Swap:
    """Rounds without and with swaps, and the number of swaps in each of the latter."""

    quiet: list[Sample]
    swapping: list[Sample]
    swaps: list[int]


def run(context: BenchContext) -> Swap:
    """Alternate two versions of the logistic regression. Raises BenchError with too few swaps."""
    context.print_step("Swaps under load")
    models = [diagnosis(LOGISTIC), diagnosis(LOGISTIC, classify__C=0.01)]
    published = publish(context.mlflow_url, context.folder, "swapped", models)
    seconds = max(context.plan.seconds, _MIN_SECONDS)
    seen = Swap([], [], [])
    with context.scope() as scope:
        settings = {"PREDICTOR_POLL_SECONDS": str(POLL_SECONDS)}
        subject = servers.predictor(scope, published, settings)
        with context.plan.exclusive():
            subject.warm_up(connections=CONNECTIONS)
        for _ in range(context.plan.rounds):
            with context.plan.exclusive():
                seen.quiet.append(subject.sample(connections=CONNECTIONS, seconds=seconds))
                _swapping(subject, published, seconds, seen)
    return seen


def _swapping(subject: Subject, published: Published, seconds: int, seen: Swap) -> None:
    for _ in range(_TRIES):
        sample, swaps, passed = _sample(subject, published, seconds)
        if swaps >= _MIN_SWAP_SHARE * passed / EVERY_SECONDS:
            seen.swapping.append(sample)
            seen.swaps.append(swaps)
            return
    raise BenchError(f"only {swaps} swaps in {passed:.0f} s")


def _sample(subject: Subject, published: Published, seconds: int) -> tuple[Sample, int, float]:
    """A sample, the number of swaps during it, and the seconds."""
    with closing(Predictor(subject.child, subject.child.log.parent / "cache")) as predictor:
        before, began = predictor.view().swaps, time.monotonic()
        with _promotions(published):
            sample = subject.sample(connections=CONNECTIONS, seconds=seconds)
        swaps, passed = predictor.view().swaps - before, time.monotonic() - began
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
