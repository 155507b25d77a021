"""What the registry commands print: rows of text, as a table for a person or as lines for grep."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainer.history import Place, Transition, in_time_order
from trainer.pointer import Standing
from trainer.registry import RegisteredModel, Version

METRICS = ("test_roc_auc", "test_sensitivity", "test_specificity", "test_accuracy")
UNKNOWN = "-"
OUTSIDE = "outside the trainer"

Row = Sequence[str]


def show(headings: Row, rows: Iterable[Row], console: Console) -> None:
    """Print a table; where nobody watches, plain aligned columns that nothing cuts off."""
    if not console.is_terminal:
        _show_plain([headings, *rows], console)
        return
    table = Table(*headings, box=box.SIMPLE_HEAD)
    for row in rows:
        # Text, because a reason may hold what rich would take for markup.
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


def role(version: str, standing: Standing) -> str:
    """What a version does: it serves, it is so many steps of rollback away, or nothing."""
    if version == standing.champion:
        return "serving"
    if version in standing.stack:
        return f"rollback {standing.stack.index(version)}"
    return UNKNOWN


def leaderboard(
    registry: RegisteredModel, standing: Standing, *, with_stages: bool
) -> tuple[Row, list[Row]]:
    """Every version with its metrics, the best ROC-AUC first. Raises RegistryError."""
    names: dict[str, list[str]] = {}
    for alias, version in registry.aliases().items():
        names.setdefault(version, []).append(alias)
    metrics = {number: registry.metrics(each) for number, each in standing.versions.items()}
    best_first = sorted(
        standing.versions, key=lambda number: -metrics[number].get(METRICS[0], float("-inf"))
    )
    rows: list[Row] = [
        [
            number,
            standing.versions[number].tags.get("candidate", UNKNOWN),
            *([standing.places[number].value] if with_stages else []),
            role(number, standing),
            ",".join(sorted(names.get(number, []))) or UNKNOWN,
            *(_decimals(metrics[number].get(name)) for name in METRICS),
            standing.versions[number].tags.get("parity", UNKNOWN),
            *_promotion(number, standing),
        ]
        for number in best_first
    ]
    stage = ["stage"] if with_stages else []
    headings = ["version", "candidate", *stage, "role", "aliases", *METRICS]
    return [*headings, "parity", "promoted_by", "promoted_at"], rows


def status(standing: Standing, *, with_stages: bool) -> tuple[Row, list[Row]]:
    """What is in Production, the one that serves first, then what is in Staging."""
    rows: list[Row] = [
        [
            standing.places[version].value,
            version,
            role(version, standing),
            *_since(standing.versions[version], standing, with_stages=with_stages),
        ]
        for version in (*standing.stack, *standing.staging)
    ]
    return ["place", "version", "role", "since", "by", "why"], rows


def last_change(standing: Standing) -> str | None:
    """The last recorded transition into or out of Production, as a sentence; None if none is."""
    touching = [
        each
        for each in in_time_order(standing.transitions)
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
    """Every transition, the oldest first."""
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


def _promotion(version: str, standing: Standing) -> tuple[str, str]:
    """Who last promoted a version, and when."""
    promotions = [
        each
        for each in in_time_order(standing.transitions)
        if each.version == version and each.target in {Place.PRODUCTION, Place.STAGING}
    ]
    if not promotions:
        return UNKNOWN, UNKNOWN
    return promotions[-1].who, moment(promotions[-1].when)


def _since(version: Version, standing: Standing, *, with_stages: bool) -> tuple[str, str, str]:
    """When a version came to where it is, by whom, why; or that nobody told the trainer."""
    own = [each for each in standing.transitions if each.version == version.number]
    last = max(own, key=lambda each: each.when, default=None)
    if last is not None and last.target is standing.places[version.number]:
        return moment(last.when), last.who, last.why or UNKNOWN
    if with_stages:
        # MLflow keeps no time for a stage, only for the last change of the version.
        return moment(datetime.fromtimestamp(version.updated_ms / 1000, UTC)), OUTSIDE, UNKNOWN
    return UNKNOWN, OUTSIDE, UNKNOWN
