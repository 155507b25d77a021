"""Promote, demote and roll back versions; a failed transition is undone."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from trainer.errors import RegistryError, TrainerError, TransitionError
from trainer.history import (
    TAG_PREFIX,
    Place,
    Transition,
    next_moment,
    one_line,
)
from trainer.pointer import Pointer, RegistryState
from trainer.promotion import Decision, Facts, Policy, judge_promotion
from trainer.registry import RegisteredModel, register, version_not_found


@dataclass(frozen=True)
class Outcome:
    """The result of a transition of `version`, and the state after it.

    `copied_from` is the version whose files were registered again as `version`.
    """

    version: str
    origin: Place
    target: Place
    state: RegistryState
    changed: bool = True
    copied_from: str | None = None
    decision: Decision | None = None


class Lifecycle:
    """The transitions of one registered model, made by `who`. Every method raises TrainerError."""

    def __init__(
        self,
        registry: RegisteredModel,
        pointer: Pointer,
        who: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._registry = registry
        self._pointer = pointer
        self._who = who
        self._clock = clock

    def stage(self, version: str, reason: str | None = None) -> Outcome:
        """Promote to Staging, without a policy. Raises TransitionError for a version in Production."""
        why = one_line(reason)
        state = self._state_with(version)
        if state.places[version] is Place.PRODUCTION:
            raise TransitionError(
                f"version {version} is in Production, and Staging is no promotion from there; "
                f"use `python -m trainer demote {version} --to Staging`"
            )
        if state.places[version] is Place.STAGING:
            return _unchanged(version, state)
        return self._move(version, Place.STAGING, why, state)

    def promote(
        self, version: str, policy: Policy, reason: str | None = None, *, force: bool = False
    ) -> Outcome:
        """Make `version` the champion if the policy allows, or by force with a reason.

        If the champion would still serve, the files are registered under a new number first. Raises
        TransitionError with every reason, one per line.
        """
        why = one_line(reason)
        if force and not why:
            raise TransitionError(
                "--force overrides the policy, so it needs --reason TEXT for the record"
            )
        state = self._state_with(version)
        outranked = self._pointer.outranked(version, state)
        if version == state.champion or (outranked and state.champion_has_files_of(version)):
            return _unchanged(state.champion or version, state)
        decision = self._judge(version, state, policy)
        if not decision.allowed:
            if not force:
                listed = "".join(f"\n  - {refusal}" for refusal in decision.refusals)
                raise TransitionError(
                    f"version {version} was not promoted to Production; "
                    f"--force with --reason overrides:{listed}"
                )
            why = f"{why} (forced although {'; '.join(decision.refusals)})"
        if outranked:
            outcome = self._move_copy(version, why, state)
        else:
            outcome = self._move(version, Place.PRODUCTION, why, state)
        return replace(outcome, decision=decision)

    def demote(
        self, version: str, target: Place | None = None, reason: str | None = None
    ) -> Outcome:
        """Take `version` out of Production or Staging; raises TransitionError if it is in neither."""
        why = one_line(reason)
        target = target or self._pointer.demoted_place
        state = self._state_with(version)
        place = state.places[version]
        if place is target:
            return _unchanged(version, state)
        if place not in {Place.PRODUCTION, Place.STAGING}:
            raise TransitionError(
                f"version {version} is neither in Production nor in Staging (it is in {place}), "
                "so there is nothing to demote; see `python -m trainer status`"
            )
        return self._move(version, target, why, state)

    def roll_back(self, reason: str | None = None) -> Outcome:
        """Demote the champion; the rollback target serves again, in one atomic step.

        Raises TransitionError if Production has no other version.
        """
        why = one_line(reason)
        state = self._pointer.state()
        if state.champion is None:
            raise TransitionError(
                f"no version of {self._registry.model_name} is in Production; "
                "`python -m trainer promote VERSION --to Production` puts one there"
            )
        if state.rollback_target is None:
            raise TransitionError(_would_be_empty(state.champion, state.previous_champion))
        return self._move(state.champion, self._pointer.demoted_place, why, state)

    def _state_with(self, version: str) -> RegistryState:
        state = self._pointer.state()
        if version not in state.places:
            raise version_not_found(self._registry.model_name, version, state.places)
        return state

    def _judge(self, version: str, state: RegistryState, policy: Policy) -> Decision:
        def facts(number: str) -> Facts:
            found = state.versions[number]
            return Facts.read(number, found.tags, self._registry.metrics(found))

        champion = state.champion
        return judge_promotion(facts(version), facts(champion) if champion else None, policy)

    def _move(self, version: str, target: Place, why: str, state: RegistryState) -> Outcome:
        record = self._record(version, target, why, state)

        def undo() -> None:
            self._pointer.restore(version, state)
            self._registry.delete_tag(version, record.tag_key)

        return self._carry_out(record, state, undo)

    def _move_copy(self, version: str, why: str, state: RegistryState) -> Outcome:
        original = state.versions[version]
        kept = {key: tag for key, tag in original.tags.items() if not key.startswith(TAG_PREFIX)}
        copy = register(
            self._registry.client,
            model_name=self._registry.model_name,
            run_id=original.run_id,
            source=original.source,
            description=original.description,
            tags={**kept, "copied_from": version},
        )
        record = self._record(copy, Place.PRODUCTION, why, state)
        outcome = self._carry_out(record, state, lambda: self._registry.delete(copy))
        return replace(outcome, copied_from=version)

    def _record(self, version: str, target: Place, why: str, state: RegistryState) -> Transition:
        return Transition(
            version=version,
            origin=state.places.get(version, Place.NONE),
            target=target,
            when=next_moment(self._clock(), state.transitions),
            who=self._who,
            why=why,
            pointer=self._pointer.name,
            replaced=state.champion if target is Place.PRODUCTION else None,
        )

    def _carry_out(
        self, record: Transition, state: RegistryState, undo: Callable[[], None]
    ) -> Outcome:
        """Move, record in a tag, and read the new state; if a step fails, `undo` and raise."""
        try:
            self._pointer.move(record.version, record.target, state)
            # After the move: MLflow sends a webhook for a tag, but not for a stage, and the service
            # polls when it gets one.
            self._registry.set_tag(record.version, record.tag_key, record.tag_value)
            after = self._pointer.state()
        except BaseException as failure:
            try:
                undo()
            except TrainerError as undo_failure:
                raise RegistryError(
                    f"could not {record.summary} ({failure}), nor take back what was done so far "
                    f"({undo_failure}); see `python -m trainer status`, then repeat or demote"
                ) from failure
            raise
        return Outcome(record.version, record.origin, record.target, after)


def _would_be_empty(champion: str, earlier: str | None) -> str:
    promote = (
        f"`promote {earlier} --to Production` brings back version {earlier}, which was there before"
        if earlier
        else "promote another version"
    )
    return (
        f"version {champion} is the only one in Production, so a rollback would leave none; "
        f"{promote}, and `demote {champion}` stops serving"
    )


def _unchanged(version: str, state: RegistryState) -> Outcome:
    place = state.places[version]
    return Outcome(version, place, place, state, changed=False)
