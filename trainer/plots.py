"""Pictures of an evaluation, for MLflow's pages: readable as a thumbnail, and with any colour vision."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn import metrics

from exporters.metrics import Evaluation
from trainer.drawing import (
    BLUE,
    GREY,
    NAME_WIDTH,
    PALE,
    STYLE,
    TITLE_WIDTH,
    VERMILION,
    few_ticks,
    new_axes,
    save,
    tick,
    titled,
    wrap,
)  # fmt: skip
from trainer.evaluation import confusion, error_by_decile
from trainer.intervals import Proportion, area_interval, decimal, percent, significant
from trainer.operating_point import Counts, OperatingPoint

HELD_OUT = "held-out rows"
MAX_BARS, MAX_CURVES, BINS = 15, 8, 10
_CURVES = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B2A400")
_STYLES = ("-", "--", "-.", ":")
_MANY_CLASSES = 6  # with more, names are turned, and cells have no rates
_MANY_ROWS = 1000  # with more, points are small and pale
_LABEL_WIDTH = 42  # characters of a line


def draw(
    folder: Path,
    title: str,
    evaluation: Evaluation,
    point: OperatingPoint | None = None,
    rows: str = HELD_OUT,
) -> None:
    """Save the figures of the held-out rows, or of other `rows`, as PNG files in `folder`, which exists."""
    for name, figure in figures(title, evaluation, point, rows).items():
        save(figure, folder / f"{name}.png")


def draw_importance(folder: Path, title: str, importance: pd.DataFrame, measure: str) -> None:
    """Save the figure of the features' importance as `permutation_importance.png`."""
    figure = importance_figure(title, importance, measure)
    save(figure, folder / "permutation_importance.png")


def figures(
    title: str,
    evaluation: Evaluation,
    point: OperatingPoint | None = None,
    rows: str = HELD_OUT,
) -> dict[str, Figure]:
    """The figures of the held-out rows, by file name. `title` is the first line of each.

    Two classes: confusion matrix, ROC and precision-recall curve with the operating point, calibration.
    Several classes: confusion matrix, and each class's ROC curve against the rest. Regression: predicted
    against actual values, residuals, and the error by decile.
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        if evaluation.task == "regression":
            drawn = {
                "predicted_and_actual": _predicted_and_actual(evaluation),
                "residuals": _residuals(evaluation),
                "error_by_decile": _error_by_decile(evaluation),
            }
        elif evaluation.task == "multiclass":
            drawn = {
                "confusion_matrix": _confusion_matrix(evaluation),
                "roc_curve": _roc_curves(evaluation),
            }
        else:
            binary = _Binary.of(evaluation, point)
            drawn = {
                "confusion_matrix": _confusion_matrix(evaluation),
                "roc_curve": _roc_curve(binary),
                "precision_recall_curve": _precision_recall_curve(binary),
                "calibration_curve": _calibration_curve(binary),
            }
        return {
            name: titled(figure, title, what.replace(HELD_OUT, rows))
            for name, (what, figure) in drawn.items()
        }


def importance_figure(title: str, importance: pd.DataFrame, measure: str) -> Figure:
    """The features that matter most as bars.

    `importance` has the columns feature, mean and std, the largest mean first; `measure` names the error.
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        what, figure = _importance(importance, measure)
        return titled(figure, title, what)


_Picture = tuple[str, Figure]
"""The second line of the title, and the figure."""


