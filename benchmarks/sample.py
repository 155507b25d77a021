"""One measured stretch of load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Sample:
    """What one server did for a few seconds.

    `cpu_us` is its processor time per request; `waited` is for what part of the time it was ready to
    run and something else had its core, or wrk if that waited longer.
    """

    connections: int
    requests: int
    requests_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float
    waited: float = 0.0


Figure = Callable[[Sample], float]


def rate(sample: Sample) -> float:
    """Requests answered per second."""
    return sample.requests_per_second


def p50(sample: Sample) -> float:
    """Median latency, µs."""
    return sample.p50_us


def p99(sample: Sample) -> float:
    """The latency that one request in a hundred exceeds, µs."""
    return sample.p99_us


def cpu(sample: Sample) -> float:
    """Processor time of the server per request, µs."""
    return sample.cpu_us


def middle(samples: Sequence[Sample], figure: Figure) -> float:
    """The median over the rounds."""
    return median(map(figure, samples))


def ratio(ours: Sequence[Sample], others: Sequence[Sample], figure: Figure) -> float:
    """The median of each round's own ratio: what slows a whole round down cancels out."""
    return median(figure(a) / figure(b) for a, b in zip(ours, others, strict=True))
