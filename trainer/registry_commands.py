"""The registry commands: call the lifecycle and print the result. `transition_commands` and `view_commands` have their options."""

import getpass
import json
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import typer

from approvals.approvers import Approvers
from approvals.standing import Standing
from approvals.statement import Subject
from trainer import held_out, importance, reports, terminal
from trainer.approval import envelopes
from trainer.audit import Auditor, Span
from trainer.audit_page import page
from trainer.baking import Baking, Trial
from trainer.beginning import is_empty, ranked
from trainer.chain import Checked, Report, entries, verify
from trainer.errors import GateError, TrainerError
from trainer.gates import GateChange, Gates, listed
from trainer.history import Place, one_line, recorded
from trainer.lifecycle import Lifecycle, Outcome, Plan
from trainer.mlflow_server import connect
from trainer.options import suggested
from trainer.pointer import AliasPointer, Pointer, RegistryState, StagePointer
from trainer.promotion import Decision, Policy
from trainer.registry import RegisteredModel, version_not_found
from trainer.signing_keys import NamedSigner, own_keys
from trainer.terminal import Output, print_json


class RegistryCommands:
    """The commands on one registered model; every one raises TrainerError.

    `alias` names the serving version; None means MLflow's stage. `signer` signs transitions. With `approvers`,
    the tables have the number of approvals, and those that the version that should serve lacks are shown.
    """

    def __init__(
        self,
        model_name: str,
        alias: str | None,
        signer: NamedSigner | None = None,
        approvers: Approvers | None = None,
        output: Output | None = None,
    ) -> None:
        self._model_name = model_name
        self._with_stages = alias is None
        self._registry = RegisteredModel(connect(), model_name)
        self._pointer: Pointer = (
            StagePointer(self._registry) if alias is None else AliasPointer(self._registry, alias)
        )
        self._empty = "is in Production" if alias is None else f"has the alias {alias}"
        self._signer = signer
        self._approvers = approvers
        self._output = output or Output()

    def begin(self, who: str | None) -> None:
        """Train if there is no version; promote the best if there was no promotion."""
        if is_empty(self._registry):
            # Imports scikit-learn, which the other commands do not need.
            from trainer.train_command import train

            train(quick=True, model=self._model_name)
        state = self._pointer.state()
        if state.champion is None and not state.transitions:
            best = ranked(self._registry)[0]
            self.promote(best, Policy(), who, "best in cross-validation", force=False)
        else:
            self._print_serving(state)

    def stage(self, version: str, who: str | None, reason: str | None) -> None:
        """Promote to Staging."""
        outcome = self._lifecycle(who).stage(version, reason)
        if not outcome.changed:
            typer.echo(f"version {version} is in Staging already; nothing was changed")
            return
        self._print_move(outcome)

    def promote(
        self,
        version: str,
        policy: Policy,
        who: str | None,
        reason: str | None,
        *,
        force: bool,
        trial: Trial | None = None,
    ) -> None:
        """Promote to Production; with a `trial`, as live traffic allows."""
        lifecycle, baking = self._lifecycle(who), None
        if trial is not None:
            policy = trial.policy(policy, self._registry)
            if trial.seconds is not None:
                baking = Baking(trial, lifecycle, self._registry, self._pointer.state)
        outcome = lifecycle.promote(version, policy, reason, force=force)
        if not outcome.changed:
            same = "" if outcome.version == version else f", with the files of version {version}"
            typer.echo(
                f"version {outcome.version} is the champion already{same}; nothing was changed"
            )
            return
        if outcome.copied_from:
            self._print_copied(outcome)
        else:
            self._print_move(outcome)
        _print_findings(outcome.decision, "FORCED")
        if outcome.gates:
            typer.echo(f"the gates of {self._model_name} are now {listed(outcome.gates)}")
        self._print_serving(outcome.state)
        if baking is not None:
            baking.watch(outcome)

    def dry_run(
        self,
        version: str,
        policy: Policy,
        reason: str | None,
        *,
        force: bool,
        trial: Trial | None = None,
    ) -> None:
        """Print what a promotion to Production would do; exit code 1 if the policy refuses it."""
        policy = trial.policy(policy, self._registry) if trial else policy
        plan = self._lifecycle(None).plan(version, policy, reason, force=force)
        if self._output.as_json:
            print_json(reports.plan_document(plan, self._held_out(plan)))
        else:
            self._print_plan(plan)
        if not plan.allowed:
            raise typer.Exit(1)

    def _print_plan(self, plan: Plan) -> None:
        state = plan.state
        typer.echo("dry run: nothing is changed")
        self._print_serving(state)
        if plan.decision is None:
            typer.echo(f"version {state.champion} has these files already; nothing would change")
            return
        _print_findings(plan.decision, "FORCED" if plan.forced else "refused")
        typer.echo(reports.would(plan))
        if (changes := self._held_out(plan)) is not None:
            typer.echo(changes.sentence)
            if changes.table is not None:
                self._output.show(changes.table)

    def print_verdict(self, version: str) -> None:
        """Print what the policy says about a promotion of a version to Production."""
        decision, champion = self._lifecycle(None).verdict(version)
        verdict = "allowed" if decision.allowed else "refused"
        beside = f", with version {champion} as the champion" if champion else ""
        typer.echo(f"gates    a promotion would be {verdict}{beside}")
        _print_findings(decision, "refused")

    def gates(self) -> None:
        """Print the gates and where they come from."""
        stored, task = self._registry.gates(), None
        gates = stored
        if not stored:
            task, gates = reports.gates_in_force(stored, self._pointer.state())
        table = reports.gates(gates)
        if self._output.as_json:
            print_json({"stored": bool(stored), "gates": table.records()})
            return
        typer.echo(
            f"stored with {self._model_name}:"
            if stored
            else f"none are stored with {self._model_name}; the defaults for {task}:"
        )
        self._output.show(table)

    def store_gates(self, gates: Gates, who: str | None, reason: str | None) -> None:
        """Store the gates with the registered model, and record it; without gates, delete the stored ones."""
        why, before = one_line(reason), self._stored_gates()
        for gate in gates:
            if gate.lower_is_better is None:
                raise GateError(str(gate), gate.undecided)
        after = _as_text(gates)
        if before != after:  # recorded first: no change must be without a record
            name = who or _current_user()
            self._registry.record_gates(GateChange(datetime.now(UTC), name, why, before, after))
        self._registry.set_gates(gates)

    def _stored_gates(self) -> str:
        """The stored gates as text; a tag that is no gate must not keep anybody from replacing it."""
        try:
            return _as_text(self._registry.gates())
        except GateError as error:
            return error.text

    def demote(self, version: str, target: str | None, who: str | None, reason: str | None) -> None:
        """Take out of Production or Staging."""
        place = Place(target) if target else None
        outcome = self._lifecycle(who).demote(version, place, reason)
        if not outcome.changed:
            typer.echo(f"version {version} is in {outcome.target} already; nothing was changed")
            return
        self._print_move(outcome)
        self._print_serving(outcome.state)

    def roll_back(self, who: str | None, reason: str | None) -> None:
        """Demote the champion."""
        outcome = self._lifecycle(who).roll_back(reason)
        self._print_move(outcome)
        self._print_serving(outcome.state)

    def status(self) -> None:
        """Print the versions in Production and Staging."""
        state = self._pointer.state()
        counts, stages = self._approval_counts(state), self._with_stages
        if self._output.as_json:
            name = self._model_name
            print_json(reports.status_document(name, state, counts, with_stages=stages))
            return
        self._print_serving(state)
        table = reports.status(state, counts, with_stages=stages)
        if table.rows:
            self._output.show(table)
        if change := reports.last_change(state):
            typer.echo(change)

    def history(self, version: str | None) -> None:
        """Print the recorded transitions of one version or all."""
        versions = self._registry.versions() if version is None else None
        shown = versions.values() if versions else [self._registry.version(version or "")]
        transitions = [each for one in shown for each in recorded(one.number, one.tags)]
        changes = reports.gate_changes(self._registry.gate_changes() if version is None else ())
        table = reports.history(transitions)
        if self._output.as_json:
            print_json({"transitions": table.records(), "gate_changes": changes.records()})
            return
        if transitions:
            self._output.show(table)
        else:
            typer.echo("the trainer has recorded no transition")
        if changes.rows:
            typer.echo("changes of the gates that decide a promotion:")
            self._output.show(changes)

    def verify_history(self, version: str | None, anchor: str | None) -> None:
        """Print each entry of the history with the result of its check; exit code 1 if one is faulty.

        `anchor` is a hash that was noted before: an entry must have it.
        """
        versions = self._registry.versions()
        if version is not None and version not in versions:
            raise version_not_found(self._model_name, version, versions)
        tags = {number: each.tags for number, each in versions.items()}
        keys = self._approvers.keys if self._approvers else own_keys()
        report = verify(entries(self._model_name, tags), keys)
        shown = [each for each in report.entries if version in {None, each.id.partition("/")[0]}]
        lost = anchor is not None and not report.has(anchor)
        if self._output.as_json:
            print_json(reports.verification_document(report, shown, lost=lost))
        else:
            self._print_verification(report, shown)
        if lost:
            typer.echo(f"WARNING: no entry has the hash {anchor}: the end was removed", err=True)
        if lost or not report.intact:
            raise typer.Exit(1)

    def _print_verification(self, report: Report, shown: Sequence[Checked]) -> None:
        if shown:
            self._output.show(reports.verification(shown))
        else:
            typer.echo("the trainer has recorded no transition")
        for head in report.heads:
            typer.echo(f"the last entry {head.entry} has the hash {head.sha256}")

    def audit(self, span: Span, out: Path) -> None:
        """Write what served when and who decided it, as JSON and as a page."""
        keys = self._approvers.keys if self._approvers else own_keys()
        auditor = Auditor(self._registry, keys, self._approvers)
        found = auditor.audit(span, self._pointer.name, self._pointer.state().champion)
        if out.suffix not in {".json", ".html"}:
            name = "".join(c if c.isalnum() or c in "._-" else "_" for c in self._model_name)
            out /= f"audit-{name}-{span.end:%Y-%m-%d}.json"
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.with_suffix(".json").write_text(json.dumps(found, indent=2, ensure_ascii=False))
            out.with_suffix(".html").write_text(page(found))
        except OSError as error:
            raise TrainerError(f"{out} cannot be written: {error.strerror}") from None
        typer.echo(f"wrote {out.with_suffix('.json')} and {out.with_suffix('.html')}")
        if not found["history"]["intact"]:
            typer.echo("WARNING: an entry of the history has a fault; see the page", err=True)

    def leaderboard(self) -> None:
        """Print all versions with their metrics."""
        state = self._pointer.state()
        counts = self._approval_counts(state)
        stages = self._with_stages
        self._output.show(reports.leaderboard(self._registry, state, counts, with_stages=stages))
        if not self._output.as_json:
            typer.echo(terminal.printable(reports.leaderboard_note(self._registry, state)))

    def importance(self, version: str | None, top: int) -> None:
        """Print the features' importance."""
        found = importance.read(self._registry, version)
        self._output.show(importance.table(found, top))
        if not self._output.as_json:
            typer.echo(terminal.printable(importance.legend(found)))

    def _lifecycle(self, who: str | None) -> Lifecycle:
        signer = self._signer
        name = signer.name if signer else who or _current_user()
        return Lifecycle(self._registry, self._pointer, name, signer=signer)

    def _held_out(self, plan: Plan) -> held_out.Changes | None:
        """The held-out rows whose prediction would change; None if no champion predicts them now."""
        versions, champion = plan.state.versions, plan.state.champion
        if champion is None or plan.decision is None:
            return None
        return held_out.changes(self._registry, versions[champion], versions[plan.version])

    def _print_move(self, outcome: Outcome) -> None:
        moved = reports.move(outcome.version, outcome.origin, outcome.target, self._pointer.name)
        typer.echo(moved)

    def _print_copied(self, outcome: Outcome) -> None:
        older, champion = outcome.copied_from, outcome.state.rollback_target
        typer.echo(
            f"version {older} is older than the champion {champion}, which MLflow would go on "
            f"naming; registered its files again as version {outcome.version} and promoted that"
        )

    def _print_serving(self, state: RegistryState) -> None:
        if state.champion is None:
            typer.echo(
                f"WARNING: no version of {self._model_name} {self._empty}; nothing may serve "
                "until one is promoted",
                err=True,
            )
            return
        target = state.rollback_target
        rollback = f"a rollback brings version {target} back" if target else "no rollback target"
        typer.echo(f"serving: version {state.champion} of {self._model_name}; {rollback}")
        self._print_approvals(state.champion, state.versions[state.champion].tags)

    def _print_approvals(self, version: str, tags: Mapping[str, str]) -> None:
        """Say which approvals a version lacks, if the approvers are known."""
        if self._approvers is None:
            return
        found = self._standing(self._approvers, version, tags)
        if found.sufficient:
            typer.echo(f"version {version} has {found.summary}")
            return
        typer.echo(
            f"WARNING: the service does not load version {version}: it has {terminal.printable(found.refusal)}: "
            f"{suggested(f'approve {version} --reason TEXT', self._model_name, self._pointer.name)}",
            err=True,
        )

    def _approval_counts(self, state: RegistryState) -> dict[str, str]:
        """The number of approvals of each version, such as `1 of 2`; empty if the approvers are not known."""
        if self._approvers is None:
            return {}
        return {
            number: self._standing(self._approvers, number, each.tags).count
            for number, each in state.versions.items()
        }

    def _standing(self, approvers: Approvers, version: str, tags: Mapping[str, str]) -> Standing:
        """The approvals of a version now. Its files are not read."""
        subject = Subject(self._model_name, version, {})
        return approvers.standing(envelopes(tags), subject, datetime.now(UTC), files=False)


def _print_findings(decision: Decision | None, failed: str) -> None:
    for finding in decision.findings if decision else ():
        typer.echo(
            f"  {'passed' if finding.passed else failed}: {terminal.printable(finding.reason)}"
        )


def _as_text(gates: Gates) -> str:
    return listed(tuple(sorted(gates, key=str))) if gates else ""


def _current_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user id without a name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
