"""ProcessesCollector: the usual `process_` metrics, of several processes as if they were one."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_EARLIEST = "process_start_time_seconds"
_PROCESSOR = "process_cpu_seconds"


class ProcessesCollector(Collector):
    """Adds up processor time, memory and files; the start is that of the first process.

    `pids` are asked for at each look; 0 is none. The time of children that have ended counts too,
    so that it never goes down.
    """

    def __init__(self, pids: Callable[[], Sequence[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        together: dict[str, Metric] = {}
        for pid in filter(None, self._pids()):
            # It gives nothing of a process that has ended meanwhile.
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
    """Seconds of processor time of a process's children that have ended; 0 where nobody tells."""
    try:
        # The fields behind the name, which may have spaces in it: proc(5), cutime and cstime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
