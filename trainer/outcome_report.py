"""The report of the outcomes: realised performance by version and by time, as tables and as JSON."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import typer

from trainer import realised
from trainer.errors import RecordsError
from trainer.intervals import decimal
from trainer.outcomes import Counts, Joined, Outcomes
from trainer.realised import Bin, Estimate
from trainer.records import Choice
from trainer.terminal import Column, Output, Table, number, printable, prose, word

LATE_DAYS = 30.0
_SHOWN = {
    "binary": {
        "sensitivity": "sensitivity", "specificity": "specificity", "roc_auc": "ROC-AUC",
        "brier_score": "Brier score", "observed_to_expected": "observed/expected",
    },
    "multiclass": {
        "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "roc_auc": "mean ROC-AUC",
        "brier_score": "Brier score",
    },
    "regression": {"mae": "MAE", "rmse": "RMSE", "bias": "bias"},
    "several targets": {},
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """The predictions of one version in one period (empty: all), and how right they were.

    `outcomes` are all that were reported for them; `other` of these are not a class or value of the model, and do not
    count in the metrics. `days` are those from the prediction to the outcome: median and 90th percentile; `late` outcomes
    came after more than so many days, and count. `classes` has each of several classes against the rest.
    """

    model: str
    version: str
    run_id: str
    period: str
    task: str
    positive: str | None
    predictions: int
    outcomes: int
    other: int
    late: int
    days: tuple[float, float]
    metrics: Mapping[str, Estimate]
    classes: Mapping[str, Mapping[str, Estimate]]
    calibration: tuple[Bin, ...] = ()

    @property
    def coverage(self) -> float:
        """The share of predictions that have an outcome."""
        return self.outcomes / self.predictions if self.predictions else math.nan

    def as_json(self) -> dict[str, Any]:
        """Without NaN, which JSON does not have."""
        days = dict(zip(("p50", "p90"), map(_known, self.days), strict=True))
        classes = {name: realised.as_json(each) for name, each in self.classes.items()}
        bins = [
            {
                "low": each.low, "high": each.high, "expected": each.expected,
                "rows": each.observed.of, "positive": each.observed.count, "observed": each.observed.share,
                "observed_interval_95": each.observed.interval,
            }
            for each in self.calibration
        ]  # fmt: skip
        return {
            "model_name": self.model, "model_version": self.version, "run_id": self.run_id, "period": self.period,
            "task": self.task, "positive": self.positive, "predictions": self.predictions, "outcomes": self.outcomes,
            "coverage": _known(self.coverage), "other_outcomes": self.other, "late": self.late, "days": days,
            "metrics": realised.as_json(self.metrics), "classes": classes, "calibration": bins,
        }  # fmt: skip


@dataclass(frozen=True)
class Report:
    """All groups, and what became of the outcomes of the whole record."""

    groups: Sequence[Group]
    counts: Counts
    late_days: float

    def as_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "late_days": self.late_days,
            "outcomes": asdict(self.counts),
            "groups": [each.as_json() for each in self.groups],
        }


def make(
    outcomes: Outcomes,
    choice: Choice,
    by: str | None = None,
    positive: str | None = None,
    late_days: float = LATE_DAYS,
) -> Report:
    """The report of the chosen versions, `by` a key of PERIODS or only by version. Raises RecordsError."""
    groups: list[Group] = []
    for version in outcomes.versions(choice):
        joined = with_positive(outcomes.joined(version, choice.since, by), positive)
        groups += periods(joined, late_days)
    return Report(groups, outcomes.counts(), late_days)


def with_positive(joined: Joined, positive: str | None) -> Joined:
    """With the positive class: the given one, that of the graph, or the second of two; else each class counts alone.

    Raises RecordsError if the version does not have it.
    """
    version = joined.version
    if joined.is_value or joined.several_targets:
        return joined
    if positive is not None and positive not in version.classes:
        raise RecordsError(
            f"--positive {positive!r} is not a class of version {version.number} of {version.model}; it has "
            f"{', '.join(map(repr, version.classes))}"
        )
    two = len(version.classes) == 2  # noqa: PLR2004
    chosen = positive or (version.positive if version.positive in version.classes else None)
    chosen = chosen or (version.classes[1] if two else None)
    if not two and positive is None:
        chosen = None
    threshold = version.threshold if chosen == version.positive else None
    return replace(joined, version=replace(version, positive=chosen, threshold=threshold))


def group(joined: Joined, period: str = "", late_days: float = LATE_DAYS) -> Group:
    """How right one version's predictions were."""
    version, told, usable = joined.version, joined.has_outcome, joined.is_usable
    days = joined.days[told]
    task, metrics, classes, bins = _measured(joined.only(usable))
    quantiles = np.quantile(days, [0.5, 0.9]).tolist() if len(days) else [math.nan, math.nan]
    return Group(
        version.model, version.number, version.run_id, period, task,
        version.positive if task == "binary" else None,
        len(told), int(told.sum()), int((told & ~usable).sum()), int((days > late_days).sum()),
        (quantiles[0], quantiles[1]), metrics, classes, bins,
    )  # fmt: skip


_Measured = tuple[str, dict[str, Estimate], dict[str, dict[str, Estimate]], tuple[Bin, ...]]