@dataclass(frozen=True)
class _Binary:
    """The positive class's name, whether each row is of it [N], its probability [N], and marked points."""

    positive: str
    actual: NDArray[np.bool_]
    probability: NDArray[np.float64]
    marks: tuple[tuple[str, str, Counts], ...]

    @classmethod
    def of(cls, evaluation: Evaluation, point: OperatingPoint | None) -> "_Binary":
        """Marks are the model's own prediction, and the operating point: name, fill colour and counts."""
        actual = np.asarray(evaluation.actual == evaluation.positive)
        predicted = np.asarray(evaluation.predicted == evaluation.positive)
        marks = [("prediction", "white", Counts.of(0.5, predicted.astype(np.float64), actual))]
        probability = evaluation.probability(evaluation.positive)
        if point is not None:
            name = f"operating point, threshold {decimal(point.threshold)}"
            marks.append((name, VERMILION, Counts.of(point.threshold, probability, actual)))
        return cls(str(evaluation.positive), actual, probability, tuple(marks))

    @property
    def rows(self) -> str:
        """The number of rows, in words."""
        return f"{len(self.actual):,} {HELD_OUT}, {self.actual.sum():,} {self.positive}"

    def mark(self, axes: Any, *, precision: bool) -> None:
        """Draw the marked points: precision by recall, or recall by the share of false alarms."""
        for name, fill, counts in self.marks:
            found, false_alarms = counts.found, counts.false_alarms
            place = (false_alarms.share, found.share)
            if precision:
                place = (
                    found.share,
                    Proportion(found.count, found.count + false_alarms.count).share,
                )
            axes.plot(
                *place, "o", color=VERMILION, markersize=9, markerfacecolor=fill, markeredgewidth=2,
                clip_on=False, zorder=3,
                label=f"{name}:\n{found} found, {false_alarms} false alarms",
            )  # fmt: skip


def _confusion_matrix(evaluation: Evaluation) -> _Picture:
    counts = confusion(evaluation)
    table, names = counts.to_numpy(), [str(name) for name in counts.columns]
    of_actual = table.sum(axis=1)
    shares = table / np.maximum(of_actual, 1)[:, None]
    many = len(names) > _MANY_CLASSES
    width = max(6.0, 0.55 * len(names) + 2)
    figure, axes = new_axes((width, 0.85 * width))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(table):
        share = shares[row, column]
        rate = f"\n{percent(share, 1)} %" if of_actual[row] and not many else ""
        axes.text(
            column, row, f"{count:,}{rate}" if count or not many else "",
            ha="center", va="center", fontsize=9 if many else 13, color=_on_blue(share),
        )  # fmt: skip
    ticks = range(len(names))
    wrapped = [wrap(name, NAME_WIDTH if many else 16) for name in names]
    turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if many else {}
    axes.set_xticks(ticks, wrapped, **turned)
    sized = [f"{name}\n({of:,})" for name, of in zip(wrapped, of_actual, strict=True)]
    axes.set_yticks(ticks, [each.replace("\n(", " (") if many else each for each in sized])
    shown = "colours" if many else "rates"
    axes.set(xlabel=f"predicted; {shown} are shares of the actual class", ylabel="actual (rows)")
    right = Proportion(int(table.trace()), int(table.sum()))
    return f"Confusion matrix: {right} {HELD_OUT} right\nmore on the diagonal is better", figure


def _on_blue(share: float) -> str:
    return "white" if share > 0.5 else "black"  # noqa: PLR2004


def _roc_curve(binary: _Binary) -> _Picture:
    figure, axes = _unit_square(
        "false alarms: share of all other rows", f"found: share of {binary.positive}"
    )
    _chance(axes)
    false_positive, true_positive, _ = metrics.roc_curve(binary.actual, binary.probability)
    area = _area(binary.actual, binary.probability)
    axes.plot(false_positive, true_positive, color=BLUE, linewidth=2, label=area)
    binary.mark(axes, precision=False)
    axes.legend(loc="lower right", fontsize=9)
    return f"ROC curve: {binary.rows}\nhigher and farther to the left is better", figure


def _roc_curves(evaluation: Evaluation) -> _Picture:
    figure, axes = _unit_square(
        "false alarms: share of all other rows", "found: share of the class"
    )
    _chance(axes)
    curves = [
        (str(label), evaluation.actual == label, evaluation.probability(label))
        for label in evaluation.classes
    ]
    curves = [each for each in curves if 0 < each[1].sum() < len(each[1])]
    curves.sort(key=lambda curve: float(metrics.roc_auc_score(*curve[1:])))
    # The lowest ones, and of these the best first.
    for number, (name, actual, probability) in enumerate(reversed(curves[:MAX_CURVES])):
        false_positive, true_positive, _ = metrics.roc_curve(actual, probability)
        axes.plot(
            false_positive, true_positive, linewidth=2, color=_CURVES[number],
            linestyle=_STYLES[number % len(_STYLES)],
            label=f"class {wrap(name)}: {_area(actual, probability)}",
        )  # fmt: skip
    axes.legend(loc="lower right", fontsize=8)
    many = len(curves) > MAX_CURVES
    which = f"the {MAX_CURVES} lowest of {len(curves)} classes" if many else "each class"
    rows = f"{len(evaluation.actual):,} {HELD_OUT}"
    return f"ROC curves of {which}: {rows}\nagainst the rest; higher is better", figure


