"""The report of a run, and its text."""

from dataclasses import dataclass

from stress.observation import LogSummary, Memory, Settling
from stress.tally import Latencies, Tally

MAX_MEMORY_GROWTH = 1.10
MAX_POLLS = 2


@dataclass(frozen=True)
class Report:
    """Results of one predictor under load.

    `memory` is by number of swaps; the last entry is compared with the first. `restarted` is the version
    that serves after a restart without the registry; it should equal `settled`.
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
        """Latencies without registry changes."""
        return self.tally.phases["quiet"]

    @property
    def swapping(self) -> Latencies:
        """Latencies during loads and swaps."""
        return self.tally.phases["swapping"]

    @property
    def growth(self) -> float:
        """Ratio of the last to the first measurement of resident memory."""
        return self.memory[-1][1].rss / self.memory[0][1].rss

    @property
    def good(self) -> bool:
        """Whether no answer was lost or wrong, and the restart serves the same version."""
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
            f"{self.growth:.3f}: {_limit('10 %', self.growth <= MAX_MEMORY_GROWTH)}",
            "memory by swaps": ", ".join(f"{n}: {m.rss:.0f}" for n, m in self.memory),
            "cache": f"{self.cached} entries",
            "restarted without the registry": f"served {self.restarted}, serves {self.settled}",
        }
        width = max(map(len, rows))
        return [f"by {self.pointer}", *(f"  {k:<{width}}  {v}" for k, v in rows.items()),
                *(f"  {fault}" for fault in (*self.tally.faults, *self.log.faults[:20]))]  # fmt: skip


def _settled(settling: tuple[Settling, ...]) -> str:
    noticed = max(s.polls_to_notice for s in settling)
    served = sorted(s.polls_to_serve for s in settling)
    seconds = max(s.seconds for s in settling)
    return (
        f"{len(settling)} times: noticed after at most {noticed} polls, "
        f"{_limit(f'{MAX_POLLS} polls', noticed <= MAX_POLLS)}; served after "
        f"{served[len(served) // 2]} polls (median), {served[-1]} polls, {seconds:.2f} s (max)"
    )


def _latency(latencies: Latencies) -> str:
    return (
        f"slowest {latencies.slowest * 1000:.1f} ms, 99 % {latencies.p99 * 1000:.1f} ms, "
        f"median {latencies.median * 1000:.2f} ms of {latencies.count:,} answers"
    )


def _limit(what: str, holds: bool) -> str:
    return f"the limit of {what} is {'kept' if holds else 'exceeded'}"
