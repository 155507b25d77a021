"""Counts of the clients: requests, wrong and lost responses, and latencies."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_KEPT_FAULTS = 20  # different ones; all are counted


@dataclass(frozen=True)
class Latencies:
    """Seconds from a request's first byte to its response's last."""

    count: int
    median: float
    p99: float
    slowest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        """The latencies of at least one request."""
        ordered = sorted(seconds)
        count = len(ordered)
        return cls(count, ordered[count // 2], ordered[count * 99 // 100], ordered[-1])


@dataclass(frozen=True)
class Tally:
    """The final counts: requests by endpoint, correct responses by the version that they name.

    `phases` are the latencies of each phase; `faults` describe wrong and lost responses.
    """

    requests: Counter[str]
    versions: Counter[str]
    wrong: int
    lost: int
    faults: tuple[str, ...]
    phases: dict[str, Latencies]


@dataclass
class ClientCounts:
    """The counts while the clients run."""

    phase: str
    requests: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, "array[float]"] = field(default_factory=dict)

    def took(self, phase: str, seconds: float) -> None:
        """Note one response's seconds, in the phase in which its request was sent."""
        self.seconds.setdefault(phase, array("d")).append(seconds)

    def note_lost(self, text: str) -> None:
        """Count a request without a response, or with a status other than 200."""
        self.lost += 1
        self._describe(f"lost: {text}")

    def note_wrong(self, text: str) -> None:
        """Count a response that is not the one of the version that it names."""
        self.wrong += 1
        self._describe(f"wrong: {text}")

    def tally(self) -> Tally:
        """The counts as a frozen value."""
        phases = {name: Latencies.of(seconds) for name, seconds in self.seconds.items() if seconds}
        faults = tuple(f"{count} times {text}" for text, count in self.faults.items())
        return Tally(self.requests, self.versions, self.wrong, self.lost, faults, phases)

    def _describe(self, text: str) -> None:
        if len(self.faults) < _KEPT_FAULTS or text in self.faults:
            self.faults[text] += 1
