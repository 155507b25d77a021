"""Run scenarios against one predictor after the other, under load, and report each."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import httpx

from demo.processes import Child, free_port, running, start_mlflow, start_predictor
from stress.clients import Clients, Load
from stress.model import ByAlias, ByStage, Pointer, StressModel
from stress.observation import Memory, Predictor, Settling
from stress.report import Report
from stress.scenarios import ALL, VERSIONS, ScenarioContext
from stress.truth import ONE_ROW_OR_MANY, Truth

_FIRST_MEMORY = 50  # swaps before the first measurement
POINTERS = {"alias": ByAlias, "stage": ByStage}


@dataclass(frozen=True)
class Plan:
    """Minimum swaps for each predictor, its pointers, poll interval and load."""

    swaps: int
    pointers: tuple[str, ...] = ("alias", "stage")
    poll_seconds: float = 0.05
    quiet_seconds: float = 2
    load: Load = field(default_factory=Load)


@dataclass(frozen=True)
class _Outcome:
    """The result of the scenarios; `settled` is the last version."""

    settled: int
    settling: tuple[Settling, ...]
    memory: tuple[tuple[int, Memory], ...]
    swaps: int


@dataclass(frozen=True)
class _FirstRun:
    """The report before the restart, and the parameters of the restart."""

    report: Report
    truth: Truth
    folder: Path
    env: dict[str, str]


def run(trained: Path, folder: Path, plan: Plan) -> list[Report]:
    """Stress one predictor for each pointer, and restart it without the registry.

    Args:
        trained: the folder of an MLflow server with trained versions; new versions are added.
        folder: for the predictors' logs and caches.
        plan: the amount of work.
    """
    with running(start_mlflow(trained)) as server:
        first_runs = [
            _first_run(server, pointer, folder / pointer, plan) for pointer in plan.pointers
        ]
    return [_restarted(first_run) for first_run in first_runs]


def _first_run(server: Child, kind: str, folder: Path, plan: Plan) -> _FirstRun:
    model = StressModel.copy(server.url, f"stress-{kind}-{time.time_ns():x}")
    pointer: Pointer = POINTERS[kind](model)
    truth = model.truth()
    smallest = min(map(truth.difference, range(len(truth.records))))
    if smallest < 1000 * ONE_ROW_OR_MANY:
        raise ValueError(
            f"two versions differ by {smallest} only: too little to detect a wrong answer"
        )
    pointer.point_to(VERSIONS[0])
    env = {
        "MLFLOW_TRACKING_URI": server.url,
        "PREDICTOR_MODEL_URI": pointer.model_uri,
        "PREDICTOR_POLL_SECONDS": str(plan.poll_seconds),
    }
    with _predictor(folder, env) as (child, predictor):
        context = ScenarioContext(model, pointer, predictor, random.Random(0), plan.poll_seconds)  # noqa: S311
        report = _under_load(child, context, truth, kind, plan)
    return _FirstRun(report, truth, folder, env)


def _under_load(
    child: Child, context: ScenarioContext, truth: Truth, kind: str, plan: Plan
) -> Report:
    started = time.monotonic()
    clients = Clients(child.url, truth, plan.load)
    try:
        clients.until_started()
        _quiet_phase(clients, plan)
        clients.phase("swapping")
        outcome = _run_scenarios(context, plan)
        _quiet_phase(clients, plan)
        tally = clients.stop()
    finally:
        clients.kill()
    return Report(
        pointer=kind, clients=plan.load.clients, seconds=time.monotonic() - started, tally=tally,
        swaps=outcome.swaps, log=context.predictor.log_summary(), settling=outcome.settling,
        memory=outcome.memory, cached=context.predictor.cached(), settled=outcome.settled,
    )  # fmt: skip


def _quiet_phase(clients: Clients, plan: Plan) -> None:
    clients.phase("quiet")
    time.sleep(plan.quiet_seconds)


def _run_scenarios(context: ScenarioContext, plan: Plan) -> _Outcome:
    """Run all scenarios in turn until there are enough swaps."""
    predictor, now = context.predictor, VERSIONS[0]
    settling: list[Settling] = []
    memory: list[tuple[int, Memory]] = []
    first = min(_FIRST_MEMORY, plan.swaps // 2)
    for number, scenario in enumerate(cycle(ALL), 1):
        now = scenario(context, now)
        settling.append(predictor.settle(now))
        swaps = predictor.view().swaps
        done = swaps >= plan.swaps and number >= len(ALL)
        if done or swaps >= (memory[-1][0] + plan.swaps // 10 if memory else first):
            memory.append((swaps, predictor.memory()))
        if done:
            break
    return _Outcome(now, tuple(settling), tuple(memory), swaps)


def _restarted(first_run: _FirstRun) -> Report:
    """Restart the predictor without the registry; add the version that it serves to the report."""
    with _predictor(first_run.folder, first_run.env) as (child, _):
        record = first_run.truth.records[0]
        answer = httpx.post(f"{child.url}/predict", json=record).content
        version = first_run.truth.prediction(answer, [0])
    return replace(first_run.report, restarted=int(version))


@contextmanager
def _predictor(folder: Path, env: dict[str, str]) -> Iterator[tuple[Child, Predictor]]:
    with ExitStack() as stack:
        child = stack.enter_context(running(start_predictor(folder, free_port(), env)))
        predictor = stack.enter_context(closing(Predictor(child, folder / "cache")))
        predictor.until(lambda view: view.serving > 0, "a version serves")
        yield child, predictor
