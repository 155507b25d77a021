"""How the cost grows, as a picture."""

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import Results
from benchmarks.sample import cpu, middle
from benchmarks.servers import EMPTY, PREDICTOR

FILE = Path(__file__).with_name("results.svg")


def draw(results: Results, file: Path) -> None:
    """CPU time per request along each axis, and rows per second along the rows of a batch."""
    import matplotlib as mpl  # slow to import, and most uses of this package draw nothing

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "", "font.size": 9})
    figure, places = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    batches, *others = places.flat
    _batches(batches, results)
    for axes, growth in zip(others, results.growth, strict=False):
        for name, style in ((PREDICTOR, "o-"), (EMPTY, "s--")):
            sizes = [point.size for point in growth.points]
            times = [middle(point.rounds[name], cpu) for point in growth.points]
            axes.plot(sizes, times, style, label=name)
        _label(axes, growth.axis, "CPU µs per request")
    # Without a date, the same results give the same file.
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _batches(axes: Any, results: Results) -> None:
    rows = [batch.rows for batch in results.batch]
    axes.plot(rows, [median(batch.rates) for batch in results.batch], "o-", label=PREDICTOR)
    alone = [median(batch.loop) for batch in results.batch]
    axes.plot(rows, alone, "s--", label="decoding and ONNX Runtime alone")
    _label(axes, "rows in a batch", "rows/s")


def _label(axes: Any, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False)
