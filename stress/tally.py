"""What the clients saw: requests, answers that were wrong or lost, and how long answers took."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_KEPT_FAULTS = 20  # different ones; all are counted


@dataclass(frozen=True)
class Latencies:
    """Seconds from a request's first byte to its answer's last."""

    count: int
    median: float
    p99: float
    slowest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        """Those of at least one request."""
        ordered = sorted(seconds)
        count = len(ordered)
        return cls(count, ordered[count // 2], ordered[count * 99 // 100], ordered[-1])


@dataclass(frozen=True)
class Tally:
    """The sum: requests by endpoint, right answers by the version that they name.

    `phases` are the latencies of each phase; `faults` describe wrong and lost answers.
    """

    requests: Counter[str]
    versions: Counter[str]
    wrong: int
    lost: int
    faults: tuple[str, ...]
    phases: dict[str, Latencies]


@dataclass
class Seen:
    """The sum so far."""

    phase: str
    requests: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, "array[float]"] = field(default_factory=dict)

    def took(self, phase: str, seconds: float) -> None:
        """Note one answer's time, in the phase in which it was asked for."""
        self.seconds.setdefault(phase, array("d")).append(seconds)

    def note_lost(self, text: str) -> None:
        """Count a request that got no answer, or another one than 200."""
        self.lost += 1
        self._describe(f"lost: {text}")

    def note_wrong(self, text: str) -> None:
        """Count an answer that is not right for the version that it names."""
        self.wrong += 1
        self._describe(f"wrong: {text}")

    def tally(self) -> Tally:
        """The sum, as a value."""
        phases = {name: Latencies.of(seconds) for name, seconds in self.seconds.items() if seconds}
        faults = tuple(f"{count} times {text}" for text, count in self.faults.items())
        return Tally(self.requests, self.versions, self.wrong, self.lost, faults, phases)

    def _describe(self, text: str) -> None:
        if len(self.faults) < _KEPT_FAULTS or text in self.faults:
            self.faults[text] += 1
