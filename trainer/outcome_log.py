"""Write realised performance to MLflow, under the run of each version: metrics, pictures and the report as JSON.

Writing it again adds the newest values to each metric's history, and replaces the files.
"""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from mlflow.tracking import MlflowClient

from exporters.metrics import Evaluation, class_names
from trainer import outcome_report, plots
from trainer.drawing import BLUE, PALE, STYLE, VERMILION, save, tick, titled
from trainer.mlflow_server import connect, mlflow_border
from trainer.outcome_report import LATE_DAYS, Group
from trainer.outcomes import Joined, Outcomes
from trainer.records import Choice
from trainer.tracking import Run

FOLDER = "realised"
"""The folder of the run's artifacts."""
PREFIX = "realised_"
_OVER_TIME = {
    "binary": ("sensitivity", "specificity"),
    "multiclass": ("accuracy",),
    "regression": ("mae",),
}
_NAMES = {"mae": "mean absolute error"}
_ROWS = "rows with an outcome"
_MAX_PERIODS = 60  # in a picture


def log(
    outcomes: Outcomes,
    choice: Choice,
    by: str,
    positive: str | None = None,
    late_days: float = LATE_DAYS,
) -> Iterator[str]:
    """Write each chosen version's report, and yield a sentence about it; `by` is a key of PERIODS, for what is shown over time.

    Raises RecordsError or RegistryError.
    """
    client = connect()
    for version in outcomes.versions(choice):
        named = f"version {version.number} of {version.model}"
        joined = outcomes.joined(version, choice.since, by)
        if not version.run_id:
            yield f"{named} has no run; nothing was written"
        elif not joined.has_outcome.any():
            yield f"{named} has no outcomes; nothing was written"
        else:
            joined = outcome_report.with_positive(joined, positive)
            whole = outcome_report.group(joined, "", late_days)
            parts = outcome_report.periods(joined, late_days)
            _write(client, joined, whole, parts)
            yield f"wrote {len(metrics(whole))} metrics and the folder {FOLDER} to run {version.run_id} of {named}"


def metrics(group: Group) -> dict[str, float]:
    """The metrics of a run, without unknown ones."""
    values = {
        "predictions": float(group.predictions),
        "outcomes": float(group.outcomes),
        "coverage": group.coverage,
    }
    for name, each in group.metrics.items():
        values |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
    for name in ("sensitivity", "specificity", "roc_auc"):
        labels = class_names(name, group.classes)
        for label, of_class in zip(labels, group.classes.values(), strict=True):
            values[label] = of_class[name].value if name in of_class else math.nan
    return {PREFIX + name: value for name, value in values.items() if not math.isnan(value)}


def _write(client: MlflowClient, joined: Joined, whole: Group, parts: Sequence[Group]) -> None:
    version = joined.version
    with (
        mlflow_border(client, f"write to the run {version.run_id}"),
        tempfile.TemporaryDirectory() as temporary,
    ):
        folder = Path(temporary)
        _draw(folder, joined, parts)
        report = {**whole.as_json(), "over_time": [each.as_json() for each in parts]}
        (folder / "report.json").write_text(json.dumps(report, indent=2))
        run = Run(client, client.get_run(version.run_id).info.experiment_id, version.run_id)
        run.log_files(folder, FOLDER)
        run.log(metrics=metrics(whole))


def _draw(folder: Path, joined: Joined, parts: Sequence[Group]) -> None:
    version = joined.version
    title = f"{version.model} version {version.number}, as it turned out"
    if evaluation := _evaluation(joined.only(joined.is_usable)):
        plots.draw(folder, title, evaluation, rows=_ROWS)
    if names := _OVER_TIME.get(parts[0].task):
        save(over_time(title, parts, names), folder / "over_time.png")


def _evaluation(rows: Joined) -> Evaluation | None:
    """The rows as the pictures take them; None where these need more: probabilities, and two classes that occurred."""
    version = rows.version
    if rows.several_targets or len(rows.actual) < 2:  # noqa: PLR2004
        return None
    if rows.is_value:
        none = np.array([])
        return Evaluation("regression", none, None, rows.actual, rows.predicted, None)
    classes = np.array(version.classes)
    actual, predicted = classes[rows.actual], classes[rows.predicted]
    scores = rows.probabilities
    if scores is None or len(np.unique(actual)) < 2:  # noqa: PLR2004
        return None
    if version.positive is None:
        return Evaluation("multiclass", classes, None, actual, predicted, scores)
    if len(classes) > 2:  # noqa: PLR2004
        place, rest = version.classes.index(version.positive), f"not {version.positive}"
        own = scores[:, place]
        actual, predicted = (
            np.where(each == version.positive, version.positive, rest)
            for each in (actual, predicted)
        )
        classes, scores = np.array([version.positive, rest]), np.column_stack([own, 1 - own])
        if len(np.unique(actual)) < 2:  # noqa: PLR2004
            return None
    return Evaluation("binary", classes, version.positive, actual, predicted, scores)


def over_time(title: str, parts: Sequence[Group], names: Sequence[str]) -> Figure:
    """The metrics of each period with their intervals, above the numbers of predictions and outcomes."""
    parts = parts[-_MAX_PERIODS:]
    places = np.arange(len(parts))
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(max(6.4, 0.35 * len(parts) + 3), 6), layout="constrained")
        axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        for number, name in enumerate(names):
            found = [each.metrics.get(name) for each in parts]
            value, low, high = np.array(
                [(e.value, e.low, e.high) if e else (math.nan,) * 3 for e in found]
            ).T
            axes.errorbar(
                places + 0.12 * number, value, yerr=np.clip([value - low, high - value], 0, None),
                color=(BLUE, VERMILION)[number], marker="os"[number], linewidth=1.5, capsize=3, clip_on=False,
                label=f"{_NAMES.get(name, name)}, with 95 % interval",
            )  # fmt: skip
        is_error = parts[0].task == "regression"
        if is_error:
            axes.set_ylim(bottom=0)
        else:
            axes.set_ylim(0, 1)
        axes.set_ylabel("error, in the unit of the value" if is_error else "share")
        axes.yaxis.set_major_formatter(tick)
        axes.legend(loc="lower left", fontsize=9)
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        below.set_ylabel("rows")
        below.bar(places, [each.predictions for each in parts], color=PALE, label="predictions")
        below.bar(places, [each.outcomes for each in parts], color=BLUE, label="with an outcome")
        below.legend(loc="best", fontsize=8)
        below.set_xticks(places, [each.period for each in parts], rotation=45, ha="right")
        below.set_xlabel("when it was predicted, UTC")
        better = "lower is better" if is_error else "higher is better"
        return titled(
            figure,
            title,
            f"Over time: {' and '.join(_NAMES.get(name, name) for name in names)}\n{better}",
        )
