"""Draw requests per second and the median latency of every server, for the README."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from benchmarks.peers.ours import NAMES
from benchmarks.peers.run import Peer, Peers
from benchmarks.sample import middle, p50, rate

_WIDTH, _NAMES, _GAP = 720, 196, 16  # px: the whole picture, its column of names, between columns
_ROW, _BAR, _HEAD, _FOOT = 26, 16, 62, 34  # heights in px
_FONT = 'font-family="system-ui, sans-serif" font-size="13"'
_VALUE = 58  # px beside the longest bar, for its value


@dataclass(frozen=True)
class Colours:
    """Colours of one theme: text, less important text, bars of this service and of others."""

    text: str
    muted: str
    ours: str
    others: str


FILES: Mapping[Path, Colours] = {
    Path(__file__).with_name("results-light.svg"): Colours(
        "#1f2328", "#59636e", "#0969da", "#afb8c1"
    ),
    Path(__file__).with_name("results-dark.svg"): Colours(
        "#f0f6fc", "#9198a1", "#4493f8", "#656c76"
    ),
}


@dataclass(frozen=True)
class _Column:
    title: str
    subtitle: str
    figure: Callable[[Peer], float]


_COLUMNS = (
    _Column(
        "Requests per second",
        "32 connections; higher is better",
        lambda peer: middle(peer.many, rate),
    ),
    _Column(
        "Median latency, µs",
        "1 connection; lower is better",
        lambda peer: middle(peer.one, p50),
    ),
)


def draw(peers: Peers) -> None:
    """Write the picture for light and for dark pages."""
    for file, colours in FILES.items():
        file.write_text(svg(peers, colours))


def svg(peers: Peers, colours: Colours) -> str:
    """The picture: one row for each server with figures, the fastest first; no empty applications."""
    shown = [each for each in peers.peers if each.measured and not each.reference]
    shown.sort(key=_COLUMNS[0].figure, reverse=True)
    height = _HEAD + _ROW * len(shown) + _FOOT
    note = (
        "Logistic regression, 30 features, JSON, one core for each server."
        f" {peers.machine.processor}, {peers.date[:10]}"
    )
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {_FONT}>',
        "<title>Requests per second and median latency of this service and other servers</title>",
        *_names(shown, colours),
        *(line for n in range(len(_COLUMNS)) for line in _column(n, shown, colours)),
        _text(0, height - 8, note, colours.muted, 'font-size="11"'),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _names(shown: Sequence[Peer], colours: Colours) -> Iterator[str]:
    for number, peer in enumerate(shown):
        weight = 'font-weight="600" ' if peer.name in NAMES else ""
        name = NAMES.get(peer.name, peer.name)
        yield _text(_NAMES, _baseline(number), name, colours.text, f'{weight}text-anchor="end"')


def _column(place: int, shown: Sequence[Peer], colours: Colours) -> Iterator[str]:
    column = _COLUMNS[place]
    width = (_WIDTH - _NAMES) / len(_COLUMNS) - _GAP
    left = _NAMES + _GAP + place * (width + _GAP)
    yield _text(left, 20, column.title, colours.text, 'font-weight="600"')
    yield _text(left, 40, column.subtitle, colours.muted)
    figures = [column.figure(peer) for peer in shown]
    for number, (peer, figure) in enumerate(zip(shown, figures, strict=True)):
        fill = colours.ours if peer.name in NAMES else colours.others
        length = max(1, (width - _VALUE) * figure / max(figures))
        top = _HEAD + number * _ROW + (_ROW - _BAR) / 2
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{length:.1f}" height="{_BAR}" rx="2"'
            f' fill="{fill}"/>'
        )
        yield _text(left + length + 6, _baseline(number), f"{figure:,.0f}", colours.text)


def _baseline(number: int) -> float:
    return _HEAD + number * _ROW + _ROW / 2 + 4.5


def _text(x: float, y: float, text: str, fill: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" {more}>{escape(text)}</text>'
