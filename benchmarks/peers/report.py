"""The figures of the peers as tables, and the file that keeps them."""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.grid import Grid
from benchmarks.grids import targets_grid
from benchmarks.peers.ours import NAMES, PREDICTOR_V2
from benchmarks.peers.run import Peer, Peers
from benchmarks.peers.triton.contenders import TRITON
from benchmarks.sample import middle, p50, p99, rate, ratio
from benchmarks.targets import Target

FILE = Path(__file__).with_name("results.json")
_COLUMNS = (
    "server", "version", "1 connection, p50 µs", "32 connections, requests/s",
    "32 connections, p99 µs", "PSS after the load, MB", "start to first right answer, s",
)  # fmt: skip


def grids(peers: Peers) -> Iterator[Grid]:
    """The targets, then one row for each server; a server without figures has the reason in its row."""
    if found := targets(peers):
        yield targets_grid(found, "Targets, service and Triton over /v2 JSON")
    yield Grid("Peers", _COLUMNS, [_row(peer) for peer in peers.peers], texts=2)


def summary(peers: Peers) -> Grid:
    """Median latency and requests per second of the servers that compute predictions."""
    rows = [
        (
            NAMES.get(peer.name, peer.name),
            peer.version,
            f"{middle(peer.one, p50):,.0f}",
            f"{middle(peer.many, rate):,.0f}",
        )
        for peer in peers.peers
        if peer.measured and not peer.reference
    ]
    return Grid("Requests of one record", _COLUMNS[:4], rows, texts=2)


def targets(peers: Peers) -> list[Target]:
    """The service as a ratio to Triton, with the same requests; none if one of them has no figures."""
    measured = {peer.name: peer for peer in peers.peers if peer.measured}
    if not measured.keys() >= {PREDICTOR_V2, TRITON}:
        return []
    ours, triton = measured[PREDICTOR_V2], measured[TRITON]
    rates, latencies = ratio(ours.many, triton.many, rate), ratio(ours.one, triton.one, p50)
    return [
        Target("32 connections, requests/s", rates, "times Triton", 4, at_least=True),
        Target("1 connection, p50", latencies, "times Triton", 1),
    ]


def _row(peer: Peer) -> tuple[str, ...]:
    if not peer.measured:
        reason = " ".join(peer.fault.split())[:100].replace("|", "/")
        return (peer.name, peer.version, f"no figures: {reason}", *[""] * (len(_COLUMNS) - 3))
    return (
        peer.name,
        peer.version,
        f"{middle(peer.one, p50):,.0f}",
        f"{middle(peer.many, rate):,.0f}",
        f"{middle(peer.many, p99):,.0f}",
        f"{median(peer.pss_megabytes):.0f}",
        f"{median(peer.starts):.2f}",
    )
