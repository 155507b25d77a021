"""ProcessesCollector: the usual `process_` metrics, of several processes as if they were one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_EARLIEST = "process_start_time_seconds"


class ProcessesCollector(Collector):
    """Adds up processor time, memory and files; the start is that of the first process.

    `pids` are asked for at each look; 0 is none.
    """

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        together: dict[str, Metric] = {}
        for pid in filter(None, self._pids()):
            # It gives nothing of a process that has ended meanwhile.
            for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                if (before := together.get(metric.name)) is not None:
                    _add(before, metric)
                else:
                    together[metric.name] = metric
        yield from together.values()


def _add(before: Metric, metric: Metric) -> None:
    (one,), (other,) = before.samples, metric.samples
    how = min if metric.name == _EARLIEST else sum
    before.samples = [one._replace(value=how((one.value, other.value)))]
