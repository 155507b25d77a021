"""One run: a server, predictors one after the other, clients, scenarios, and the report of each."""

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
from stress.observed import Memory, Predictor, Settling
from stress.registered import ByAlias, ByStage, Pointer, Registered
from stress.report import Report
from stress.scenarios import ALL, VERSIONS, Stage
from stress.truth import ONE_ROW_OR_MANY, Truth

_FIRST_MEMORY = 50  # swaps
POINTERS = {"alias": ByAlias, "stage": ByStage}


@dataclass(frozen=True)
class Plan:
    """How many swaps of each predictor, by which pointers, and how often it looks at the registry."""

    swaps: int
    pointers: tuple[str, ...] = ("alias", "stage")
    poll_seconds: float = 0.05
    quiet_seconds: float = 2
    load: Load = field(default_factory=Load)


@dataclass(frozen=True)
class _Played:
    """What came of the scenarios."""

    settled: int
    settling: tuple[Settling, ...]
    memory: tuple[tuple[int, Memory], ...]
    swaps: int


@dataclass(frozen=True)
class _Before:
    """A predictor's report but for what only shows after a restart, and how to start it again."""

    report: Report
    truth: Truth
    folder: Path
    env: dict[str, str]


def run(trained: Path, folder: Path, plan: Plan) -> list[Report]:
    """Stress one predictor for each pointer.

    Args:
        trained: a folder of an MLflow server that has the five trained versions; it is added to.
        folder: where the predictors keep their logs and caches.
        plan: how much.
    """
    with running(start_mlflow(trained)) as server:
        befores = [_one(server, pointer, folder / pointer, plan) for pointer in plan.pointers]
    return [_restarted(before) for before in befores]


def _one(server: Child, kind: str, folder: Path, plan: Plan) -> _Before:
    model = Registered.copy(server.url, f"stress-{kind}-{time.time_ns():x}")
    pointer: Pointer = POINTERS[kind](model)
    truth = model.truth()
    least = min(map(truth.difference, range(len(truth.records))))
    if least < 1000 * ONE_ROW_OR_MANY:
        raise ValueError(f"two versions differ by {least} only: a wrong answer could not be seen")
    pointer.name(VERSIONS[0])
    env = {
        "MLFLOW_TRACKING_URI": server.url,
        "PREDICTOR_MODEL_URI": pointer.model_uri,
        "PREDICTOR_POLL_SECONDS": str(plan.poll_seconds),
    }
    with _predictor(folder, env) as (child, predictor):
        stage = Stage(model, pointer, predictor, random.Random(0), plan.poll_seconds)  # noqa: S311
        report = _under_load(child, stage, truth, kind, plan)
    return _Before(report, truth, folder, env)


def _under_load(child: Child, stage: Stage, truth: Truth, kind: str, plan: Plan) -> Report:
    started = time.monotonic()
    clients = Clients(child.url, truth, plan.load)
    try:
        clients.until_started()
        _quietly(clients, plan)
        clients.phase("swapping")
        played = _play(stage, plan)
        _quietly(clients, plan)
        tally = clients.stop()
    finally:
        clients.kill()
    return Report(
        pointer=kind, clients=plan.load.clients, seconds=time.monotonic() - started, tally=tally,
        swaps=played.swaps, log=stage.predictor.log_summary(), settling=played.settling,
        memory=played.memory, cached=stage.predictor.cached(), settled=played.settled,
    )  # fmt: skip


def _quietly(clients: Clients, plan: Plan) -> None:
    clients.phase("quiet")
    time.sleep(plan.quiet_seconds)


def _play(stage: Stage, plan: Plan) -> _Played:
    """Scenarios in turn until there were enough swaps, and each of them was played."""
    predictor, now = stage.predictor, VERSIONS[0]
    settling: list[Settling] = []
    memory: list[tuple[int, Memory]] = []
    first = min(_FIRST_MEMORY, plan.swaps // 2)
    for number, scenario in enumerate(cycle(ALL), 1):
        now = scenario(stage, now)
        settling.append(predictor.settle(now))
        swaps = predictor.look().swaps
        done = swaps >= plan.swaps and number >= len(ALL)
        if done or swaps >= (memory[-1][0] + plan.swaps // 10 if memory else first):
            memory.append((swaps, predictor.memory()))
        if done:
            break
    return _Played(now, tuple(settling), tuple(memory), swaps)


def _restarted(before: _Before) -> Report:
    """The report, with what the predictor serves from its cache alone."""
    with _predictor(before.folder, before.env) as (child, _):
        record = before.truth.records[0]
        answer = httpx.post(f"{child.url}/predict", json=record).content
        version = before.truth.prediction(answer, [0])
    return replace(before.report, restarted=int(version))


@contextmanager
def _predictor(folder: Path, env: dict[str, str]) -> Iterator[tuple[Child, Predictor]]:
    with ExitStack() as stack:
        child = stack.enter_context(running(start_predictor(folder, free_port(), env)))
        predictor = stack.enter_context(closing(Predictor(child, folder / "cache")))
        predictor.until(lambda view: view.serving > 0, "something serves")
        yield child, predictor
