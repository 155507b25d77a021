"""Run the load generator wrk: one thread sends the same POST on several connections."""

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import core_wait
from benchmarks.errors import BenchError

_LINE = re.compile(
    r"^BENCH requests=(\d+) microseconds=(\d+) p50=(\d+) p99=(\d+) status=(\d+) faults=(\d+)$",
    re.MULTILINE,
)
_SCRIPT = Path(__file__).with_name("wrk.lua")
_SECONDS_BEFORE_END = 0.1  # /proc has no wait times of threads that have ended
_TIMEOUT_SECONDS = 30  # for one response; after it, wrk counts a fault


@dataclass(frozen=True)
class WrkCounts:
    """wrk's figures: responses, seconds, and latencies in µs (first request byte to last response byte).

    `waited` is the share of the time that wrk waited for its core, `cpu_seconds` its CPU time.
    """

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    waited: float = 0.0
    cpu_seconds: float = 0.0


def require() -> None:
    """Raise BenchError if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed (Debian's package wrk)")


def post(
    url: str,
    body: Path,
    *,
    connections: int,
    seconds: int,
    headers: Mapping[str, str] | None = None,
    pause_ms: int = 0,
) -> WrkCounts:
    """Send `body` to `url` for some seconds, by default as JSON. Raises BenchError like `read`.

    Each connection pauses for `pause_ms` on average between a response and its next request.
    """
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
        f"--timeout={_TIMEOUT_SECONDS}s", "--latency", "-s", str(_SCRIPT), url,
    ]  # fmt: skip
    fields = "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())
    before = _cpu_of_ended_children()
    with subprocess.Popen(
        command,
        env={
            **os.environ,
            "BENCH_BODY": str(body),
            "BENCH_HEADERS": fields,
            "BENCH_PAUSE_MS": str(pause_ms),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(seconds - _SECONDS_BEFORE_END)
        waited = core_wait.waited_seconds(process.pid) / seconds
        output, errors = process.communicate()
    spent = _cpu_of_ended_children() - before
    return replace(read(output, errors), waited=waited, cpu_seconds=round(spent, 3))


def _cpu_of_ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read(output: str, errors: str = "") -> WrkCounts:
    """Parse wrk's output. Raises BenchError without figures, or for a response other than 2xx."""
    found = _LINE.search(output)
    if found is None:
        raise BenchError(f"wrk printed no figures: {(errors or output)[-500:]}")
    requests, microseconds, p50, p99, status, faults = map(int, found.groups())
    if status or faults or not requests:
        raise BenchError(
            f"of {requests} requests, {status} had another status than 2xx and {faults} had no response"
        )
    return WrkCounts(requests, microseconds / 1e6, p50, p99)
