"""Everything that a run found."""

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import Machine
from benchmarks.parts.batch import Batch
from benchmarks.parts.growth import Growth
from benchmarks.parts.http import Http
from benchmarks.parts.protocols import Protocols
from benchmarks.parts.start import Starts
from benchmarks.parts.swap import Swap
from benchmarks.parts.traces import Traces

FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Results:
    """One run: when, how, on what, and what each part saw; a part that was not run is empty.

    `date` is in UTC; `minutes` is how long the run took.
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
