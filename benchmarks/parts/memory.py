"""The memory of the predictor after swaps between two versions of 100 MB each."""

import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.context import BenchContext
from benchmarks.models import large_forest
from benchmarks.registry import Published, publish
from benchmarks.subject import Subject
from stress.observation import Memory, Predictor

SWAPS = 4
_SETTLE_SECONDS = 4  # the predictor frees memory a second after a load, and after the last response


@dataclass(frozen=True)
class SwapMemory:
    """The size of the ONNX file in MB (10^6 bytes); the memory before the swaps, and after each of them."""

    model_megabytes: float
    before: Memory
    after: list[Memory]


def run(context: BenchContext) -> SwapMemory:
    """Serve the first version, then swap between the two versions."""
    context.print_step("Memory after swaps of a large model")
    models = [large_forest(seed) for seed in (1, 2)]
    published = publish(context.mlflow_url, context.folder, "large", models)
    settings = {"PREDICTOR_POLL_SECONDS": "0.25"}
    with context.scope() as scope:
        subject = servers.predictor(scope, published, settings)
        observed = Predictor(subject.child, servers.predictor_folder(scope, published) / "cache")
        with closing(observed) as predictor:
            before = _settled(subject, predictor)
            after = [
                _swapped(published, subject, predictor, 1 + number % 2)
                for number in range(1, SWAPS + 1)
            ]
    return SwapMemory(published.files[0].stat().st_size / 1e6, before, after)


def _swapped(published: Published, subject: Subject, predictor: Predictor, version: int) -> Memory:
    """The memory after a swap to this version."""
    published.promote(version)
    predictor.settle(version)
    return _settled(subject, predictor)


def _settled(subject: Subject, predictor: Predictor) -> Memory:
    """The memory after some requests and a pause."""
    subject.warm_up(connections=4)
    time.sleep(_SETTLE_SECONDS)
    return predictor.memory()
