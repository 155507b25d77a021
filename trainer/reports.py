"""Tables that the registry commands print."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer.history import Place, Transition, in_time_order
from trainer.pointer import RegistryState
from trainer.registry import RegisteredModel, Version

METRICS = ("test_roc_auc", "test_sensitivity", "test_specificity", "test_accuracy")
UNKNOWN = "-"
OUTSIDE = "outside the trainer"

Row = Sequence[str]


def show(headings: Row, rows: Iterable[Row], console: Console) -> None:
    """Print a table; without a terminal, print aligned columns that are never truncated."""
    if not console.is_terminal:
        _show_plain([headings, *rows], console)
        return
    table = Table(*headings, box=box.SIMPLE_HEAD)
    for row in rows:
        # Text, because rich would interpret a reason as markup.
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def _show_plain(rows: Sequence[Row], console: Console) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.file.write("  ".join(padded).rstrip() + "\n")


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


def leaderboard(
    registry: RegisteredModel, state: RegistryState, *, with_stages: bool
) -> tuple[Row, list[Row]]:
    """All versions with their metrics, the best ROC-AUC first. Raises RegistryError."""
    names: dict[str, list[str]] = {}
    for alias, version in registry.aliases().items():
        names.setdefault(version, []).append(alias)
    metrics = {number: registry.metrics(each) for number, each in state.versions.items()}
    best_first = sorted(
        state.versions, key=lambda number: -metrics[number].get(METRICS[0], float("-inf"))
    )
    rows: list[Row] = [
        [
            number,
            state.versions[number].tags.get("candidate", UNKNOWN),
            *([state.places[number].value] if with_stages else []),
            role(number, state),
            ",".join(sorted(names.get(number, []))) or UNKNOWN,
            *(_decimals(metrics[number].get(name)) for name in METRICS),
            state.versions[number].tags.get("parity", UNKNOWN),
            *_promotion(number, state),
        ]
        for number in best_first
    ]
    stage = ["stage"] if with_stages else []
    headings = ["version", "candidate", *stage, "role", "aliases", *METRICS]
    return [*headings, "parity", "promoted_by", "promoted_at"], rows


def status(state: RegistryState, *, with_stages: bool) -> tuple[Row, list[Row]]:
    """The versions in Production, the serving one first, then those in Staging."""
    rows: list[Row] = [
        [
            state.places[version].value,
            version,
            role(version, state),
            *_since(state.versions[version], state, with_stages=with_stages),
        ]
        for version in (*state.stack, *state.staging)
    ]
    return ["place", "version", "role", "since", "by", "why"], rows


def last_change(state: RegistryState) -> str | None:
    """A sentence about the last recorded change of Production, or None."""
    touching = [
        each
        for each in in_time_order(state.transitions)
        if Place.PRODUCTION in {each.origin, each.target}
    ]
    if not touching:
        return None
    last = touching[-1]
    return (
        f"last recorded change: {moment(last.when)} version {last.version} went from {last.origin} "
        f"to {last.target}, by {last.who}: {last.why or UNKNOWN}"
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


def _decimals(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def _promotion(version: str, state: RegistryState) -> tuple[str, str]:
    """The user and time of a version's last promotion."""
    promotions = [
        each
        for each in in_time_order(state.transitions)
        if each.version == version and each.target in {Place.PRODUCTION, Place.STAGING}
    ]
    if not promotions:
        return UNKNOWN, UNKNOWN
    return promotions[-1].who, moment(promotions[-1].when)


def _since(version: Version, state: RegistryState, *, with_stages: bool) -> tuple[str, str, str]:
    """The time, user and reason of a version's last move, or OUTSIDE if it is not recorded."""
    own = [each for each in state.transitions if each.version == version.number]
    last = max(own, key=lambda each: each.when, default=None)
    if last is not None and last.target is state.places[version.number]:
        return moment(last.when), last.who, last.why or UNKNOWN
    if with_stages:
        # MLflow keeps no time for a stage, only for the last change of the version.
        return moment(datetime.fromtimestamp(version.updated_ms / 1000, UTC)), OUTSIDE, UNKNOWN
    return UNKNOWN, OUTSIDE, UNKNOWN
