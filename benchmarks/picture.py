"""How the cost grows, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import Results
from benchmarks.sample import cpu, middle
from benchmarks.servers import EMPTY, PREDICTOR

_SMALL = 10  # below it, ticks have digits behind the point
_FOLDER = Path(__file__).parent
# File -> colours of text, of less important text and grids, of this service, and of what it is compared with.
FILES = {
    _FOLDER / "results-light.svg": ("#1f2328", "#59636e", "#0969da", "#8c959f"),
    _FOLDER / "results-dark.svg": ("#f0f6fc", "#9198a1", "#4493f8", "#7d8590"),
}
Colours = tuple[str, str, str, str]


def draw(results: Results, file: Path, colours: Colours) -> None:
    """CPU time per request along each axis, and rows per second along the rows of a batch, on a transparent ground."""
    import matplotlib as mpl  # slow to import, and most uses of this package draw nothing

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    text, muted, ours, others = colours
    style = {
        "svg.fonttype": "none", "svg.hashsalt": "results", "font.size": 9, "font.family": "sans-serif",
        "text.color": text, "axes.labelcolor": muted, "axes.edgecolor": muted, "xtick.color": muted,
        "ytick.color": muted, "grid.color": muted, "axes.spines.right": False, "axes.spines.top": False,
    }  # fmt: skip
    with mpl.rc_context(style):  # type: ignore[arg-type]
        layout = ConstrainedLayoutEngine(hspace=0.08, wspace=0.06)
        figure, places = plt.subplots(2, 2, figsize=(9, 6.5), layout=layout)
        batches, *rest = places.flat
        _batches(batches, results, (ours, others))
        for axes, growth in zip(rest, results.growth, strict=False):
            sizes = [point.size for point in growth.points]
            for name, form, colour in ((PREDICTOR, "o-", ours), (EMPTY, "s--", others)):
                times = [middle(point.rounds[name], cpu) for point in growth.points]
                axes.plot(sizes, times, form, color=colour, label=name)
            _label(axes, growth.axis, "CPU µs per request", sizes)
            _title(axes, f"CPU time by {growth.axis}", "lower is better", muted)
        # Without a date, the same results give the same file.
        metadata = {"Date": None} if file.suffix == ".svg" else None
        figure.savefig(file, metadata=metadata, transparent=True)
        plt.close(figure)


def _batches(axes: Any, results: Results, colours: tuple[str, str]) -> None:
    rows = [batch.rows for batch in results.batch]
    served = [median(batch.rates) for batch in results.batch]
    alone = [median(batch.loop) for batch in results.batch]
    axes.plot(rows, served, "o-", color=colours[0], label=PREDICTOR)
    axes.plot(rows, alone, "s--", color=colours[1], label="decoding and ONNX Runtime alone")
    _label(axes, "rows in a batch", "rows/s", rows)
    _title(
        axes, "Rows per second by rows in a batch", "higher is better", axes.xaxis.label.get_color()
    )


def _title(axes: Any, title: str, better: str, muted: str) -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", pad=20)
    axes.text(0, 1.03, better, transform=axes.transAxes, color=muted)


def _label(axes: Any, x: str, y: str, ticks: Sequence[float]) -> None:
    axes.set(xlabel=x, ylabel=y, xscale="log", ylim=(0, None))
    axes.set_xticks(ticks, [f"{tick:,.3g}" if tick < _SMALL else f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend(frameon=False, labelcolor=axes.title.get_color())
