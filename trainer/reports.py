"""Tables that the registry commands print."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from trainer import tag_names
from trainer.chain import Checked, Report
from trainer.gates import DEFAULTS, Gate, GateChange, Gates, listed
from trainer.held_out import Changes
from trainer.history import Place, Transition, in_time_order
from trainer.lifecycle import Plan
from trainer.pointer import STAGING_ALIAS, RegistryState
from trainer.promotion import DEFAULT_TASK
from trainer.registry import RegisteredModel, Version
from trainer.terminal import (
    Column,
    Table,
    decimals,
    moment,
    number,
    printable,
    prose,
    time,
    word,
)

OUTSIDE = "outside the trainer"
_NO_ALIAS = "no alias"
_DEFAULTS = "the defaults"
_DIRECTIONS = {True: "lower", False: "higher", None: None}
_SHORT_HEADINGS = {
    "roc_auc": "ROC-AUC", "sensitivity": "sens.", "specificity": "spec.", "balanced_accuracy": "balanced",
    "f1": "F1", "brier_score": "Brier", "log_loss": "log loss", "rmse": "RMSE", "mae": "MAE", "r2": "R²",
}  # fmt: skip


def role(version: str, state: RegistryState) -> str | None:
    """The role of a version: serving, the number of rollbacks until it serves, or none."""
    if version == state.champion:
        return "serving"
    if version in state.stack:
        return f"rollback {state.stack.index(version)}"
    return None


def place(version: str, state: RegistryState) -> str | None:
    """The stage of a version, or the alias that names it: never the words of the other pointer."""
    found = state.places[version]
    if not state.pointer.startswith("@"):
        return found.value
    if found is Place.STAGING:
        return f"@{STAGING_ALIAS}"
    return state.pointer if version == state.champion else None


def places(origin: Place, target: Place, pointer: str) -> tuple[str, str]:
    """Where a transition led from and to: stages, or the aliases that named the version before and after."""
    if not pointer.startswith("@"):
        return origin.value, target.value
    words = dict.fromkeys(Place, _NO_ALIAS)
    words |= {Place.PRODUCTION: pointer, Place.STAGING: f"@{STAGING_ALIAS}"}
    # A rollback target is in Production, and has no alias.
    return _NO_ALIAS if origin is target else words[origin], words[target]


def move(version: str, origin: Place, target: Place, pointer: str) -> str:
    """A transition as a sentence."""
    before, after = places(origin, target, pointer)
    return f"version {version} went from {before} to {after}"


def gates_in_force(stored: Gates, state: RegistryState) -> tuple[str, Gates]:
    """The task of the champion or else of the newest version, and the gates that count for it."""
    newest = next(iter(state.versions))
    tags = state.versions[state.champion or newest].tags
    task = tags.get(tag_names.TASK, DEFAULT_TASK)
    return task, stored or DEFAULTS.get(task, ())


def gates(gates: Gates) -> Table:
    """The gates with their directions."""
    rows = [[each.metric, each.limit, _DIRECTIONS[each.lower_is_better]] for each in gates]
    return Table([prose("metric", least=24), number("tolerance"), word("better")], rows)


def leaderboard(
    registry: RegisteredModel,
    state: RegistryState,
    approvals: Mapping[str, str],
    *,
    with_stages: bool,
) -> Table:
    """All versions with the metrics of the gates, the best by the first gate first. Raises TrainerError.

    `approvals` has the number of approvals of each version; empty hides the column.
    """
    names: dict[str, list[str]] = {}
    for alias, version in registry.aliases().items():
        names.setdefault(version, []).append(alias)
    _, shown = gates_in_force(registry.gates(), state)
    metrics = {number: registry.metrics(each) for number, each in state.versions.items()}
    best_first = sorted(
        state.versions,
        key=lambda number: [each.sort_key(metrics[number].get(each.metric)) for each in shown[:1]],
    )
    rows = [
        [
            number,
            state.versions[number].tags.get(tag_names.CANDIDATE),
            *([state.places[number].value] if with_stages else []),
            role(number, state),
            ", ".join(sorted(names.get(number, []))) or None,
            *(metrics[number].get(each.metric) for each in shown),
            state.versions[number].tags.get(tag_names.PARITY),
            *([approvals[number]] if approvals else []),
            *_promotion(number, state),
        ]
        for number in best_first
    ]
    columns = [
        number("version"),
        prose("candidate", least=24),
        *([word("stage", rank=3)] if with_stages else []),
        word("role", rank=1),
        prose("aliases", rank=5),
        *(_metric(each, rank=2 if index else 0) for index, each in enumerate(shown)),
        prose("parity", rank=4, least=6),
        *([number("approvals", rank=3)] if approvals else []),
        prose("promoted_by", "promoted by", rank=7),
        time("promoted_at", "promoted", rank=6),
    ]
    return Table(columns, rows)


def leaderboard_note(registry: RegisteredModel, state: RegistryState) -> str:
    """Sentences on what a leaderboard is sorted by, and what a promotion compares. Raises TrainerError."""
    _, shown = gates_in_force(registry.gates(), state)
    if not shown:
        return "no gates are in force: promote needs --gate"
    first = shown[0]
    better = {True: "lower is better", False: "higher is better", None: "unknown direction"}
    compared = ", ".join(f"{each.metric} ({each.limit})" for each in shown)
    return f"sorted by {first.metric} ({better[first.lower_is_better]}); promote compares with the champion: {compared}"


def status(state: RegistryState, approvals: Mapping[str, str], *, with_stages: bool) -> Table:
    """The versions in Production, the serving one first, then those in Staging; `approvals` as above."""
    rows = [
        [
            place(version, state),
            version,
            role(version, state),
            *([approvals[version]] if approvals else []),
            *_since(state.versions[version], state, with_stages=with_stages),
        ]
        for version in (*state.stack, *state.staging)
    ]
    columns = [
        prose("place"),
        number("version"),
        word("role", rank=1),
        *([number("approvals", rank=2)] if approvals else []),
        # MLflow keeps no time of an alias: it may have been moved away and back since.
        time("moved_at", "since" if with_stages else "last known move", rank=3),
        prose("moved_by", "by", rank=4),
        prose("why", rank=5, least=16),
    ]
    return Table(columns, rows)


def status_document(
    model: str, state: RegistryState, approvals: Mapping[str, str], *, with_stages: bool
) -> dict[str, Any]:
    """The status for JSON."""
    change = _last_change(state)
    return {
        "model_name": model, "pointer": state.pointer, "serving": state.champion,
        "rollback_target": state.rollback_target,
        "versions": status(state, approvals, with_stages=with_stages).records(),
        "last_change": history([change]).records()[0] if change else None,
    }  # fmt: skip


def last_change(state: RegistryState) -> str | None:
    """A sentence about the last recorded change of Production, or None. The table of `status` may have its reason."""
    last = _last_change(state)
    if last is None:
        return None
    shown = last.version in (*state.stack, *state.staging) and state.last_move(last.version) == last
    reason = f": {printable(last.why)}" if last.why and not shown else ""
    return (
        f"last recorded change: {moment(last.when)} "
        f"{move(last.version, last.origin, last.target, last.pointer)}, by {printable(last.who)}{reason}"
    )


def history(transitions: Iterable[Transition]) -> Table:
    """All transitions, the oldest first."""
    rows = [
        [
            each.when,
            each.version,
            *places(each.origin, each.target, each.pointer),
            each.pointer,
            each.who,
            each.why or None,
        ]
        for each in in_time_order(transitions)
    ]
    columns = [
        time("when"),
        number("version"),
        prose("from", rank=3),
        prose("to"),
        prose("pointer", rank=4),
        prose("who", rank=2),
        prose("why", rank=1, least=16),
    ]
    return Table(columns, rows)


def gate_changes(changes: Iterable[GateChange]) -> Table:
    """All recorded changes of the gates."""
    rows = [
        [each.when, each.before or _DEFAULTS, each.after or _DEFAULTS, each.who, each.why or None]
        for each in changes
    ]
    texts = [prose("from", rank=2), prose("to"), prose("who", rank=3), prose("why", rank=1)]
    return Table([time("when"), *texts], rows)


def verification(checked: Iterable[Checked]) -> Table:
    """The entries and gaps of the history with the results of their checks, the oldest first."""
    rows = []
    for each in checked:
        move = each.transition
        moved = places(move.origin, move.target, move.pointer) if move else (None, None)
        version = each.id.partition("/")[0]
        row = [each.when, version, *moved, each.who or None, each.status.value, each.remark or None]
        rows.append(row)
    columns = [
        time("when"),
        number("version"),
        prose("from", rank=4),
        prose("to", rank=3),
        prose("who", rank=2),
        word("status"),
        prose("remark", rank=1),
    ]
    return Table(columns, rows)


def verification_document(
    report: Report, shown: Iterable[Checked], *, lost: bool
) -> dict[str, Any]:
    """The check of the history for JSON; `lost` if no entry has the hash that was noted before."""
    return {
        "intact": report.intact and not lost,
        "entries": verification(shown).records(),
        "last_entries": [vars(head) for head in report.heads],
    }


def plan_document(plan: Plan, changes: Changes | None) -> dict[str, Any]:
    """What a promotion would do, for JSON."""
    findings = plan.decision.findings if plan.decision else ()
    return {
        "version": plan.version, "champion": plan.state.champion, "allowed": plan.allowed,
        "changes_nothing": plan.decision is None, "new_number": plan.copied,
        "findings": [{"passed": each.passed, "reason": each.reason} for each in findings],
        "held_out": {
            "summary": changes.sentence, "rows": changes.table.records() if changes.table else [],
        } if changes else None,
    }  # fmt: skip


def would(plan: Plan) -> str:
    """A sentence on what the promotion would do."""
    version, champion = plan.version, plan.state.champion
    if not plan.allowed:
        return f"version {version} would not be promoted"
    serves = f"would serve: version {version}"
    if plan.copied:
        serves = (
            f"version {version} is older than the champion {champion}: its files would be "
            "registered again under a new number, which would serve"
        )
    after = f"a rollback would bring version {champion} back" if champion else "no rollback target"
    gates = f"; the gates would be {listed(plan.new_gates)}" if plan.new_gates else ""
    return f"{serves}; nothing would be archived; {after}{gates}"


def _metric(gate: Gate, rank: int) -> Column:
    name = gate.metric.removeprefix("test_")
    return number(gate.metric, _SHORT_HEADINGS.get(name, name), rank, decimals, "metrics")


def _last_change(state: RegistryState) -> Transition | None:
    touching = [
        each
        for each in in_time_order(state.own_transitions)
        if Place.PRODUCTION in {each.origin, each.target}
    ]
    return touching[-1] if touching else None


def _promotion(version: str, state: RegistryState) -> tuple[str | None, datetime | None]:
    """The user and time of a version's last promotion."""
    promotions = [
        each
        for each in in_time_order(state.own_transitions)
        if each.version == version and each.target in {Place.PRODUCTION, Place.STAGING}
    ]
    return (promotions[-1].who, promotions[-1].when) if promotions else (None, None)


def _since(
    version: Version, state: RegistryState, *, with_stages: bool
) -> tuple[datetime | None, str, str | None]:
    """The time, user and reason of a version's last move; if it is not recorded, OUTSIDE and what MLflow knows."""
    last = state.last_move(version.number)
    if last is not None:
        return last.when, last.who, last.why or None
    if with_stages:
        # MLflow keeps no time for a stage: this one can also be that of a new description.
        changed = moment(datetime.fromtimestamp(version.updated_ms / 1000, UTC))
        return None, OUTSIDE, f"MLflow changed the version at {changed} for the last time"
    return None, OUTSIDE, None
