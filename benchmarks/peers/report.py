"""What the peers did, as a grid, and the file that keeps it."""

from pathlib import Path
from statistics import median

from benchmarks.grid import Grid
from benchmarks.peers.run import Peer, Peers
from benchmarks.sample import middle, p50, p99, rate

FILE = Path(__file__).with_name("results.json")
_COLUMNS = (
    "server", "version", "1 connection, p50 µs", "32 connections, requests/s",
    "32 connections, p99 µs", "PSS after the load, MB", "start to first right answer, s",
)  # fmt: skip


def grid(peers: Peers) -> Grid:
    """One row for each server; one that did not take part has the reason in its row."""
    return Grid("Peers", _COLUMNS, [_row(peer) for peer in peers.peers], texts=2)


def _row(peer: Peer) -> tuple[str, ...]:
    if peer.fault or not peer.many:
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
