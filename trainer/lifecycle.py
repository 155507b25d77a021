"""Promote, demote, roll back: read what is where, decide, act, record; what fails half way is undone."""

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
from trainer.pointer import Pointer, Standing
from trainer.promotion import Decision, Facts, Policy, judge_promotion
from trainer.registry import RegisteredModel, register, version_not_found


@dataclass(frozen=True)
class Outcome:
    """What a command did to `version`, and what is where since.

    `copied_from` is the version whose files were registered again as `version`.
    """

    version: str
    origin: Place
    target: Place
    standing: Standing
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
        """Promote to Staging; no policy. Raises TransitionError for a version in Production."""
        why = one_line(reason)
        standing = self._standing_with(version)
        if standing.places[version] is Place.PRODUCTION:
            raise TransitionError(
                f"version {version} is in Production, and Staging is no promotion from there; "
                f"use `python -m trainer demote {version} --to Staging`"
            )
        if standing.places[version] is Place.STAGING:
            return _unchanged(version, standing)
        return self._move(version, Place.STAGING, why, standing)

    def promote(
        self, version: str, policy: Policy, reason: str | None = None, *, force: bool = False
    ) -> Outcome:
        """Make `version` the champion if the policy allows, or by force with a reason.

        Where MLflow would go on naming the champion, the same files get a new number first. Raises
        TransitionError with every reason, one per line.
        """
        why = one_line(reason)
        if force and not why:
            raise TransitionError(
                "--force overrides the policy, so it needs --reason TEXT for the record"
            )
        standing = self._standing_with(version)
        outranked = self._pointer.outranked(version, standing)
        if version == standing.champion or (outranked and standing.champion_holds(version)):
            return _unchanged(standing.champion or version, standing)
        decision = self._judge(version, standing, policy)
        if not decision.allowed:
            if not force:
                listed = "".join(f"\n  - {refusal}" for refusal in decision.refusals)
                raise TransitionError(
                    f"version {version} was not promoted to Production; "
                    f"--force with --reason overrides:{listed}"
                )
            why = f"{why} (forced although {'; '.join(decision.refusals)})"
        if outranked:
            outcome = self._move_copy(version, why, standing)
        else:
            outcome = self._move(version, Place.PRODUCTION, why, standing)
        return replace(outcome, decision=decision)

    def demote(
        self, version: str, target: Place | None = None, reason: str | None = None
    ) -> Outcome:
        """Take `version` out of Production or Staging; raises TransitionError if it is in neither."""
        why = one_line(reason)
        target = target or self._pointer.retired
        standing = self._standing_with(version)
        place = standing.places[version]
        if place is target:
            return _unchanged(version, standing)
        if place not in {Place.PRODUCTION, Place.STAGING}:
            raise TransitionError(
                f"version {version} is neither in Production nor in Staging (it is in {place}), "
                "so there is nothing to demote; see `python -m trainer status`"
            )
        return self._move(version, target, why, standing)

    def roll_back(self, reason: str | None = None) -> Outcome:
        """Demote the champion, so that the version beneath serves again, in one atomic step.

        Raises TransitionError if Production is empty, or would be.
        """
        why = one_line(reason)
        standing = self._pointer.standing()
        if standing.champion is None:
            raise TransitionError(
                f"no version of {self._registry.model_name} is in Production; "
                "`python -m trainer promote VERSION --to Production` puts one there"
            )
        if standing.beneath is None:
            raise TransitionError(_would_be_empty(standing.champion, standing.formerly))
        return self._move(standing.champion, self._pointer.retired, why, standing)

    def _standing_with(self, version: str) -> Standing:
        standing = self._pointer.standing()
        if version not in standing.places:
            raise version_not_found(self._registry.model_name, version, standing.places)
        return standing

    def _judge(self, version: str, standing: Standing, policy: Policy) -> Decision:
        def facts(number: str) -> Facts:
            found = standing.versions[number]
            return Facts.read(number, found.tags, self._registry.metrics(found))

        champion = standing.champion
        return judge_promotion(facts(version), facts(champion) if champion else None, policy)

    def _move(self, version: str, target: Place, why: str, standing: Standing) -> Outcome:
        record = self._record(version, target, why, standing)

        def undo() -> None:
            self._pointer.restore(version, standing)
            self._registry.delete_tag(version, record.tag_key)

        return self._carry_out(record, standing, undo)

    def _move_copy(self, version: str, why: str, standing: Standing) -> Outcome:
        original = standing.versions[version]
        kept = {key: tag for key, tag in original.tags.items() if not key.startswith(TAG_PREFIX)}
        copy = register(
            self._registry.client,
            model_name=self._registry.model_name,
            run_id=original.run_id,
            source=original.source,
            description=original.description,
            tags={**kept, "copied_from": version},
        )
        record = self._record(copy, Place.PRODUCTION, why, standing)
        outcome = self._carry_out(record, standing, lambda: self._registry.delete(copy))
        return replace(outcome, copied_from=version)

    def _record(self, version: str, target: Place, why: str, standing: Standing) -> Transition:
        return Transition(
            version=version,
            origin=standing.places.get(version, Place.NONE),
            target=target,
            when=next_moment(self._clock(), standing.transitions),
            who=self._who,
            why=why,
            pointer=self._pointer.name,
            replaced=standing.champion if target is Place.PRODUCTION else None,
        )

    def _carry_out(
        self, record: Transition, standing: Standing, undo: Callable[[], None]
    ) -> Outcome:
        """Move, write the tag, read back; where one of these fails, `undo` and raise."""
        try:
            self._pointer.move(record.version, record.target, standing)
            # After the move, because the webhook for a tag is what tells the service to look, and
            # MLflow sends none for a stage.
            self._registry.set_tag(record.version, record.tag_key, record.tag_value)
            after = self._pointer.standing()
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


def _unchanged(version: str, standing: Standing) -> Outcome:
    place = standing.places[version]
    return Outcome(version, place, place, standing, changed=False)
