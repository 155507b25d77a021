"""Measured costs of one replica; they are stored in `costs.json`."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "costs.json"
GRAPH = 2  # index of the ONNX file in `Costs.requests`


@dataclass(frozen=True)
class Costs:
    """Seconds are CPU time of one MLflow worker for one request, unless stated otherwise."""

    poll: float
    download_uri: float
    run: float
    small_file: float
    """A file of a few kB through the artifact proxy."""
    megabyte: float
    """For each further MB (10^6 bytes) of a file."""
    listing: float
    """For the names and sizes of a version's files, which each poll lists while the version fails."""
    load: float
    """Wall time in a replica: from the files to a verified servable."""
    series: int
    """Time series in one replica's /metrics, after requests to each endpoint."""
    scrape_bytes: int
    memory: float
    """Memory (PSS) of one serving replica, MB."""
    max_polls_per_second: float
    """Throughput of one MLflow worker with eight clients that poll without pause."""
    machine: str
    measured_on: str

    def requests(self, megabytes: float) -> tuple[float, ...]:
        """Seconds of each request, in order, that fetches a version with a graph of this size."""
        return self.download_uri, self.small_file, self.file(megabytes), self.run

    def file(self, megabytes: float) -> float:
        """Seconds for one file of this size through the artifact proxy."""
        return self.small_file + self.megabyte * megabytes


def read(file: Path = FILE) -> Costs:
    """Read the last measurement."""
    return msgspec.json.decode(file.read_bytes(), type=Costs)


def write(costs: Costs, file: Path = FILE) -> None:
    """Write a measurement."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(costs), indent=2) + b"\n")
