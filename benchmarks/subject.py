"""A running server under measure, whose answers are checked before and after."""

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import process, wrk
from benchmarks.errors import BenchError
from benchmarks.sample import Sample
from benchmarks.waiting import Waiting
from demo.processes import Child
from stress.truth import WrongAnswerError

_LONGEST_SECONDS = 30
_MOST_WAITED = 0.05  # of the time


@dataclass(frozen=True)
class Subject:
    """A server, what it is sent, and the check of an answer, which raises WrongAnswerError.

    `tries` is how often a sample is taken at most, where it had to wait too long for a core.
    """

    name: str
    child: Child
    body: Path
    check: Callable[[bytes], object]
    path: str = "/predict"
    tries: int = 3
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @property
    def url(self) -> str:
        """Where the body goes."""
        return self.child.url + self.path

    def verify(self) -> None:
        """Ask once. Raises BenchError where the answer is none, or wrong."""
        request = urllib.request.Request(self.url, self.body.read_bytes(), dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=_LONGEST_SECONDS) as response:
                self.check(response.read())
        except (OSError, WrongAnswerError) as error:
            raise BenchError(f"{self.name} answers wrong: {error}") from error

    def warm_up(self, *, connections: int) -> None:
        """Load it for a second that does not count. Raises BenchError as `sample` does."""
        self._sample(connections, 1)

    def sample(self, *, connections: int, seconds: int) -> Sample:
        """Load it for so long; again, a few times, where it had to wait too long for a core.

        Raises BenchError where any answer was not 2xx, or one was wrong.
        """
        samples: list[Sample] = []
        while len(samples) < self.tries and not any(
            each.waited <= _MOST_WAITED for each in samples
        ):
            samples.append(self._sample(connections, seconds))
        return min(samples, key=lambda each: each.waited)

    def _sample(self, connections: int, seconds: int) -> Sample:
        self.verify()
        waiting = Waiting(self.child.process.pid)
        before = process.cpu_nanoseconds(self.child.process.pid)
        counted = wrk.post(
            self.url, self.body, connections=connections, seconds=seconds, headers=self.headers
        )
        spent = process.cpu_nanoseconds(self.child.process.pid) - before
        waited = max(waiting.share(), counted.waited)
        self.verify()
        return Sample(
            connections=connections,
            requests=counted.requests,
            requests_per_second=counted.requests / counted.seconds,
            p50_us=counted.p50_us,
            p99_us=counted.p99_us,
            cpu_us=spent / 1000 / counted.requests,
            waited=round(waited, 3),
        )

    def pss_megabytes(self) -> float:
        """Its memory now."""
        return process.pss_megabytes(self.child.process.pid)
