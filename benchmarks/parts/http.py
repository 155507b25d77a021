"""One record per request: the predictor and both references, in alternating rounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.context import BenchContext, Plan
from benchmarks.models import BOOSTING, FOREST, LOGISTIC, MLP, diagnosis
from benchmarks.registry import publish
from benchmarks.sample import Sample
from benchmarks.subject import Subject

CONNECTIONS = (1, 32)

Rounds = dict[str, list[Sample]]  # by server, one sample per round


@dataclass(frozen=True)
class Http:
    """Rounds of one model by number of connections; each server's memory (PSS, MB) after them."""

    model: str
    loads: dict[int, Rounds]
    pss_megabytes: dict[str, float]


def run(context: BenchContext) -> Http:
    """Measure the logistic regression."""
    return _one(context, LOGISTIC, context.plan)


def run_models(context: BenchContext) -> list[Http]:
    """Measure the more expensive models."""
    return [_one(context, kind, context.plan.brief) for kind in (FOREST, BOOSTING, MLP)]


def _one(context: BenchContext, kind: str, plan: Plan) -> Http:
    context.print_step(f"One record a request: {kind}")
    published = publish(context.mlflow_url, context.folder, kind, [diagnosis(kind)])
    with context.scope() as scope:
        subjects = servers.all_three(scope, published)
        loads = interleaved(plan, subjects, CONNECTIONS)
        memory = {name: subject.pss_megabytes() for name, subject in subjects.items()}
    return Http(kind, loads, memory)


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
