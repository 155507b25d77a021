"""Tables that the registry commands print."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from trainer import tag_names
from trainer.chain import Checked
from trainer.gates import DEFAULTS, GateChange, Gates
from trainer.history import Place, Transition, in_time_order
from trainer.pointer import STAGING_ALIAS, RegistryState
from trainer.promotion import DEFAULT_TASK
from trainer.registry import RegisteredModel, Version
from trainer.terminal import Row, printable

UNKNOWN = "-"
OUTSIDE = "outside the trainer"
_DIRECTIONS = {True: "lower", False: "higher", None: UNKNOWN}


def moment(when: datetime) -> str:
    """A time in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def role(version: str, state: RegistryState) -> str:
    """The role of a version: serving, the number of rollbacks until it serves, or unknown."""
    if version == state.champion:
        return "serving"
    if version in state.stack:
        return f"rollback {state.stack.index(version)}"
    return UNKNOWN


def place(version: str, state: RegistryState) -> str:
    """The stage of a version, or the alias that names it: never the words of the other pointer."""
    found = state.places[version]
    if not state.pointer.startswith("@"):
        return found.value
    if found is Place.STAGING:
        return f"@{STAGING_ALIAS}"
    return state.pointer if version == state.champion else UNKNOWN


def move(version: str, origin: Place, target: Place, pointer: str) -> str:
    """A transition as a sentence: with stages, or with the aliases that named the version before and after."""
    words = {each: each.value for each in Place}
    if pointer.startswith("@"):
        words = dict.fromkeys(Place, "no alias")
        words |= {Place.PRODUCTION: pointer, Place.STAGING: f"@{STAGING_ALIAS}"}
        if origin is target:  # a rollback target, which has no alias
            return f"version {version} went from no alias to {words[target]}"
    return f"version {version} went from {words[origin]} to {words[target]}"


def gates_in_force(stored: Gates, state: RegistryState) -> tuple[str, Gates]:
    """The task of the champion or else of the newest version, and the gates that count for it."""
    newest = next(iter(state.versions))
    tags = state.versions[state.champion or newest].tags
    task = tags.get(tag_names.TASK, DEFAULT_TASK)
    return task, stored or DEFAULTS.get(task, ())


def gates(gates: Gates) -> tuple[Row, list[Row]]:
    """The gates with their directions."""
    rows: list[Row] = [
        [each.metric, each.limit, _DIRECTIONS[each.lower_is_better]] for each in gates
    ]
    return ["metric", "tolerance", "better"], rows


def leaderboard(
    registry: RegisteredModel,
    state: RegistryState,
    approvals: Mapping[str, str],
    *,
    with_stages: bool,
) -> tuple[Row, list[Row]]:
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
    rows: list[Row] = [
        [
            number,
            state.versions[number].tags.get(tag_names.CANDIDATE, UNKNOWN),
            *([state.places[number].value] if with_stages else []),
            role(number, state),
            ",".join(sorted(names.get(number, []))) or UNKNOWN,
            *(decimals(metrics[number].get(each.metric)) for each in shown),
            state.versions[number].tags.get(tag_names.PARITY, UNKNOWN),
            *([approvals[number]] if approvals else []),
            *_promotion(number, state),
        ]
        for number in best_first
    ]
    stage = ["stage"] if with_stages else []
    headings = ["version", "candidate", *stage, "role", "aliases", *(each.metric for each in shown)]
    approved = ["approvals"] if approvals else []
    return [*headings, "parity", *approved, "promoted_by", "promoted_at"], rows


def status(
    state: RegistryState, approvals: Mapping[str, str], *, with_stages: bool
) -> tuple[Row, list[Row]]:
    """The versions in Production, the serving one first, then those in Staging; `approvals` as above."""
    rows: list[Row] = [
        [
            place(version, state),
            version,
            role(version, state),
            *([approvals[version]] if approvals else []),
            *_since(state.versions[version], state, with_stages=with_stages),
        ]
        for version in (*state.stack, *state.staging)
    ]
    approved = ["approvals"] if approvals else []
    return ["place", "version", "role", *approved, "since", "by", "why"], rows


def last_change(state: RegistryState) -> str | None:
    """A sentence about the last recorded change of Production, or None."""
    touching = [
        each
        for each in in_time_order(state.own_transitions)
        if Place.PRODUCTION in {each.origin, each.target}
    ]
    if not touching:
        return None
    last = touching[-1]
    return (
        f"last recorded change: {moment(last.when)} "
        f"{move(last.version, last.origin, last.target, last.pointer)}, by {printable(last.who)}: "
        f"{printable(last.why) or UNKNOWN}"
    )


def history(transitions: Iterable[Transition]) -> tuple[Row, list[Row]]:
    """All transitions, the oldest first."""
    rows: list[Row] = [
        [
            moment(each.when),
            each.version,
            each.origin.value,
            each.target.value,
            each.pointer,
            each.who,
            each.why or UNKNOWN,
        ]
        for each in in_time_order(transitions)
    ]
    return ["when", "version", "from", "to", "pointer", "who", "why"], rows


def gate_changes(changes: Iterable[GateChange]) -> tuple[Row, list[Row]]:
    """All recorded changes of the gates."""
    rows: list[Row] = [
        [
            moment(each.when),
            each.before or "the defaults",
            each.after or "the defaults",
            each.who,
            each.why or UNKNOWN,
        ]
        for each in changes
    ]
    return ["when", "from", "to", "who", "why"], rows


def verification(checked: Iterable[Checked]) -> tuple[Row, list[Row]]:
    """The entries and gaps of the history with the results of their checks, the oldest first."""
    rows: list[Row] = []
    for each in checked:
        move = each.transition
        places = [move.origin.value, move.target.value] if move else [UNKNOWN, UNKNOWN]
        version = each.id.partition("/")[0]
        when, who = moment(each.when), each.who or UNKNOWN
        rows.append([when, version, *places, who, each.status.value, each.remark or UNKNOWN])
    return ["when", "version", "from", "to", "who", "status", "remark"], rows


def decimals(value: float | None) -> str:
    """Four decimals, and more where these would show 0 or 1 for another value."""
    if value is None:
        return UNKNOWN
    text = f"{value:.4f}"
    return text if value == float(text) or float(text) not in {0, 1} else f"{value:.12g}"


def _promotion(version: str, state: RegistryState) -> tuple[str, str]:
    """The user and time of a version's last promotion."""
    promotions = [
        each
        for each in in_time_order(state.own_transitions)
        if each.version == version and each.target in {Place.PRODUCTION, Place.STAGING}
    ]
    if not promotions:
        return UNKNOWN, UNKNOWN
    return promotions[-1].who, moment(promotions[-1].when)


def _since(version: Version, state: RegistryState, *, with_stages: bool) -> tuple[str, str, str]:
    """The time, user and reason of a version's last move, or OUTSIDE if it is not recorded."""
    own = [each for each in state.own_transitions if each.version == version.number]
    last = max(own, key=lambda each: each.when, default=None)
    if last is not None and last.target is state.places[version.number]:
        return moment(last.when), last.who, last.why or UNKNOWN
    if with_stages:
        # MLflow keeps no time for a stage, only for the last change of the version.
        return moment(datetime.fromtimestamp(version.updated_ms / 1000, UTC)), OUTSIDE, UNKNOWN
    return UNKNOWN, OUTSIDE, UNKNOWN
