"""The registry commands: call the lifecycle and print the result. `trainer.cli` has their options."""

import getpass
import os
import socket

import typer
from rich.console import Console

from trainer import importance, reports
from trainer.beginning import is_empty, ranked
from trainer.history import Place, recorded
from trainer.lifecycle import Lifecycle, Outcome
from trainer.mlflow_server import connect
from trainer.pointer import AliasPointer, Pointer, RegistryState, StagePointer
from trainer.promotion import Policy
from trainer.registry import RegisteredModel


class RegistryCommands:
    """The commands on one registered model; every one raises TrainerError.

    `alias` names the serving version; None means MLflow's stage.
    """

    def __init__(self, model_name: str, alias: str | None) -> None:
        self._model_name = model_name
        self._with_stages = alias is None
        self._registry = RegisteredModel(connect(), model_name)
        self._pointer: Pointer = (
            StagePointer(self._registry) if alias is None else AliasPointer(self._registry, alias)
        )
        self._console = Console(highlight=False)

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
        typer.echo(f"version {version} went from {outcome.origin} to Staging")

    def promote(
        self, version: str, policy: Policy, who: str | None, reason: str | None, *, force: bool
    ) -> None:
        """Promote to Production."""
        outcome = self._lifecycle(who).promote(version, policy, reason, force=force)
        if not outcome.changed:
            same = "" if outcome.version == version else f", with the files of version {version}"
            typer.echo(
                f"version {outcome.version} is the champion already{same}; nothing was changed"
            )
            return
        if outcome.copied_from:
            self._print_copied(outcome)
        else:
            typer.echo(f"version {version} went from {outcome.origin} to Production")
        for finding in outcome.decision.findings if outcome.decision else ():
            typer.echo(f"  {'passed' if finding.passed else 'FORCED'}: {finding.reason}")
        self._print_serving(outcome.state)

    def demote(self, version: str, target: str | None, who: str | None, reason: str | None) -> None:
        """Take out of Production or Staging."""
        place = Place(target) if target else None
        outcome = self._lifecycle(who).demote(version, place, reason)
        if not outcome.changed:
            typer.echo(f"version {version} is in {outcome.target} already; nothing was changed")
            return
        typer.echo(f"version {version} went from {outcome.origin} to {outcome.target}")
        self._print_serving(outcome.state)

    def roll_back(self, who: str | None, reason: str | None) -> None:
        """Demote the champion."""
        outcome = self._lifecycle(who).roll_back(reason)
        typer.echo(f"version {outcome.version} went from {outcome.origin} to {outcome.target}")
        self._print_serving(outcome.state)

    def status(self) -> None:
        """Print the versions in Production and Staging."""
        state = self._pointer.state()
        self._print_serving(state)
        headings, rows = reports.status(state, with_stages=self._with_stages)
        if rows:
            reports.show(headings, rows, self._console)
        if change := reports.last_change(state):
            typer.echo(change)

    def history(self, version: str | None) -> None:
        """Print the recorded transitions of one version or all."""
        versions = self._registry.versions() if version is None else None
        shown = versions.values() if versions else [self._registry.version(version or "")]
        transitions = [each for one in shown for each in recorded(one.number, one.tags)]
        if not transitions:
            typer.echo("the trainer has recorded no transition")
            return
        reports.show(*reports.history(transitions), self._console)

    def leaderboard(self) -> None:
        """Print all versions with their metrics."""
        state = self._pointer.state()
        table = reports.leaderboard(self._registry, state, with_stages=self._with_stages)
        reports.show(*table, self._console)

    def importance(self, version: str | None, top: int) -> None:
        """Print the features' importance."""
        reports.show(*importance.table(self._registry, version, top), self._console)

    def _lifecycle(self, who: str | None) -> Lifecycle:
        return Lifecycle(self._registry, self._pointer, who or _current_user())

    def _print_copied(self, outcome: Outcome) -> None:
        older, champion = outcome.copied_from, outcome.state.rollback_target
        typer.echo(
            f"version {older} is older than the champion {champion}, which MLflow would go on "
            f"naming; registered its files again as version {outcome.version} and promoted that"
        )

    def _print_serving(self, state: RegistryState) -> None:
        if state.champion is None:
            typer.echo(
                f"WARNING: no version of {self._model_name} is in Production; nothing may serve "
                "until one is promoted",
                err=True,
            )
            return
        target = state.rollback_target
        rollback = f"a rollback brings version {target} back" if target else "no rollback target"
        typer.echo(f"serving: version {state.champion} of {self._model_name}; {rollback}")


def _current_user() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a user id without a name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
