"""What is done to the registry: each scenario makes changes as fast as it can, and ends at one version."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from stress.observed import Predictor
from stress.registered import Pointer, Registered

VERSIONS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Stage:
    """Where a scenario plays: the registry, the predictor that follows it, and a source of choices."""

    model: Registered
    pointer: Pointer
    predictor: Predictor
    choices: random.Random
    poll_seconds: float

    def serve(self, version: int) -> None:
        """Name a version, and go on the moment that it serves."""
        self.pointer.name(version)
        self.predictor.until(lambda view: view.serving == version, f"version {version} serves")

    def pause(self) -> None:
        """Any time up to two polls: changes fall before, between and after looks at the registry."""
        time.sleep(self.choices.random() * 2 * self.poll_seconds)

    def until_noticed(self, version: int) -> None:
        """Return when the predictor has been told of a version, and so has begun to load it."""
        self.predictor.until(lambda view: view.desired == version, f"it knows of {version}")

    def others(self, version: int, count: int) -> list[int]:
        """Some of the five versions, without this one."""
        return self.choices.sample([v for v in VERSIONS if v != version], count)


Scenario = Callable[[Stage, int], int]


def forwards(stage: Stage, _: int) -> int:
    """Each version in turn, to the highest."""
    for version in VERSIONS[:-1]:
        stage.serve(version)
    stage.pointer.name(VERSIONS[-1])
    return VERSIONS[-1]


def backwards(stage: Stage, _: int) -> int:
    """Each version in turn, to the lowest."""
    for version in reversed(VERSIONS[1:]):
        stage.serve(version)
    stage.pointer.name(VERSIONS[0])
    return VERSIONS[0]


def there_and_back(stage: Stage, now: int) -> int:
    """A to B to A, thrice."""
    for other in stage.others(now, 3):
        stage.pointer.name(other)
        stage.pause()
        stage.pointer.name(now)
        stage.pause()
    return now


def demoted_and_promoted_again(stage: Stage, now: int) -> int:
    """The version that serves is taken away and named again before anyone looks, or nearly so."""
    for other in stage.others(now, 3):
        stage.pointer.name(other)
        stage.pointer.name(now)
    return now


def promoted_while_another_loads(stage: Stage, now: int) -> int:
    """A version that must still be fetched is overtaken by another one, thrice."""
    for other in stage.others(now, 3):
        fresh = stage.model.add()
        stage.pointer.name(fresh)
        stage.until_noticed(fresh)
        stage.pointer.name(other)
        stage.model.delete(fresh)
    return other


def deleted_while_loading(stage: Stage, now: int) -> int:
    """A version that must still be fetched is deleted from the registry meanwhile, thrice."""
    for other in stage.others(now, 3):
        fresh = stage.model.add()
        stage.pointer.name(fresh)
        stage.until_noticed(fresh)
        stage.pointer.delete(fresh, then=other)
    return other


def flurry(stage: Stage, now: int) -> int:
    """Ten changes without a pause."""
    for _ in range(10):
        now = stage.others(now, 1)[0]
        stage.pointer.name(now)
    return now


ALL: tuple[Scenario, ...] = (
    forwards, backwards, there_and_back, demoted_and_promoted_again,
    promoted_while_another_loads, deleted_while_loading, flurry,
)  # fmt: skip
