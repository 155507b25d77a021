"""How the cost grows, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import Results
from benchmarks.sample import cpu, middle
from benchmarks.servers import EMPTY, PREDICTOR

_SMALL = 10  # below it, ticks have digits behind the point
FILE = Path(__file__).with_name("results.svg")


def draw(results: Results, file: Path) -> None:
    """CPU time per request along each axis, and rows per second along the rows of a batch."""
    import matplotlib as mpl  # slow to import, and most uses of this package draw nothing

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "results", "font.size": 9})
    figure, places = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    batches, *others = places.flat
    _batches(batches, results)
    for axes, growth in zip(others, results.growth, strict=False):
        sizes = [point.size for point in growth.points]
        for name, style in ((PREDICTOR, "o-"), (EMPTY, "s--")):
            times = [middle(point.rounds[name], cpu) for point in growth.points]
            axes.plot(sizes, times, style, label=name)
        _label(axes, growth.axis, "CPU µs per request", sizes)
    # Without a date, the same results give the same file.
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)


def _batches(axes: Any, results: Results) -> None:
    rows = [batch.rows for batch in results.batch]
    axes.plot(rows, [median(batch.rates) for batch in results.batch], "o-", label=PREDICTOR)
    alone = [median(batch.loop) for batch in results.batch]
    axes.plot(rows, alone, "s--", label="decoding and ONNX Runtime alone")
    _label(axes, "rows in a batch", "rows/s", rows)


def _label(axes: Any, x: str, y: str, ticks: Sequence[float]) -> None:
    axes.set(xlabel=x, ylabel=y, xscale="log", ylim=(0, None))
    axes.set_xticks(ticks, [f"{tick:,.3g}" if tick < _SMALL else f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend(frameon=False)