def _measured(rows: Joined) -> _Measured:
    """The task, its metrics, those of each of several classes, and the calibration of a positive class."""
    if rows.several_targets:
        return "several targets", {}, {}, ()
    if rows.is_value:
        return "regression", realised.values(rows.actual, rows.predicted), {}, ()
    version = rows.version
    if version.positive is None:
        count = len(version.classes)
        together, each = realised.several_classes(
            rows.actual, rows.predicted, rows.probabilities, count
        )
        return "multiclass", together, dict(zip(version.classes, each, strict=True)), ()
    place = version.classes.index(version.positive)
    actual, called = rows.actual == place, rows.predicted == place
    if rows.probabilities is None:
        return "binary", realised.binary(actual, called, None), {}, ()
    probability = rows.probabilities[:, place]
    metrics = realised.binary(actual, called, probability)
    if version.threshold is not None:
        metrics |= realised.at_threshold(actual, probability, version.threshold)
    return "binary", metrics, {}, realised.calibration(actual, probability)


def periods(joined: Joined, late_days: float = LATE_DAYS) -> list[Group]:
    """How right one version's predictions were in each period."""
    names = np.array([str(each) for each in joined.period])
    return [
        group(joined.only(names == period), period, late_days)
        for period in np.unique(names).tolist()
    ]


def show(report: Report, output: Output) -> None:
    """Print the tables: one for each task, the calibration of versions, and what became of the outcomes."""
    for task, names in _SHOWN.items():
        groups = [each for each in report.groups if each.task == task]
        if groups:
            _show_groups(groups, names, output)
    for each in report.groups:
        if not each.period:
            _show_classes(each, output)
            _show_calibration(each, output)
    for line in counts(report):
        typer.echo(printable(line))


def _show_groups(groups: Sequence[Group], names: Mapping[str, str], output: Output) -> None:
    point = any("operating_point_sensitivity" in each.metrics for each in groups)
    if point:
        names = {
            **names,
            "operating_point_sensitivity": "sensitivity at the threshold",
            "operating_point_specificity": "specificity at the threshold",
        }
    rows = [
        [
            each.model, each.version, each.period or None, each.positive, each.predictions, each.outcomes,
            f"{decimal(each.coverage * 100, 1, 100)} %", *(text(each.metrics.get(name)) for name in names),
        ]
        for each in groups
    ]  # fmt: skip
    columns = [
        prose("model", rank=3), number("version"), word("period"), prose("positive", rank=4),
        number("predictions", rank=3), number("outcomes"), number("coverage", rank=2),
        *_metrics(names),
    ]  # fmt: skip
    output.show(Table(columns, rows))
    typer.echo("In brackets: 95 % intervals\n")


def _show_classes(group: Group, output: Output) -> None:
    if not group.classes:
        return
    names = {name: shown for name, shown in _SHOWN["binary"].items() if name != "brier_score"}
    rows = [
        [group.model, group.version, label, *(text(each.get(name)) for name in names)]
        for label, each in group.classes.items()
    ]
    columns = [
        prose("model", rank=3), number("version"), prose("class", "class against the rest"), *_metrics(names)
    ]  # fmt: skip
    output.show(Table(columns, rows))
    typer.echo()


def _show_calibration(group: Group, output: Output) -> None:
    rows = [
        [
            group.model, group.version, f"{each.low:.1f} to {each.high:.1f}", each.observed.of, decimal(each.expected),
            text(Estimate.of_proportion(each.observed)),
        ]
        for each in group.calibration
    ]  # fmt: skip
    if rows:
        columns = [
            prose("model", rank=3), number("version"), number("bin", f"probability of {group.positive}"),
            number("rows", rank=1), number("expected"), number("observed"),
        ]  # fmt: skip
        output.show(Table(columns, rows))
        typer.echo()


def _metrics(names: Mapping[str, str]) -> list[Column]:
    """The columns of metrics; of these, the last are left out first."""
    return [
        number(name, heading, 2 if index else 0) for index, (name, heading) in enumerate(names.items())
    ]  # fmt: skip


def counts(report: Report) -> Iterator[str]:
    """What became of the outcomes, a line each; what did not happen is left out."""
    found = report.counts
    yield f"outcomes reported: {found.reported}, for {found.ids} ids"
    other = sum(each.other for each in report.groups)
    for times, meaning in (
        (found.repeated, "repetitions of the same outcome"),
        (found.contradictory, "ids whose outcome changed (the latest counts)"),
        (found.unknown, "ids that are not in the record"),
        (found.ambiguous_ids, "ids of several predictions (none of these counts)"),
        (found.ambiguous_predictions, "predictions with such an id"),
        (found.ambiguous_outcomes, "such ids that have an outcome"),
        (found.asked_again, "predictions that were asked again with the same id and values (each counts once)"),
        (other, "outcomes that are neither a class nor a value of their model (they do not count)"),
    ):  # fmt: skip
        if times:
            yield f"{meaning}: {times}"
    for each in report.groups:
        if each.outcomes:
            period = f" in {each.period}" if each.period else ""
            yield (
                f"days until the outcome, {each.model} version {each.version}{period}: median {each.days[0]:.1f}, "
                f"90 % within {each.days[1]:.1f}; after more than {report.late_days:g}: {each.late}"
            )


def text(estimate: Estimate | None) -> str:
    """A cell: the value and its interval, such as `0.952 (0.84 to 0.99)`."""
    if estimate is None or math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return _digits(estimate.value)
    return f"{_digits(estimate.value)} ({_digits(estimate.low)} to {_digits(estimate.high)})"


def _digits(number: float) -> str:
    """Three decimals of shares, and four digits of larger numbers."""
    if 0 <= number <= 1:
        return decimal(number)
    return f"{number:.4g}"


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
