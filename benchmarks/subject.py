"""A measured server; its response is checked before and after each sample."""

import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import process, wrk
from benchmarks.core_wait import CoreWait
from benchmarks.errors import BenchError
from benchmarks.sample import Sample
from demo.processes import Child
from stress.truth import WrongAnswerError

_TIMEOUT_SECONDS = 30
_MAX_WAITED = 0.05  # share of the time


@dataclass(frozen=True)
class Subject:
    """A server, its request, and a response check that raises WrongAnswerError.

    `tries` is the maximum number of attempts for a sample that waits too long for a core. Each connection pauses
    for `pause_ms` on average between a response and its next request.
    """

    name: str
    child: Child
    body: Path
    check: Callable[[bytes], object]
    path: str = "/predict"
    tries: int = 3
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    pause_ms: int = 0

    @property
    def url(self) -> str:
        """The address of the requests."""
        return self.child.url + self.path

    def verify(self) -> None:
        """Send one request. Raises BenchError without a response, or for a wrong one."""
        request = urllib.request.Request(self.url, self.body.read_bytes(), dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                self.check(response.read())
        except (OSError, WrongAnswerError) as error:
            raise BenchError(f"{self.name} answers wrong: {error}") from error

    def warm_up(self, *, connections: int) -> None:
        """Load the server for one second, without counting. Raises BenchError like `sample`."""
        self._sample(connections, 1)

    def sample(self, *, connections: int, seconds: int) -> Sample:
        """Measure the server under load; repeat the sample if it waits too long for a core.

        Raises BenchError for a wrong response, or one with another status than 2xx.
        """
        samples: list[Sample] = []
        while len(samples) < self.tries and not any(each.waited <= _MAX_WAITED for each in samples):
            samples.append(self._sample(connections, seconds))
        return min(samples, key=lambda each: each.waited)

    def _sample(self, connections: int, seconds: int) -> Sample:
        self.verify()
        core_wait = CoreWait(self.child.process.pid)
        before = process.cpu_nanoseconds(self.child.process.pid)
        counts = wrk.post(
            self.url,
            self.body,
            connections=connections,
            seconds=seconds,
            headers=self.headers,
            pause_ms=self.pause_ms,
        )
        spent = process.cpu_nanoseconds(self.child.process.pid) - before
        waited = max(core_wait.share(), counts.waited)
        self.verify()
        return Sample(
            connections=connections,
            requests=counts.requests,
            requests_per_second=counts.requests / counts.seconds,
            p50_us=counts.p50_us,
            p99_us=counts.p99_us,
            cpu_us=spent / 1000 / counts.requests,
            waited=round(waited, 3),
            wrk_cpu_us=counts.cpu_seconds * 1e6 / counts.requests,
        )

    def pss_megabytes(self) -> float:
        """The server's memory now (PSS), MB."""
        return process.pss_megabytes(self.child.process.pid)
