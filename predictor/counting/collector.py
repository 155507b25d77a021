"""ServiceCollector: the counts of every worker, added up, as prometheus_client wants to be told them."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from predictor import clock
from predictor.counting import families, standing
from predictor.counting.counts import Counts
from predictor.counting.families import FAMILIES, Family
from predictor.counting.standing import Standing
from predictor.workers import presence

_Series = dict[tuple[str, ...], list[float]]  # label values -> values


class ServiceCollector(Collector):
    """Our own families: counters and histograms added up, gauges by the rules of `standing`."""

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
        # A worker that is not up serves nobody; what its predecessor wrote last is not so any more.
        up = [self._own, *(each for each in self._siblings if presence.pid(each))]
        gauges = _gauges([presence.standing(each) for each in up], self._model_name)
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


def _gauges(standings: Sequence[Standing], model_name: str) -> dict[str, _Series]:
    serving = standing.shown(standings)
    return {
        families.VERSION.name: {(model_name,): [serving.version]},
        families.ASPIRED.name: {(model_name,): [standing.aspired(standings)]},
        families.FAILED.name: {(model_name,): [standing.failed(standings)]},
        families.SINCE.name: {(): [_wall(standing.since(standings))]},
        families.INFO.name: {serving.identity: [1]} if serving.identity else {},
        families.ANSWERED_AT.name: {(): [_wall(standing.answered_at(standings))]},
        families.WORKERS.name: {(v,): [n] for v, n in standing.workers(standings).items()},
        families.SWAP_SKEW.name: {(): [standing.skew(standings, clock.now())]},
        families.STREAMS.name: {(): [standing.streams(standings)]},
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
