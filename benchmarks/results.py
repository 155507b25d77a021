"""The results of a run, and the files that store them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks.machine import Machine
from benchmarks.parts.batch import Batch
from benchmarks.parts.drift import Drift
from benchmarks.parts.growth import Growth
from benchmarks.parts.grpc import Grpc
from benchmarks.parts.http import Http
from benchmarks.parts.memory import SwapMemory
from benchmarks.parts.protocols import Protocols
from benchmarks.parts.records import Records
from benchmarks.parts.shadow import Shadow
from benchmarks.parts.start import Starts
from benchmarks.parts.steps import Steps
from benchmarks.parts.swap import Swap
from benchmarks.parts.traces import Traces
from benchmarks.parts.workers import Workers

FILE = Path(__file__).with_name("results.json")
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class Results:
    """The results of one run; a part that did not run is empty.

    `date` is in UTC; `minutes` is the duration of the run.
    """

    date: str
    command: str
    minutes: float
    machine: Machine
    http: Http | None = None
    models: list[Http] = field(default_factory=list)
    protocols: Protocols | None = None
    swap: Swap | None = None
    batch: list[Batch] = field(default_factory=list)
    start: Starts = field(default_factory=dict)
    growth: list[Growth] = field(default_factory=list)
    traces: Traces | None = None
    texts: Http | None = None
    workers: Workers | None = None
    memory: SwapMemory | None = None
    steps: Steps | None = None
    grpc: Grpc | None = None
    records: Records | None = None
    shadow: Shadow | None = None
    drift: Drift | None = None


def write(results: object, file: Path) -> None:
    """Write results as JSON; create the folder if needed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(file: Path, kind: type[Stored]) -> Stored:
    """Read results. Raises OSError, or msgspec.MsgspecError for a file of another format."""
    return msgspec.json.decode(file.read_bytes(), type=kind)
