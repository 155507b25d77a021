"""Render `GET /metrics`: the sum of all workers' counts, in Prometheus's text format."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from predictor import clock
from predictor.metrics import families, worker_state
from predictor.metrics.counts import Counts
from predictor.metrics.families import FAMILIES, Family
from predictor.metrics.worker_state import WorkerStatus

_Series = dict[tuple[str, ...], list[float]]  # label values -> values


class ServiceCollector(Collector):
    """Our own families: counters and histograms added up, gauges by the rules of `worker_state`."""

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
        """One family after the other, in the order of docs/metrics.md."""
        added = _added_up(self._blocks)
        # A worker that is down serves no requests; its last gauges are out of date.
        up = [self._own, *(each for each in self._siblings if worker_state.pid(each))]
        gauges = _gauges([worker_state.status(each) for each in up], self._model_name)
        full = any(block.full for block in self._blocks)
        gauges[families.COUNTS_FULL.name] = {(): [full]}
        for family in FAMILIES:
            if family.kind == "gauge":
                yield _gauge(family, gauges[family.name])
            elif family.kind == "counter":
                yield _counter(family, added.get(family.name, {}))
            else:
                yield _histogram(family, added.get(family.name, {}))


def _added_up(blocks: Iterable[Counts]) -> dict[str, _Series]:
    added: dict[str, _Series] = {}
    for block in blocks:
        for (name, *labels), values in block.read():
            series = added.setdefault(name, {})
            so_far = series.get(tuple(labels))
            series[tuple(labels)] = (
                [a + b for a, b in zip(so_far, values, strict=True)] if so_far else values
            )
    return added


def _gauges(statuses: Sequence[WorkerStatus], model_name: str) -> dict[str, _Series]:
    serving = worker_state.shown(statuses)
    desired: _Series = {(model_name,): [worker_state.aspired(statuses)]}
    return {
        families.VERSION.name: {(model_name,): [serving.version]},
        families.DESIRED.name: desired,
        families.ASPIRED.name: desired,
        families.FAILED.name: {(model_name,): [worker_state.failed(statuses)]},
        families.SINCE.name: {(): [_wall(worker_state.since(statuses))]},
        families.INFO.name: {serving.identity: [1]} if serving.identity else {},
        families.ANSWERED_AT.name: {(): [_wall(worker_state.answered_at(statuses))]},
        families.WORKERS.name: {(v,): [n] for v, n in worker_state.workers(statuses).items()},
        families.SWAP_SKEW.name: {(): [worker_state.skew(statuses, clock.now())]},
        families.STREAMS.name: {(): [worker_state.streams(statuses)]},
    }


def _wall(moment: float) -> float:
    """Seconds since the epoch; 0 for never."""
    return clock.wall(moment) if moment else 0.0


def _gauge(family: Family, series: _Series) -> Metric:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.labels)
    for labels, (value,) in series.items():
        metric.add_metric(labels, value)
    return metric


def _counter(family: Family, series: _Series) -> Metric:
    metric = CounterMetricFamily(family.name, family.help, labels=family.labels)
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
    """Adds up processor time, memory and files; the start is that of the first process.

    `pids` returns the present processes, 0 for none. The time of ended children counts too, so that the
    counter never decreases.
    """

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        together: dict[str, Metric] = {}
        for pid in filter(None, self._pids()):
            # There are no metrics of a process that has ended meanwhile.
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
        # The fields behind the name, which may have spaces in it: proc(5), cutime and cstime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


class Exposition:
    """All metrics of the service, from any worker.

    prometheus_client is imported at the first request, so that the start is faster.
    """

    def __init__(
        self,
        model_name: str,
        own: Counts,
        siblings: Sequence[Counts] = (),
        supervisor: Counts | None = None,
    ) -> None:
        self._model_name = model_name
        self._own = own
        self._siblings = siblings
        self._supervisor = supervisor

    def render(self) -> bytes:
        """The present metrics."""
        from prometheus_client.exposition import generate_latest

        return generate_latest(self._registry)

    @property
    def content_type(self) -> str:
        """The format's name and version, for the answer's header."""
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        return CONTENT_TYPE_LATEST

    @cached_property
    def _registry(self) -> Any:
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector

        from predictor.metrics.exposition import ProcessesCollector, ServiceCollector

        registry = CollectorRegistry()
        registry.register(ProcessesCollector(self._pids))
        PlatformCollector(registry=registry)
        if self._supervisor is None:
            # With several processes, these would be one worker's own.
            GCCollector(registry=registry)
        registry.register(
            ServiceCollector(self._model_name, self._own, self._siblings, self._supervisor)
        )
        return registry

    def _pids(self) -> list[int]:
        others = [*self._siblings, *([self._supervisor] if self._supervisor else [])]
        return [os.getpid(), *map(worker_state.pid, others)]
