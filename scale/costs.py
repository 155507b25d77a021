"""Costs: what one replica asks of MLflow and of the network, measured; `costs.json` keeps them."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

KEPT = Path(__file__).parent / "costs.json"
GRAPH = 2  # its place among `Costs.questions`


@dataclass(frozen=True)
class Costs:
    """Seconds are processor time of one MLflow worker, for one request, unless said otherwise."""

    poll: float
    download_uri: float
    run: float
    small_file: float
    """A file of a few kB through the artifact proxy."""
    megabyte: float
    """What each further MB (10^6 bytes) of a file adds."""
    listing: float
    """The names and sizes of a version's files, which each poll asks for while the version fails."""
    load: float
    """In a replica: from the files to a servable that has proved itself, wall time."""
    series: int
    """Time series of one replica at /metrics, after requests to each endpoint."""
    scrape_bytes: int
    memory: float
    """Of one replica that serves, PSS, MB."""
    polls_at_most: float
    """Polls per second that one MLflow worker answered to eight clients that never paused."""
    machine: str
    measured_on: str

    def questions(self, megabytes: float) -> tuple[float, ...]:
        """What a replica asks after it heard of a version, in this order, with a graph of this size."""
        return self.download_uri, self.small_file, self.file(megabytes), self.run

    def file(self, megabytes: float) -> float:
        """One file of this size through the artifact proxy."""
        return self.small_file + self.megabyte * megabytes


def read(file: Path = KEPT) -> Costs:
    """What was measured last."""
    return msgspec.json.decode(file.read_bytes(), type=Costs)


def write(costs: Costs, file: Path = KEPT) -> None:
    """Keep what was measured."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")
