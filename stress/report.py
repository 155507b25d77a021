"""What a run found, and how it is printed."""

from dataclasses import dataclass

from stress.observed import LogSummary, Memory, Settling
from stress.tally import Latencies, Tally

MEMORY_BAR = 1.10
POLLS_BAR = 2


@dataclass(frozen=True)
class Report:
    """One predictor under load, from its first answer to the end of the last scenario.

    `memory` is by the number of swaps done; the first entry is what the last one is compared with.
    `restarted` is the version that it serves after a restart without the registry; it was `settled`.
    """

    pointer: str
    clients: int
    seconds: float
    tally: Tally
    swaps: int
    log: LogSummary
    settling: tuple[Settling, ...]
    memory: tuple[tuple[int, Memory], ...]
    cached: int
    settled: int
    restarted: int | None = None

    @property
    def quiet(self) -> Latencies:
        """How long answers took while nothing changed."""
        return self.tally.phases["quiet"]

    @property
    def swapping(self) -> Latencies:
        """How long they took while versions were loaded and swapped."""
        return self.tally.phases["swapping"]

    @property
    def growth(self) -> float:
        """Resident memory at the end over that at the first measurement."""
        return self.memory[-1][1].rss / self.memory[0][1].rss

    @property
    def good(self) -> bool:
        """Nothing lost, nothing wrong, and after a restart the version that served before."""
        return not (self.tally.wrong or self.tally.lost or self.log.faults) and (
            self.restarted == self.settled
        )

    def lines(self) -> list[str]:
        """The report as text."""
        (swaps, first), (_, last) = self.memory[0], self.memory[-1]
        requests = sum(self.tally.requests.values())
        rows = {
            "requests": f"{requests:,} in {self.seconds:.0f} s, {self.clients} clients",
            **{f"  {path}": f"{n:,}" for path, n in sorted(self.tally.requests.items())},
            "answers by version": ", ".join(
                f"{version}: {n:,}" for version, n in sorted(self.tally.versions.items())
            ),
            "wrong, lost": f"{self.tally.wrong}, {self.tally.lost}",
            "swaps": f"{self.swaps:,}",
            "loads superseded, failed": f"{self.log.superseded}, {self.log.failed}",
            "faults in the log": str(len(self.log.faults)),
            "settled": _settled(self.settling),
            "quiet": _latency(self.quiet),
            "swapping": _latency(self.swapping),
            f"memory after {swaps} swaps": f"RSS {first.rss:.1f}, PSS {first.pss:.1f} MiB",
            "memory at the end": f"RSS {last.rss:.1f}, PSS {last.pss:.1f} MiB; ratio "
            f"{self.growth:.3f}: {_bar('10 %', self.growth <= MEMORY_BAR)}",
            "  on the way": ", ".join(f"{n}: {m.rss:.0f}" for n, m in self.memory),
            "cache": f"{self.cached} entries",
            "restarted without the registry": f"served {self.restarted}, serves {self.settled}",
        }
        width = max(map(len, rows))
        return [f"by {self.pointer}", *(f"  {k:<{width}}  {v}" for k, v in rows.items()),
                *(f"  {fault}" for fault in (*self.tally.faults, *self.log.faults[:20]))]  # fmt: skip


def _settled(settling: tuple[Settling, ...]) -> str:
    known = max(s.polls_to_know for s in settling)
    served = sorted(s.polls_to_serve for s in settling)
    seconds = max(s.seconds for s in settling)
    return (
        f"{len(settling)} times: known after at most {known} polls, "
        f"{_bar(f'{POLLS_BAR} polls', known <= POLLS_BAR)}; served after "
        f"{served[len(served) // 2]} polls (median), {served[-1]} polls, {seconds:.2f} s (most)"
    )


def _latency(seen: Latencies) -> str:
    return (
        f"slowest {seen.slowest * 1000:.1f} ms, 99 % {seen.p99 * 1000:.1f} ms, "
        f"median {seen.median * 1000:.2f} ms of {seen.count:,} answers"
    )


def _bar(what: str, holds: bool) -> str:
    return f"the bar of {what} {'holds' if holds else 'does not hold'}"
