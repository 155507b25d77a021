"""Promote, demote and roll back versions; a failed transition is undone."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from approvals.envelope import Signer
from trainer import tag_names
from trainer.chain import entries, next_links
from trainer.errors import RegistryError, TrainerError, TransitionError
from trainer.gates import Gates, listed
from trainer.history import Place, Transition, next_moment, one_line
from trainer.options import suggested
from trainer.pointer import Pointer, RegistryState
from trainer.promotion import Decision, Facts, Policy, judge_promotion
from trainer.registry import RegisteredModel, register, version_not_found


@dataclass(frozen=True)
class Outcome:
    """The result of a transition of `version`, and the state after it.

    `copied_from` is the version whose files were registered again as `version`. `gates` are those that
    were stored with the registered model by it.
    """

    version: str
    origin: Place
    target: Place
    state: RegistryState
    changed: bool = True
    copied_from: str | None = None
    decision: Decision | None = None
    gates: Gates = ()


@dataclass(frozen=True)
class Plan:
    """What a promotion of `version` would do.

    `own_gates` are stored with the registered model, `gates` judge this promotion; empty means the
    defaults of the version's task. `copied`: the files would be registered under a new number.
    `decision` is None if the champion has the files already. `reason` is on one line.
    """

    version: str
    state: RegistryState
    own_gates: Gates
    gates: Gates
    copied: bool
    decision: Decision | None
    reason: str
    forced: bool

    @property
    def allowed(self) -> bool:
        """Whether the policy allows it, or it is forced."""
        return self.decision is None or self.decision.allowed or self.forced

    @property
    def new_gates(self) -> Gates:
        """The gates that the promotion stores with the registered model, if they are others."""
        return () if set(self.gates) == set(self.own_gates) else self.gates

    @property
    def checks(self) -> tuple[str, ...]:
        """The findings of the policy, for the history."""
        findings = self.decision.findings if self.decision else ()
        return tuple(f"{'passed' if each.passed else 'forced'}: {each.reason}" for each in findings)

    @property
    def record(self) -> str:
        """The reason for the history, with what the promotion overrides and changes."""
        notes = []
        if self.decision and self.decision.refusals:
            notes.append(f"forced although {'; '.join(self.decision.refusals)}")
        if self.new_gates:
            before = listed(self.own_gates) if self.own_gates else "the defaults"
            notes.append(f"gates {listed(self.new_gates)} instead of {before}")
        return " ".join([self.reason, *(f"({note})" for note in notes)]).strip()


class Lifecycle:
    """The transitions of one registered model, made by `who`, and signed if there is a `signer`.

    Every method raises TrainerError.
    """

    def __init__(
        self,
        registry: RegisteredModel,
        pointer: Pointer,
        who: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        signer: Signer | None = None,
    ) -> None:
        self._registry = registry
        self._pointer = pointer
        self._who = who
        self._clock = clock
        self._signer = signer

    def stage(self, version: str, reason: str | None = None) -> Outcome:
        """Promote to Staging, without a policy. Raises TransitionError for a version in Production."""
        why = one_line(reason)
        state = self._state_with(version)
        if state.places[version] is Place.PRODUCTION:
            raise TransitionError(
                f"version {version} is in Production, and Staging is no promotion from there; "
                f"use {self._suggested(f'demote {version} --to Staging')}"
            )
        if state.places[version] is Place.STAGING:
            return _unchanged(version, state)
        return self._move(version, Place.STAGING, why, state)

    def plan(
        self, version: str, policy: Policy, reason: str | None = None, *, force: bool = False
    ) -> Plan:
        """Judge a promotion of `version` to Production, and change nothing.

        Raises TransitionError for force without a reason.
        """
        why = one_line(reason)
        if force and not why:
            raise TransitionError(
                "--force overrides the policy, so it needs --reason TEXT for the record"
            )
        state = self._state_with(version)
        own_gates = self._registry.gates()
        gates = policy.gates or own_gates
        copied = self._pointer.outranked(version, state)
        serves = version == state.champion or (copied and state.champion_has_files_of(version))
        policy = replace(policy, gates=gates)
        decision = None if serves else self._judge(version, state, policy, state.champion)
        return Plan(version, state, own_gates, gates, copied, decision, why, force)

    def verdict(self, version: str) -> tuple[Decision, str | None]:
        """Judge a version beside the champion; the champion beside its rollback target. Change nothing.

        The registry may name a version before people have approved it. Returns the other version, too; None if
        there is none.
        """
        state = self._state_with(version)
        other = state.rollback_target if version == state.champion else state.champion
        return self._judge(version, state, Policy(self._registry.gates()), other), other

    def promote(
        self, version: str, policy: Policy, reason: str | None = None, *, force: bool = False
    ) -> Outcome:
        """Make `version` the champion if the policy allows, or by force with a reason.

        If the champion would still serve, the files are registered under a new number first. Gates of
        the policy become those of the registered model. Raises TransitionError with every reason, one
        per line.
        """
        plan = self.plan(version, policy, reason, force=force)
        state, decision = plan.state, plan.decision
        if decision is None:
            return _unchanged(state.champion or version, state)
        if not plan.allowed:
            refusals = "".join(f"\n  - {refusal}" for refusal in decision.refusals)
            raise TransitionError(
                f"version {version} was not promoted to Production; "
                f"--force with --reason overrides:{refusals}"
            )
        with self._stored(plan):
            if plan.copied:
                outcome = self._move_copy(plan)
            else:
                outcome = self._move(version, Place.PRODUCTION, plan.record, state, plan.checks)
        return replace(outcome, decision=decision, gates=plan.new_gates)

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
                f"so there is nothing to demote; see {self._suggested('status')}"
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
                f"{self._suggested('promote VERSION --to Production')} puts one there"
            )
        if state.rollback_target is None:
            raise TransitionError(self._would_be_empty(state.champion, state.previous_champion))
        return self._move(state.champion, self._pointer.demoted_place, why, state)

    def _state_with(self, version: str) -> RegistryState:
        state = self._pointer.state()
        if version not in state.places:
            raise version_not_found(self._registry.model_name, version, state.places)
        return state

    def _judge(
        self, version: str, state: RegistryState, policy: Policy, champion: str | None
    ) -> Decision:
        def facts(number: str) -> Facts:
            found = state.versions[number]
            return Facts.read(number, found.tags, self._registry.metrics(found))

        return judge_promotion(facts(version), facts(champion) if champion else None, policy)

    @contextlib.contextmanager
    def _stored(self, plan: Plan) -> Iterator[None]:
        """Store the plan's gates with the registered model, and restore the others if the move fails."""
        try:
            if plan.new_gates:
                self._registry.set_gates(plan.new_gates)
            yield
        except BaseException:
            with contextlib.suppress(TrainerError):
                if plan.new_gates:
                    self._registry.set_gates(plan.own_gates)
            raise

    def _move(
        self,
        version: str,
        target: Place,
        why: str,
        state: RegistryState,
        checks: tuple[str, ...] = (),
    ) -> Outcome:
        record = replace(self._record(version, target, why, state), checks=checks)

        def undo() -> None:
            self._pointer.restore(version, state)
            self._registry.delete_tag(version, record.tag_key)

        return self._carry_out(record, state.versions[version].source, state, undo)

    def _move_copy(self, plan: Plan) -> Outcome:
        state = plan.state
        original = state.versions[plan.version]
        kept = {
            key: tag
            for key, tag in original.tags.items()
            if not key.startswith(tag_names.ABOUT_ONE_VERSION)
        }
        copy = register(
            self._registry.client,
            model_name=self._registry.model_name,
            run_id=original.run_id,
            source=original.source,
            description=original.description,
            tags={**kept, tag_names.COPIED_FROM: plan.version},
        )
        record = self._record(copy, Place.PRODUCTION, plan.record, state)
        record = replace(record, checks=plan.checks)

        def undo() -> None:
            self._registry.delete(copy)

        outcome = self._carry_out(record, original.source, state, undo)
        return replace(outcome, copied_from=plan.version)

    def _record(self, version: str, target: Place, why: str, state: RegistryState) -> Transition:
        model = self._registry.model_name
        tags = {number: each.tags for number, each in state.versions.items()}
        previous, start = next_links(entries(model, tags))
        return Transition(
            version=version,
            origin=state.places.get(version, Place.NONE),
            target=target,
            when=next_moment(self._clock(), state.transitions),
            who=self._who,
            why=why,
            pointer=self._pointer.name,
            replaced=state.champion if target is Place.PRODUCTION else None,
            model=model,
            previous=previous,
            start=start,
        )

    def _carry_out(
        self, record: Transition, source: str, state: RegistryState, undo: Callable[[], None]
    ) -> Outcome:
        """Move, record in a tag, and read the new state; if a step fails, `undo` and raise."""
        try:
            value = record.tag_value(self._signer, source)
            changed_ms = self._pointer.move(record.version, record.target, state)
            if changed_ms is not None:
                mark = record.stage_mark(changed_ms)
                self._registry.set_tag(record.version, tag_names.STAGE_CHANGED, mark)
            # The transition last: MLflow sends a webhook for a tag, but not for a stage, and the service
            # polls when it gets one.
            self._registry.set_tag(record.version, record.tag_key, value)
            after = self._pointer.state()
        except BaseException as failure:
            try:
                undo()
            except TrainerError as undo_failure:
                raise RegistryError(
                    f"could not {record.summary} ({failure}), nor take back what was done so far "
                    f"({undo_failure}); see {self._suggested('status')}, then repeat or demote"
                ) from failure
            raise
        return Outcome(record.version, record.origin, record.target, after)

    def _would_be_empty(self, champion: str, earlier: str | None) -> str:
        promote = "promote another version"
        if earlier:
            command = self._suggested(f"promote {earlier} --to Production")
            promote = f"{command} brings back version {earlier}, which was there before"
        return (
            f"there is no version to go back to from version {champion}, so a rollback would leave none; "
            f"{promote}, and {self._suggested(f'demote {champion}')} stops serving"
        )

    def _suggested(self, command: str) -> str:
        return suggested(command, self._registry.model_name, self._pointer.name)


def _unchanged(version: str, state: RegistryState) -> Outcome:
    place = state.places[version]
    return Outcome(version, place, place, state, changed=False)
