"""Poll a real MLflow server, and compare the result with the simulation."""

import asyncio
import random
from dataclasses import dataclass
from time import perf_counter

from scale.costs import Costs
from scale.registry import FollowedModel
from scale.report import milliseconds
from scale.simulation import Outcome, Plan, quantile, simulate


@dataclass(frozen=True)
class Comparison:
    """The real and the simulated outcome of one plan."""

    plan: Plan
    real: Outcome
    simulated: Outcome

    def lines(self) -> list[str]:
        """A Markdown table."""
        rows = [
            ("poll p50, ms", *(milliseconds(quantile(each.waits, 0.5)) for each in self._both)),
            ("poll p99, ms", *(milliseconds(quantile(each.waits, 0.99)) for each in self._both)),
            ("noticed by 50 %, s", *(f"{quantile(each.noticed, 0.5):.2f}" for each in self._both)),
            ("noticed by all, s", *(f"{quantile(each.noticed, 1):.2f}" for each in self._both)),
        ]
        plan = self.plan
        setup = f"{plan.replicas} pollers every {plan.poll_seconds:.2f} s, one MLflow worker"
        load = f"busy {self.simulated.load:.0%} by the simulation"
        heading = f"| {setup}, {load} | real | simulated |\n|---|--:|--:|"
        return [heading, *(f"| {' | '.join(row)} |" for row in rows)]

    @property
    def _both(self) -> tuple[Outcome, Outcome]:
        return self.real, self.simulated


def compare(
    model: FollowedModel, costs: Costs, replicas: int, load: float, polls: int
) -> Comparison:
    """Poll with `replicas` at a rate that gives MLflow this utilisation, and promote version 2."""
    plan = Plan(replicas, replicas * costs.poll / load)
    return Comparison(plan, asyncio.run(_poll(model, plan, polls)), simulate(plan, costs))


async def _poll(model: FollowedModel, plan: Plan, polls: int) -> Outcome:
    outcome = Outcome()
    chance = random.Random(plan.seed)  # noqa: S311  not used for security
    began = perf_counter() + 0.5
    promoted = began + polls * plan.poll_seconds
    done = asyncio.Event()

    async def replica(offset: float) -> None:
        async with model.client() as client:
            registry = model.registry(client)
            await registry.aspired()  # opens the connection
            due = began + offset
            while not done.is_set():
                await asyncio.sleep(max(0.0, due - perf_counter()))
                polled_at = perf_counter()
                version = await registry.aspired()
                if polled_at < promoted:
                    outcome.waits.append(perf_counter() - polled_at)
                if version is not None and version.number == 2:  # noqa: PLR2004
                    outcome.noticed.append(perf_counter() - promoted)
                    return
                due += plan.poll_seconds

    async def promote() -> None:
        nonlocal promoted
        await asyncio.sleep(promoted - perf_counter())
        await asyncio.to_thread(model.promote, 2)

    offsets = [chance.random() * plan.poll_seconds for _ in range(plan.replicas)]
    await asyncio.gather(promote(), *(replica(offset) for offset in offsets))
    return outcome
