"""What has the last word on which version serves: MLflow's stage, or an alias. Never both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from trainer.errors import TransitionError
from trainer.history import Place, Transition, in_time_order, recorded, succession
from trainer.registry import RegisteredModel, Version

STAGING_ALIAS = "staging"


@dataclass(frozen=True)
class Standing:
    """What is where. `stack` is Production: the champion first, then who serves if it is demoted.

    `places` has every version that exists; `versions` is what the registry said about each.
    """

    stack: tuple[str, ...]
    places: Mapping[str, Place]
    versions: Mapping[str, Version]

    @property
    def champion(self) -> str | None:
        """The version that the registry names, or none."""
        return self.stack[0] if self.stack else None

    @property
    def beneath(self) -> str | None:
        """The version that serves if the champion is demoted, or none."""
        return self.stack[1] if len(self.stack) > 1 else None

    @property
    def staging(self) -> tuple[str, ...]:
        """The versions in Staging, the highest first."""
        return tuple(each for each, place in self.places.items() if place is Place.STAGING)

    @property
    def transitions(self) -> list[Transition]:
        """Every recorded transition of every version that exists."""
        return [
            transition
            for number, version in self.versions.items()
            for transition in recorded(number, version.tags)
        ]

    def champion_holds(self, version: str) -> bool:
        """Whether the champion holds the files of `version`, as its copy does."""
        champion, other = self.versions.get(self.champion or ""), self.versions[version]
        return champion is not None and (champion.run_id, champion.source) == (
            other.run_id,
            other.source,
        )

    @property
    def formerly(self) -> str | None:
        """The version last promoted to Production, other than the champion, wherever it is now."""
        promoted = [
            each.version
            for each in in_time_order(self.transitions)
            if each.target is Place.PRODUCTION and each.version != self.champion
        ]
        return promoted[-1] if promoted else None


class Pointer(Protocol):
    """Reads and moves whatever the predictor follows."""

    @property
    def name(self) -> str:
        """How the records call it: `stage`, or `@` and the alias."""

    @property
    def retired(self) -> Place:
        """Where a demoted version goes unless told otherwise."""

    def standing(self) -> Standing:
        """What is where, now; raises RegistryError."""

    def outranked(self, version: str, standing: Standing) -> bool:
        """Whether the champion would still be named if `version` entered Production."""

    def move(self, version: str, target: Place, standing: Standing) -> None:
        """Move `version`; what serves changes in one atomic step. Raises TrainerError."""

    def restore(self, version: str, standing: Standing) -> None:
        """Take a move of `version` back, to how things were in `standing`."""


class StagePointer:
    """MLflow's stages: the highest number in Production serves, those below are next in line."""

    name = "stage"
    retired = Place.ARCHIVED

    def __init__(self, registry: RegisteredModel) -> None:
        self._registry = registry

    def standing(self) -> Standing:
        """Production as a stack in the order of the numbers, because MLflow answers with the highest."""
        staged = self._registry.staged()
        places = {number: Place(stage) for number, (_, stage) in staged.items()}
        stack = tuple(each for each, place in places.items() if place is Place.PRODUCTION)
        return Standing(stack, places, {number: version for number, (version, _) in staged.items()})

    def outranked(self, version: str, standing: Standing) -> bool:
        """Whether a higher number is in Production."""
        return standing.champion is not None and int(version) < int(standing.champion)

    def move(self, version: str, target: Place, standing: Standing) -> None:  # noqa: ARG002
        """One stage transition; nothing else is archived."""
        self._registry.set_stage(version, target)

    def restore(self, version: str, standing: Standing) -> None:
        """The stage it had."""
        self._registry.set_stage(version, standing.places.get(version, Place.NONE))


class AliasPointer:
    """An alias: what it names serves; who comes next is what the recorded transitions say."""

    retired = Place.NONE

    def __init__(self, registry: RegisteredModel, alias: str) -> None:
        if alias == STAGING_ALIAS:
            raise TransitionError(
                f"alias {alias!r} means Staging, so it cannot mean Production too; "
                "choose another with --alias"
            )
        self.name = f"@{alias}"
        self._alias = alias
        self._registry = registry

    def standing(self) -> Standing:
        """The alias's version, above those that were in Production before and not demoted since."""
        versions = self._registry.versions()
        aliases = self._registry.aliases()
        champion = aliases.get(self._alias)
        unplaced = Standing((), dict.fromkeys(versions, Place.NONE), versions)
        stack = (champion, *self._next_in_line(champion, unplaced)) if champion else ()
        places = {each: Place.PRODUCTION if each in stack else Place.NONE for each in versions}
        staged = aliases.get(STAGING_ALIAS)
        if staged and staged not in stack:
            places[staged] = Place.STAGING
        return replace(unplaced, stack=stack, places=places)

    def outranked(self, version: str, standing: Standing) -> bool:  # noqa: ARG002
        """Never: an alias names any number."""
        return False

    def move(self, version: str, target: Place, standing: Standing) -> None:
        """Staging first and Production last, so that Production changes once all else has worked."""
        if target is Place.ARCHIVED:
            raise TransitionError(
                f"{target} is a stage, and the pointer is an alias; use --to None or --to Staging"
            )
        if target is Place.STAGING:
            self._registry.set_alias(STAGING_ALIAS, version)
        elif standing.places[version] is Place.STAGING:
            self._registry.set_alias(STAGING_ALIAS, None)
        if target is Place.PRODUCTION:
            self._registry.set_alias(self._alias, version)
        elif version == standing.champion:
            self._registry.set_alias(self._alias, standing.beneath)

    def restore(self, version: str, standing: Standing) -> None:  # noqa: ARG002
        """Both aliases as they were."""
        self._registry.set_alias(self._alias, standing.champion)
        self._registry.set_alias(STAGING_ALIAS, next(iter(standing.staging), None))

    def _next_in_line(self, champion: str, standing: Standing) -> tuple[str, ...]:
        line = succession(standing.transitions, self.name)
        if champion in line:
            line = line[: line.index(champion)]
        return tuple(each for each in reversed(line) if each in standing.versions)
