"""One record a request: the predictor beside both references, round after round."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks import servers
from benchmarks.models import BOOSTING, FOREST, LOGISTIC, MLP, diagnosis
from benchmarks.registry import publish
from benchmarks.sample import Sample
from benchmarks.stage import Plan, Stage
from benchmarks.subject import Subject

CONNECTIONS = (1, 32)

Rounds = dict[str, list[Sample]]  # by server, one a round


@dataclass(frozen=True)
class Http:
    """One model's: rounds by the number of connections, and each server's memory (PSS, MB) after them."""

    model: str
    loads: dict[int, Rounds]
    pss_megabytes: dict[str, float]


def run(stage: Stage) -> Http:
    """Logistic regression."""
    return _one(stage, LOGISTIC, stage.plan)


def run_models(stage: Stage) -> list[Http]:
    """The models that cost more to compute."""
    return [_one(stage, kind, stage.plan.brief) for kind in (FOREST, BOOSTING, MLP)]


def _one(stage: Stage, kind: str, plan: Plan) -> Http:
    stage.say(f"One record a request: {kind}")
    published = publish(stage.mlflow_url, stage.folder, kind, [diagnosis(kind)])
    with stage.scene() as scene:
        subjects = servers.all_three(scene, published)
        loads = interleaved(plan, subjects, CONNECTIONS)
        memory = {name: subject.pss_megabytes() for name, subject in subjects.items()}
    return Http(kind, loads, memory)


def interleaved(
    plan: Plan, subjects: Mapping[str, Subject], connections: Iterable[int]
) -> dict[int, Rounds]:
    """Each server in turn, as often as there are rounds."""
    loads: dict[int, Rounds] = {n: {name: [] for name in subjects} for n in connections}
    with plan.quiet():
        for subject in subjects.values():
            subject.warm_up(connections=max(loads))
    for _ in range(plan.rounds):
        with plan.quiet():
            for n, rounds in loads.items():
                for name, subject in subjects.items():
                    rounds[name].append(subject.sample(connections=n, seconds=plan.seconds))
    return loads
