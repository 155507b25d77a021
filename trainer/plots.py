"""Pictures of an evaluation, drawn by scikit-learn's displays."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay, RocCurveDisplay

from trainer.data import POSITIVE, Dataset

MAX_BARS = 15


def draw(
    folder: Path,
    title: str,
    test: Dataset,
    probability: NDArray[np.float64],
    confusion: pd.DataFrame,
) -> None:
    """Save the confusion matrix and the three curves of the held-out rows as PNG files in `folder`.

    Args:
        folder: an existing folder.
        title: the model's name, for the legends.
        test: the held-out rows.
        probability: that of malignant [N], in the order of `test`.
        confusion: counts, true diagnoses by predicted ones.
    """
    with _picture(folder / "confusion_matrix.png") as axes:
        shown = ConfusionMatrixDisplay(confusion.to_numpy(), display_labels=confusion.columns)
        shown.plot(ax=axes, colorbar=False, cmap="Blues")
    displays: dict[str, Any] = {
        "roc_curve": RocCurveDisplay,
        "precision_recall_curve": PrecisionRecallDisplay,
        "calibration_curve": CalibrationDisplay,
    }
    for name, display in displays.items():
        with _picture(folder / f"{name}.png") as axes:
            display.from_predictions(
                test.diagnosis, probability, pos_label=POSITIVE, name=title, ax=axes
            )


def draw_importance(folder: Path, title: str, importance: pd.DataFrame) -> None:
    """Save the features that matter most as a bar chart, `permutation_importance.png`."""
    top = importance.head(MAX_BARS).iloc[::-1]
    with _picture(folder / "permutation_importance.png", "constrained") as axes:
        axes.barh(top["feature"], top["mean"], xerr=top["std"])
        axes.set_xlabel("growth of the Brier score when the feature is shuffled")
        axes.set_title(title)


@contextlib.contextmanager
def _picture(path: Path, layout: Literal["constrained"] | None = None) -> Iterator[Any]:
    """Yield axes, and save the figure to `path` at the end; `layout` makes room for long names, slowly."""
    # Without a backend of its own matplotlib looks for a screen.
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 5), layout=layout)
    try:
        yield axes
        figure.savefig(path, dpi=90)
    finally:
        plt.close(figure)
