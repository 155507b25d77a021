"""One record per request: the predictor and both references, in alternating rounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks import servers
from benchmarks.context import BenchContext, Plan
from benchmarks.models import LOGISTIC, diagnosis
from benchmarks.parts.batch import Batch
from benchmarks.registry import publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject

CONNECTIONS = (1, 32)

Rounds = dict[str, list[Sample]]  # by server, one sample per round


@dataclass(frozen=True)
class Http:
    """Rounds of one model by number of connections; each server's memory (PSS, MB) after them.

    `batches` are rounds of batches of 100 records, by server.
    """

    model: str
    loads: dict[int, Rounds]
    pss_megabytes: dict[str, float]
    batches: dict[str, Batch] = field(default_factory=dict)


def run(context: BenchContext) -> Http:
    """Measure the logistic regression."""
    context.print_step(f"One record a request: {LOGISTIC}")
    published = publish(context.mlflow_url, context.folder, LOGISTIC, [diagnosis(LOGISTIC)])
    with context.scope() as scope:
        return measure(LOGISTIC, servers.all_three(scope, published), scope.plan)


def measure(model: str, subjects: Mapping[str, Subject], plan: Plan) -> Http:
    """Measure each server with one connection and with many, then its memory."""
    loads = interleaved(plan, subjects, CONNECTIONS)
    memory = {name: subject.pss_megabytes() for name, subject in subjects.items()}
    return Http(model, loads, memory)


def interleaved(
    plan: Plan, subjects: Mapping[str, Subject], connections: Iterable[int]
) -> dict[int, Rounds]:
    """Measure each server in turn, once per round; results by number of connections."""
    loads: dict[int, Rounds] = {n: {name: [] for name in subjects} for n in connections}
    with plan.exclusive():
        for subject in subjects.values():
            subject.warm_up(connections=max(loads))
    for _ in range(plan.rounds):
        with plan.exclusive():
            for n, rounds in loads.items():
                for name, subject in subjects.items():
                    rounds[name].append(subject.sample(connections=n, seconds=plan.seconds))
    return loads
