"""Experiment: pollers against a real MLflow server, beside the simulation of the same."""

import asyncio
import random
from dataclasses import dataclass
from time import perf_counter

from scale.costs import Costs
from scale.registry import FollowedModel
from scale.report import milliseconds
from scale.simulation import Outcome, Plan, share, simulate


@dataclass(frozen=True)
class Comparison:
    """One plan, as it went and as it was simulated."""

    plan: Plan
    real: Outcome
    simulated: Outcome

    def lines(self) -> list[str]:
        """For people, in Markdown."""
        rows = [
            ("poll p50, ms", *(milliseconds(share(each.waits, 0.5)) for each in self._both)),
            ("poll p99, ms", *(milliseconds(share(each.waits, 0.99)) for each in self._both)),
            ("heard by 50 %, s", *(f"{share(each.heard, 0.5):.2f}" for each in self._both)),
            ("heard by all, s", *(f"{share(each.heard, 1):.2f}" for each in self._both)),
        ]
        plan = self.plan
        said = f"{plan.replicas} pollers every {plan.poll_seconds:.2f} s, one MLflow worker"
        load = f"busy {self.simulated.load:.0%} by the simulation"
        heading = f"| {said}, {load} | real | simulated |\n|---|--:|--:|"
        return [heading, *(f"| {' | '.join(row)} |" for row in rows)]

    @property
    def _both(self) -> tuple[Outcome, Outcome]:
        return self.real, self.simulated


def compare(
    model: FollowedModel, costs: Costs, replicas: int, load: float, beats: int
) -> Comparison:
    """Have `replicas` poll so often that MLflow is busy `load` of the time, and promote version 2."""
    plan = Plan(replicas, replicas * costs.poll / load)
    return Comparison(plan, asyncio.run(_poll(model, plan, beats)), simulate(plan, costs))


async def _poll(model: FollowedModel, plan: Plan, beats: int) -> Outcome:
    outcome = Outcome()
    chance = random.Random(plan.seed)  # noqa: S311  nobody is to guess it
    began = perf_counter() + 0.5
    promoted = began + beats * plan.poll_seconds
    done = asyncio.Event()

    async def replica(beat: float) -> None:
        async with model.client() as client:
            registry = model.registry(client)
            await registry.aspired()  # opens the connection
            due = began + beat
            while not done.is_set():
                await asyncio.sleep(max(0.0, due - perf_counter()))
                asked_at = perf_counter()
                version = await registry.aspired()
                if asked_at < promoted:
                    outcome.waits.append(perf_counter() - asked_at)
                if version is not None and version.number == 2:  # noqa: PLR2004
                    outcome.heard.append(perf_counter() - promoted)
                    return
                due += plan.poll_seconds

    async def promote() -> None:
        nonlocal promoted
        await asyncio.sleep(promoted - perf_counter())
        await asyncio.to_thread(model.promote, 2)

    beats_of_all = [chance.random() * plan.poll_seconds for _ in range(plan.replicas)]
    await asyncio.gather(promote(), *(replica(beat) for beat in beats_of_all))
    return outcome
