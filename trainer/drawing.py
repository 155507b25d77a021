"""How pictures look: colours for any colour vision, sizes readable as a thumbnail, titles, ticks, and files."""

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trainer.intervals import significant

# M. Okabe and K. Ito, "Color Universal Design", 2008.
BLUE, VERMILION, GREY, PALE = "#0072B2", "#D55E00", "#767676", "#DDDDDD"
NAME_WIDTH, TITLE_WIDTH = 36, 72  # characters of a line
_DPI = 110
# Names may have dollar signs, which would be formulas.
STYLE = {
    "axes.spines.right": False, "axes.spines.top": False, "font.size": 11, "text.parse_math": False,
}  # fmt: skip


def new_axes(size: tuple[float, float] = (6.4, 5.2)) -> tuple[Figure, Any]:
    """A figure with axes; sizes in inches."""
    # A figure of its own: pyplot would look for a screen, and keep the figure.
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def few_ticks(axes: Any) -> None:
    """Give long numbers room."""
    axes.xaxis.set_major_locator(MaxNLocator(5))
    for each in (axes.xaxis, axes.yaxis):
        each.set_major_formatter(tick)


def tick(value: float, _place: int) -> str:
    """The text of a tick, for `set_major_formatter`."""
    return significant(value, 6)


def wrap(text: str, width: int = NAME_WIDTH) -> str:
    """The text in lines of at most `width` characters, which end at spaces or underscores if possible."""
    words = text.replace("_", "_\0 ")
    return textwrap.fill(words, width).replace("\0 ", "").replace("\0", "")


def titled(figure: Figure, title: str, subtitle: str) -> Figure:
    """The figure with its title; the subtitle may have several lines."""
    lines = [title, *subtitle.split("\n")]
    figure.suptitle("\n".join(wrap(each, TITLE_WIDTH) for each in lines), fontsize=11)
    return figure


def save(figure: Figure, file: Path) -> None:
    """Save a figure as a PNG file."""
    # `Figure.savefig` would draw twice: once to place everything, and once to paint.
    figure.dpi = _DPI
    FigureCanvasAgg(figure).print_png(file)  # type: ignore[no-untyped-call]