def _area(actual: NDArray[np.bool_], probability: NDArray[np.float64]) -> str:
    area = float(metrics.roc_auc_score(actual, probability))
    positives = int(actual.sum())
    low, high = area_interval(area, positives, len(actual) - positives)
    return f"AUC {decimal(area)}, 95 % interval {decimal(low)} to {decimal(high)}"


def _precision_recall_curve(binary: _Binary) -> _Picture:
    figure, axes = _unit_square(
        f"recall: share of {binary.positive} that is found",
        f"precision: share of alarms that is {binary.positive}",
    )
    share = float(binary.actual.mean())
    axes.axhline(share, color=GREY, linestyle="--", label=f"chance: precision {decimal(share)}")
    precision, recall, _ = metrics.precision_recall_curve(binary.actual, binary.probability)
    mean = float(metrics.average_precision_score(binary.actual, binary.probability))
    axes.plot(
        recall, precision, color=BLUE, linewidth=2, drawstyle="steps-post",
        label=f"average precision {decimal(mean)}",
    )  # fmt: skip
    binary.mark(axes, precision=True)
    axes.legend(loc="lower left", fontsize=9)
    return f"Precision and recall: {binary.rows}\nhigher and farther to the right is better", figure


def _calibration_curve(binary: _Binary) -> _Picture:
    figure = Figure(figsize=(6.4, 6), layout="constrained")
    axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    bins = np.minimum((binary.probability * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    filled = [bins == each for each in np.flatnonzero(counts)]
    found = [Proportion(int(binary.actual[rows].sum()), int(rows.sum())) for rows in filled]
    shares = np.array([each.share for each in found])
    low, high = np.array([each.interval for each in found]).T
    axes.errorbar(
        [binary.probability[rows].mean() for rows in filled], shares,
        yerr=np.clip([shares - low, high - shares], 0, None), color=BLUE, marker="o",
        linewidth=1.5, capsize=3, clip_on=False, label="this model, with 95 % interval",
    )  # fmt: skip
    axes.set(
        xlim=(0, 1), ylim=(0, 1), ylabel=wrap(f"share that is {binary.positive}", _LABEL_WIDTH)
    )
    axes.legend(loc="upper left", fontsize=9)
    axes.grid(color=PALE)
    bars = below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color=BLUE)
    below.bar_label(bars, [f"{count:,}" for count in counts], fontsize=9)
    below.margins(y=0.3)
    below.set(
        xlabel=wrap(f"predicted probability of {binary.positive}", TITLE_WIDTH), ylabel="rows"
    )
    brier = decimal(float(metrics.brier_score_loss(binary.actual, binary.probability)))
    return (
        f"Calibration: {binary.rows}, Brier score {brier}\na lower score, and points on the line, are better",
        figure,
    )


def _predicted_and_actual(evaluation: Evaluation) -> _Picture:
    actual, predicted = evaluation.actual, evaluation.predicted
    figure, axes = new_axes()
    both = np.concatenate([actual, predicted])
    ends = [float(both.min()), float(both.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", label="predicted = actual", zorder=3)
    _scatter(axes, actual, predicted)
    axes.set(xlabel="actual value", ylabel="predicted value")
    few_ticks(axes)
    # The same scale on both axes: the distance from the line is the error.
    space = 0.03 * (ends[1] - ends[0]) or 1.0
    axes.set(xlim=(ends[0] - space, ends[1] + space), ylim=(ends[0] - space, ends[1] + space))
    axes.legend(loc="upper left", fontsize=9)
    error = metrics.root_mean_squared_error(actual, predicted)
    determination = metrics.r2_score(actual, predicted)
    rows = f"{len(actual):,} {HELD_OUT}"
    measured = f"R² {determination:.3f}, RMSE {significant(error)}"
    better = "a higher R² and a lower RMSE are better"
    return f"Predicted and actual: {rows}, {measured}\n{better}", figure


def _residuals(evaluation: Evaluation) -> _Picture:
    residual = evaluation.predicted - evaluation.actual
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    axes, beside = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    _scatter(axes, evaluation.predicted, residual)
    axes.set(xlabel="predicted value", ylabel="residual: predicted minus actual")
    few_ticks(axes)
    # Almost equal residuals have no room for 30 bins.
    ends = residual.min(), residual.max() + 1e-6 * max(np.abs(residual).max(), 1e-30)
    beside.hist(residual, bins=30, range=ends, orientation="horizontal", color=BLUE)
    beside.set_xlabel("rows")
    for each in (axes, beside):
        each.axhline(0, color="black", linewidth=0.8)
    mean, deviation = significant(residual.mean(), 3), significant(residual.std())
    subtitle = f"Residuals: {len(residual):,} {HELD_OUT}, mean {mean}, deviation {deviation}"
    return f"{subtitle}\nnearer to 0 is better", figure


def _error_by_decile(evaluation: Evaluation) -> _Picture:
    table = error_by_decile(evaluation)
    figure, axes = new_axes((8, 5.2))
    bars = axes.bar(
        table["decile"], table["mean_absolute_error"], color=BLUE, label="mean absolute error"
    )
    axes.bar_label(bars, [f"{rows:,} rows" for rows in table["rows"]], fontsize=8)
    axes.plot(
        table["decile"], table["mean_error"], "D", color=VERMILION, markeredgecolor="white",
        label="mean error: below 0, predictions are too low",
    )  # fmt: skip
    axes.axhline(0, color="black", linewidth=0.8)
    ranges = zip(table["lowest"], table["highest"], strict=True)
    labels = [f"{significant(low, 3)}\nto {significant(high, 3)}" for low, high in ranges]
    axes.set_xticks(table["decile"], labels, fontsize=8)
    axes.yaxis.set_major_formatter(tick)
    axes.margins(y=0.15)
    axes.set(xlabel="actual value, in tenths of the rows", ylabel="error: predicted minus actual")
    axes.legend(loc="best", fontsize=9)
    rows = f"{len(evaluation.actual):,} {HELD_OUT}"
    return f"Error by decile of the actual value: {rows}\nlower is better", figure


def _importance(importance: pd.DataFrame, measure: str) -> _Picture:
    top = importance.head(MAX_BARS).iloc[::-1]
    names = [wrap(str(name)) for name in top["feature"]]
    lines = sum(name.count("\n") + 1 for name in names)
    figure, axes = new_axes((6.4, 1.9 + 0.24 * max(lines, 4)))
    # Positions, because two equal names would share a bar.
    axes.barh(range(len(names)), top["mean"], xerr=top["std"], color=BLUE, ecolor=GREY, capsize=2)
    axes.set_yticks(range(len(names)), names)
    # Error bars may reach below 0, where there is nothing to see.
    low = min(float(top["mean"].min()), 0.0)
    high = max(float((top["mean"] + top["std"]).max()), 0.0)
    space = 0.03 * (high - low) or 1.0
    axes.set_xlim(low - (space if low < 0 else 0), high + space)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.grid(axis="x", color=PALE)
    axes.set_axisbelow(True)
    growth = f"growth of the {measure} when the feature is shuffled"
    # Centred in the figure: beside long names, the axes are narrower than this text.
    figure.supxlabel(f"{growth}\n(bars: mean, lines: standard deviation)", fontsize=11)
    shown = f"the first {len(top)} of {len(importance)}" if len(top) < len(importance) else "all"
    return f"Importance of features: {shown}\nthe model relies most on the first", figure


def _unit_square(xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    figure, axes = new_axes()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_xlabel(wrap(xlabel, TITLE_WIDTH))
    axes.set_ylabel(wrap(ylabel, _LABEL_WIDTH))
    axes.grid(color=PALE)
    return figure, axes


def _chance(axes: Any) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="chance: AUC 0.5")


def _scatter(axes: Any, across: NDArray[np.float64], up: NDArray[np.float64]) -> None:
    many = len(across) > _MANY_ROWS
    size, alpha = (6, 0.3) if many else (18, 0.6)
    axes.scatter(across, up, s=size, alpha=alpha, color=BLUE, edgecolors="none")
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
