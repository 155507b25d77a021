"""Performance targets, if possible as ratios to the references of the same run."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.parts import drift, records, shadow
from benchmarks.parts.batch import Batch
from benchmarks.parts.http import Http
from benchmarks.parts.memory import SwapMemory
from benchmarks.parts.models import NUMBERS, TEXTS
from benchmarks.parts.protocols import LIMITS, PREDICT, Protocols
from benchmarks.parts.swap import Swap
from benchmarks.parts.traces import OFF, SAMPLED, Traces
from benchmarks.results import Results
from benchmarks.sample import cpu, middle, p50, p99, rate, ratio
from benchmarks.servers import BY_HAND, EMPTY, PREDICTOR

_MIN_ROWS = 100  # smaller batches have no target
_MIN_TEXTS = 0.4


@dataclass(frozen=True)
class Target:
    """One figure and its limit."""

    name: str
    value: float
    unit: str
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is within the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"at {'least' if self.at_least else 'most'} {self.limit:.4g}"

    @property
    def measured(self) -> str:
        """The figure with its unit."""
        return f"{self.value:.3g} {self.unit}"

    @property
    def verdict(self) -> str:
        """`met` or `missed`."""
        return "met" if self.met else "missed"


def targets(results: Results) -> list[Target]:
    """The targets of the parts that were run."""
    found: list[Target] = []
    if results.http is not None:
        found += _http(results.http)
    if results.protocols is not None:
        found += _protocols(results.protocols)
    if results.traces is not None:
        found.append(_traces(results.traces))
    found += _optional_parts(results)
    if results.swap is not None:
        found.append(_swap(results.swap))
    found += [_batch(batch) for batch in results.batch if batch.rows >= _MIN_ROWS]
    if results.texts is not None:
        found += _texts(results.texts)
    if results.http is not None:
        memory = results.http.pss_megabytes[PREDICTOR]
        found.append(Target("memory (PSS) after the load", memory, "MB", 110))
    if results.memory is not None:
        found.append(_memory(results.memory))
    if results.start:
        seconds = median(results.start[PREDICTOR])
        found.append(Target("process start to first right answer, model cached", seconds, "s", 1.5))
    return found


def _http(http: Http) -> Iterator[Target]:
    one, many = http.loads[1], http.loads[32]
    ours, empty = many[PREDICTOR], many[EMPTY]
    to_empty, to_by_hand = f"times the {EMPTY}", f"times {BY_HAND}"
    to_nothing = ratio(ours, empty, rate)
    yield Target(
        "32 connections, requests/s (the aim is 2.5)", to_nothing, to_empty, 2.2, at_least=True
    )
    by_hand = ratio(ours, many[BY_HAND], rate)
    yield Target("32 connections, requests/s", by_hand, to_by_hand, 12, at_least=True)
    limit = max(13, 0.45 * middle(empty, cpu))
    yield Target("32 connections, CPU time per request", middle(ours, cpu), "µs", limit)
    yield Target("1 connection, p50", ratio(one[PREDICTOR], one[EMPTY], p50), to_empty, 1.1)
    yield Target("32 connections, p99", ratio(ours, empty, p99), to_empty, 1)


def _protocols(protocols: Protocols) -> Iterator[Target]:
    many = protocols.loads[32]
    for name, limit in LIMITS.items():
        share = ratio(many[name], many[PREDICT], rate)
        yield Target(f"{name}, requests/s", share, f"times {PREDICT}", limit, at_least=True)


def _traces(traces: Traces) -> Target:
    share = ratio(traces.loads[32][SAMPLED], traces.loads[32][OFF], rate)
    return Target(f"{SAMPLED}, requests/s", share, f"times {OFF}", 0.7, at_least=True)


def _optional_parts(results: Results) -> Iterator[Target]:
    if results.records is not None:
        yield from _records(results.records)
    if results.shadow is not None:
        yield from _shadow(results.shadow)
    if results.drift is not None:
        yield from _drift(results.drift)


def _records(measured: records.Records) -> Iterator[Target]:
    ours, without = (measured.loads[32][each] for each in (records.ON, records.OFF))
    share, slower = ratio(ours, without, rate), ratio(ours, without, p99)
    yield Target(f"{records.ON}, requests/s", share, f"times {records.OFF}", 0.7, at_least=True)
    yield Target(f"{records.ON}, p99", slower, f"times {records.OFF}", 1.2)


def _shadow(measured: shadow.Shadow) -> Iterator[Target]:
    ours, without = (measured.half[each] for each in (shadow.ON, shadow.OFF))
    for name, figure in (("p50", p50), ("p99", p99)):
        unit = f"times {shadow.OFF}"
        yield Target(f"{shadow.ON}, half load, {name}", ratio(ours, without, figure), unit, 1.1)


def _drift(measured: drift.Drift) -> Iterator[Target]:
    ours, without = (measured.loads[32][each] for each in (drift.ON, drift.OFF))
    share, slower = ratio(ours, without, rate), ratio(ours, without, p99)
    yield Target(f"{drift.ON}, requests/s", share, f"times {drift.OFF}", 0.9, at_least=True)
    yield Target(f"{drift.ON}, p99", slower, f"times {drift.OFF}", 1.2)


def _swap(swap: Swap) -> Target:
    worse = ratio(swap.swapping, swap.quiet, p99)
    return Target("a swap every second, p99", worse, "times the quiet one", 1.5)


def _batch(batch: Batch) -> Target:
    what = f"batches of {batch.rows:,} rows, rows/s"
    share = median(batch.shares)
    return Target(what, share, "times decoding and ONNX Runtime alone", 0.6, at_least=True)


def _texts(texts: Http) -> Iterator[Target]:
    many = texts.loads[32]
    what, unit = "4 of 10 columns with texts", "times numbers only"
    share = ratio(many[TEXTS], many[NUMBERS], rate)
    yield Target(f"{what}, requests/s", share, unit, _MIN_TEXTS, at_least=True)
    share = median(texts.batches[TEXTS].rates) / median(texts.batches[NUMBERS].rates)
    yield Target(f"{what}, rows/s of batches", share, unit, _MIN_TEXTS, at_least=True)


def _memory(memory: SwapMemory) -> Target:
    more = max(each.rss for each in memory.after) / memory.before.rss
    what = f"memory (RSS) after swaps of a model of {memory.model_megabytes:.0f} MB"
    return Target(what, more, "times before", 1.1)
