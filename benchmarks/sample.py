"""The measurement of one server during a few seconds of load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Sample:
    """Throughput, latencies and CPU time of one server under load.

    `cpu_us` is the server's CPU time per request, `wrk_cpu_us` that of wrk. `waited` is the share of the time, 0 to 1, that the
    server (or wrk, if that is more) was ready to run while another program used its core.
    """

    connections: int
    requests: int
    requests_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float
    waited: float = 0.0
    wrk_cpu_us: float = 0.0


Figure = Callable[[Sample], float]


def rate(sample: Sample) -> float:
    """Requests answered per second."""
    return sample.requests_per_second


def p50(sample: Sample) -> float:
    """Median latency, µs."""
    return sample.p50_us


def p99(sample: Sample) -> float:
    """99th percentile of the latency, µs."""
    return sample.p99_us


def cpu(sample: Sample) -> float:
    """CPU time of the server per request, µs."""
    return sample.cpu_us


def middle(samples: Sequence[Sample], figure: Figure) -> float:
    """The median of a figure over the rounds."""
    return median(map(figure, samples))


def ratio(ours: Sequence[Sample], others: Sequence[Sample], figure: Figure) -> float:
    """The median of the rounds' ratios: a disturbance of a whole round cancels out."""
    return median(figure(a) / figure(b) for a, b in zip(ours, others, strict=True))
