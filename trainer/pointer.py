"""The pointer to the serving version: MLflow's stage or an alias, never both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from trainer import tag_names
from trainer.errors import TransitionError
from trainer.history import Place, Transition, in_time_order, recorded, succession
from trainer.registry import RegisteredModel, Version

STAGING_ALIAS = "staging"


@dataclass(frozen=True)
class RegistryState:
    """The places of all versions of a model. `stack` is Production: the champion, then the rollback targets.

    `places` and `versions` have every existing version, by number. `pointer` is the name of the pointer in records.
    """

    stack: tuple[str, ...]
    places: Mapping[str, Place]
    versions: Mapping[str, Version]
    pointer: str

    @property
    def champion(self) -> str | None:
        """The version that serves, or None."""
        return self.stack[0] if self.stack else None

    @property
    def rollback_target(self) -> str | None:
        """The version that serves after a rollback, or None."""
        return self.stack[1] if len(self.stack) > 1 else None

    @property
    def staging(self) -> tuple[str, ...]:
        """The versions in Staging, the highest first."""
        return tuple(each for each, place in self.places.items() if place is Place.STAGING)

    @property
    def own_transitions(self) -> list[Transition]:
        """The recorded transitions by this pointer: stages say nothing about an alias."""
        return [each for each in self.transitions if each.pointer == self.pointer]

    @property
    def transitions(self) -> list[Transition]:
        """The recorded transitions of all existing versions, by every pointer."""
        return [
            transition
            for number, version in self.versions.items()
            for transition in recorded(number, version.tags)
        ]

    def last_move(self, version: str) -> Transition | None:
        """The transition that brought a version to its place; None if it was moved outside the trainer since.

        MLflow keeps no time of an alias: that it was moved away and back, nobody can see.
        """
        own = in_time_order(self.own_transitions)
        last = next((each for each in reversed(own) if each.version == version), None)
        if last is None or last.target is not self.places[version]:
            return None
        if self.pointer.startswith("@"):
            # The alias was at another version after this one.
            replaced = version == self.champion and succession(own, self.pointer)[-1:] != (version,)
            return None if replaced else last
        found = self.versions[version]
        is_last = found.tags.get(tag_names.STAGE_CHANGED) == last.stage_mark(found.updated_ms)
        return last if is_last else None

    def champion_has_files_of(self, version: str) -> bool:
        """Whether the champion has the files of `version`: it is that version or a copy."""
        champion, other = self.versions.get(self.champion or ""), self.versions[version]
        return champion is not None and (champion.run_id, champion.source) == (
            other.run_id,
            other.source,
        )

    @property
    def previous_champion(self) -> str | None:
        """The version that was promoted last before the champion and not demoted by us since, or None."""
        line = succession(self.own_transitions, self.pointer)
        return next((each for each in reversed(line) if each != self.champion), None)


class Pointer(Protocol):
    """Reads and moves the pointer that the predictor follows."""

    @property
    def name(self) -> str:
        """Its name in records: `stage`, or `@` and the alias."""

    @property
    def demoted_place(self) -> Place:
        """The default place of a demoted version."""

    def state(self) -> RegistryState:
        """Read the current state; raises RegistryError."""

    def outranked(self, version: str, state: RegistryState) -> bool:
        """Whether the champion would still serve if `version` entered Production."""

    def move(self, version: str, target: Place, state: RegistryState) -> int | None:
        """Move `version`; the serving version changes in one atomic step. Raises TrainerError.

        Returns when, in milliseconds of MLflow's clock; None if MLflow keeps no time of it.
        """

    def restore(self, version: str, state: RegistryState) -> None:
        """Undo a move of `version`: restore `state`."""


class StagePointer:
    """MLflow's stages: the highest number in Production serves; the next ones are rollback targets."""

    name = "stage"
    demoted_place = Place.ARCHIVED

    def __init__(self, registry: RegisteredModel) -> None:
        self._registry = registry

    def state(self) -> RegistryState:
        """Production by descending number, because MLflow names the highest."""
        staged = self._registry.staged()
        places = {number: Place(stage) for number, (_, stage) in staged.items()}
        stack = tuple(each for each, place in places.items() if place is Place.PRODUCTION)
        return RegistryState(
            stack, places, {number: version for number, (version, _) in staged.items()}, self.name
        )

    def outranked(self, version: str, state: RegistryState) -> bool:
        """Whether a higher number is in Production."""
        return state.champion is not None and int(version) < int(state.champion)

    def move(self, version: str, target: Place, state: RegistryState) -> int | None:  # noqa: ARG002
        """One stage transition; nothing else is archived."""
        return self._registry.set_stage(version, target)

    def restore(self, version: str, state: RegistryState) -> None:
        """Restore the version's stage."""
        self._registry.set_stage(version, state.places.get(version, Place.NONE))


class AliasPointer:
    """An alias names the serving version; recorded transitions give the rollback targets."""

    demoted_place = Place.NONE

    def __init__(self, registry: RegisteredModel, alias: str) -> None:
        if alias == STAGING_ALIAS:
            raise TransitionError(
                f"alias {alias!r} means Staging, so it cannot mean Production too; "
                "choose another with --alias"
            )
        self.name = f"@{alias}"
        self._alias = alias
        self._registry = registry

    def state(self) -> RegistryState:
        """The alias's version, then earlier ones that were not demoted since."""
        versions = self._registry.versions()
        aliases = self._registry.aliases()
        champion = aliases.get(self._alias)
        without_places = RegistryState((), dict.fromkeys(versions, Place.NONE), versions, self.name)
        stack = (champion, *self._rollback_stack(champion, without_places)) if champion else ()
        places = {each: Place.PRODUCTION if each in stack else Place.NONE for each in versions}
        staged = aliases.get(STAGING_ALIAS)
        if staged and staged not in stack:
            places[staged] = Place.STAGING
        return replace(without_places, stack=stack, places=places)

    def outranked(self, version: str, state: RegistryState) -> bool:  # noqa: ARG002
        """Never: an alias can name any number."""
        return False

    def move(self, version: str, target: Place, state: RegistryState) -> int | None:
        """Set the Production alias last, when everything else has succeeded."""
        if target is Place.ARCHIVED:
            raise TransitionError(
                f"{target} is a stage, and the pointer is an alias; use --to None or --to Staging"
            )
        if target is Place.STAGING:
            self._registry.set_alias(STAGING_ALIAS, version)
        elif state.places[version] is Place.STAGING:
            self._registry.set_alias(STAGING_ALIAS, None)
        if target is Place.PRODUCTION:
            self._registry.set_alias(self._alias, version)
        elif version == state.champion:
            self._registry.set_alias(self._alias, state.rollback_target)
        return None

    def restore(self, version: str, state: RegistryState) -> None:  # noqa: ARG002
        """Restore both aliases."""
        self._registry.set_alias(self._alias, state.champion)
        self._registry.set_alias(STAGING_ALIAS, next(iter(state.staging), None))

    def _rollback_stack(self, champion: str, state: RegistryState) -> tuple[str, ...]:
        line = succession(state.own_transitions, self.name)
        if champion in line:
            line = line[: line.index(champion)]
        return tuple(each for each in reversed(line) if each in state.versions)
