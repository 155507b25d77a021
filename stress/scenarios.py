"""Scenarios: each changes the registry as fast as it can, and returns the last desired version."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from stress.model import Pointer, StressModel
from stress.observation import Predictor

VERSIONS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class ScenarioContext:
    """The registry, the predictor that follows it, and a random generator."""

    model: StressModel
    pointer: Pointer
    predictor: Predictor
    random: Random
    poll_seconds: float

    def serve(self, version: int) -> None:
        """Promote a version, and wait until it serves."""
        self.pointer.point_to(version)
        self.predictor.until(lambda view: view.serving == version, f"version {version} serves")

    def pause(self) -> None:
        """Sleep for a random time of up to two poll intervals."""
        time.sleep(self.random.random() * 2 * self.poll_seconds)

    def until_noticed(self, version: int) -> None:
        """Wait until the predictor has noticed a version, and so has begun to load it."""
        self.predictor.until(
            lambda view: view.desired == version, f"the predictor notices version {version}"
        )

    def others(self, version: int, count: int) -> list[int]:
        """A random selection of the versions, without this one."""
        return self.random.sample([v for v in VERSIONS if v != version], count)


Scenario = Callable[[ScenarioContext, int], int]


def forwards(context: ScenarioContext, _: int) -> int:
    """Each version in turn, to the highest."""
    for version in VERSIONS[:-1]:
        context.serve(version)
    context.pointer.point_to(VERSIONS[-1])
    return VERSIONS[-1]


def backwards(context: ScenarioContext, _: int) -> int:
    """Each version in turn, to the lowest."""
    for version in reversed(VERSIONS[1:]):
        context.serve(version)
    context.pointer.point_to(VERSIONS[0])
    return VERSIONS[0]


def there_and_back(context: ScenarioContext, now: int) -> int:
    """From A to B and back to A, three times."""
    for other in context.others(now, 3):
        context.pointer.point_to(other)
        context.pause()
        context.pointer.point_to(now)
        context.pause()
    return now


def demoted_and_promoted_again(context: ScenarioContext, now: int) -> int:
    """Demote and promote the serving version again at once, three times."""
    for other in context.others(now, 3):
        context.pointer.point_to(other)
        context.pointer.point_to(now)
    return now


def promoted_while_another_loads(context: ScenarioContext, now: int) -> int:
    """Promote another version while a new one loads, three times."""
    for other in context.others(now, 3):
        fresh = context.model.add()
        context.pointer.point_to(fresh)
        context.until_noticed(fresh)
        context.pointer.point_to(other)
        context.model.delete(fresh)
    return other


def deleted_while_loading(context: ScenarioContext, now: int) -> int:
    """Delete a version from the registry while it loads, three times."""
    for other in context.others(now, 3):
        fresh = context.model.add()
        context.pointer.point_to(fresh)
        context.until_noticed(fresh)
        context.pointer.delete(fresh, then=other)
    return other


def flurry(context: ScenarioContext, now: int) -> int:
    """Ten promotions without a pause."""
    for _ in range(10):
        now = context.others(now, 1)[0]
        context.pointer.point_to(now)
    return now


ALL: tuple[Scenario, ...] = (
    forwards, backwards, there_and_back, demoted_and_promoted_again,
    promoted_while_another_loads, deleted_while_loading, flurry,
)  # fmt: skip
