"""Render `GET /metrics`: the sum of all workers' counts, in Prometheus's text format."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from predictor import clock
from predictor.metrics import families, worker_state
from predictor.metrics.counts import Counts
from predictor.metrics.families import FAMILIES, Family
from predictor.metrics.worker_state import WorkerStatus

_Series = dict[tuple[str, ...], list[float]]  # label values -> values


class ServiceCollector(Collector):
    """The metrics of `families`: counters and histograms are sums; gauges follow the rules of `worker_state`."""

    def __init__(
        self,
        model_name: str,
        own: Counts,
        siblings: Sequence[Counts],
        supervisor: Counts | None,
    ) -> None:
        self._model_name = model_name
        self._own = own
        self._siblings = siblings
        self._blocks = [own, *siblings, *([supervisor] if supervisor else [])]

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics in the order of docs/metrics.md."""
        sums = _sums(self._blocks)
        # The gauges of a worker that is down are out of date.
        up = [self._own, *(each for each in self._siblings if worker_state.pid(each))]
        gauges = _gauges([worker_state.status(each) for each in up], self._model_name)
        full = any(block.full for block in self._blocks)
        gauges[families.COUNTS_FULL.name] = {(): [full]}
        for family in FAMILIES:
            if family in families.BY_BIN:
                continue
            values = gauges if family.kind == "gauge" else sums
            yield _metric(family, values.get(family.name, {}))


def _sums(blocks: Iterable[Counts]) -> dict[str, _Series]:
    sums: dict[str, _Series] = {}
    for block in blocks:
        for (name, *labels), values in block.read():
            series = sums.setdefault(name, {})
            so_far = series.get(tuple(labels))
            series[tuple(labels)] = (
                [a + b for a, b in zip(so_far, values, strict=True)] if so_far else values
            )
    return sums


def _gauges(statuses: Sequence[WorkerStatus], model_name: str) -> dict[str, _Series]:
    serving = worker_state.representative(statuses)
    latest = worker_state.latest(statuses)
    desired: _Series = {(model_name,): [worker_state.aspired(statuses)]}
    connected = worker_state.fleet(statuses)
    shadow = worker_state.shadow(statuses)
    return {
        families.VERSION.name: {(model_name,): [serving.version]},
        families.DESIRED.name: desired,
        families.ASPIRED.name: desired,
        families.FAILED.name: {(model_name,): [worker_state.failed(statuses)]},
        families.SINCE.name: {(): [_wall(worker_state.since(statuses))]},
        families.INFO.name: {serving.identity: [1]} if serving.identity else {},
        families.ANSWERED_AT.name: {(): [_wall(worker_state.answered_at(statuses))]},
        families.WORKERS.name: {(v,): [n] for v, n in worker_state.workers(statuses).items()},
        families.SWAP_SKEW.name: {(): [worker_state.swap_skew(statuses, clock.now())]},
        families.STREAMS.name: {(): [worker_state.streams(statuses)]},
        families.APPROVALS.name: {(model_name,): [latest.approvals]},
        families.APPROVALS_REQUIRED.name: {(): [latest.approvals_required]},
        families.APPROVALS_EXPIRE.name: {(): [latest.approvals_expire]},
        families.FLEET_CONNECTED.name: {} if connected is None else {(): [connected]},
        families.RECORD_BYTES.name: {(): [sum(each.record_bytes for each in statuses)]},
        families.RECORD_SECONDS.name: {(): [max(each.record_seconds for each in statuses)]},
        families.SHADOW_VERSION.name: {(): [shadow[0]]} if shadow else {},
        families.SHADOW_FAILED.name: {(): [shadow[1]]} if shadow else {},
    }


def _wall(moment: float) -> float:
    """Seconds since the epoch; 0 for never."""
    return clock.wall(moment) if moment else 0.0


def _metric(family: Family, series: _Series) -> Metric:
    if family.kind == "histogram":
        return _histogram(family, series)
    kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, (value,) in series.items():
        metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, series: _Series) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = [str(floatToGoString(bound)) for bound in (*family.buckets, float("inf"))]  # type: ignore[no-untyped-call]
    for labels, (*counts, total) in series.items():
        below, buckets = 0.0, []
        for bound, count in zip(bounds, counts, strict=True):
            below += count
            buckets.append((bound, below))
        metric.add_metric(labels, buckets, total)
    return metric


_EARLIEST = "process_start_time_seconds"
_PROCESSOR = "process_cpu_seconds"


class ProcessesCollector(Collector):
    """Sums of processor time, memory and open files; the start time is that of the first process.

    `pids` returns the running processes, 0 for none. Processor time includes that of ended children, so that
    the counter never decreases.
    """

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all processes together."""
        together: dict[str, Metric] = {}
        for pid in filter(None, self._pids()):
            # A process that has just ended has no metrics.
            for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                if metric.name == _PROCESSOR:
                    (time,) = metric.samples
                    metric.samples = [time._replace(value=time.value + _of_ended_children(pid))]
                if (before := together.get(metric.name)) is not None:
                    _add(before, metric)
                else:
                    together[metric.name] = metric
        yield from together.values()


def _add(before: Metric, metric: Metric) -> None:
    (one,), (other,) = before.samples, metric.samples
    how = min if metric.name == _EARLIEST else sum
    before.samples = [one._replace(value=how((one.value, other.value)))]


def _of_ended_children(pid: int) -> float:
    """Processor time of a process's ended children, in seconds; 0 where it is unknown."""
    try:
        # cutime and cstime, see proc(5). The fields follow the name, which may contain spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


class Exposition:
    """Renders the metrics of all workers, in any of them."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self,
        model_name: str,
        own: Counts,
        siblings: Sequence[Counts] = (),
        supervisor: Counts | None = None,
        further: Callable[[], bytes] = bytes,
    ) -> None:
        """`further` gives more metrics, in Prometheus's text format."""
        self._further = further
        self._others = [*siblings, *([supervisor] if supervisor else [])]
        self._registry = CollectorRegistry()
        self._registry.register(ProcessesCollector(self._pids))
        PlatformCollector(registry=self._registry)
        if supervisor is None:
            # With several processes, these would only be those of one worker.
            GCCollector(registry=self._registry)
        self._registry.register(ServiceCollector(model_name, own, siblings, supervisor))

    def render(self) -> bytes:
        """The metrics now, in Prometheus's text format."""
        return generate_latest(self._registry) + self._further()

    def _pids(self) -> list[int]:
        return [os.getpid(), *map(worker_state.pid, self._others)]
