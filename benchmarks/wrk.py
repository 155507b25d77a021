"""wrk: one thread that sends the same POST on several connections, and what it counted."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import waiting
from benchmarks.errors import BenchError

_LINE = re.compile(
    r"^BENCH requests=(\d+) microseconds=(\d+) p50=(\d+) p99=(\d+) status=(\d+) faults=(\d+)$",
    re.MULTILINE,
)
_SCRIPT = Path(__file__).with_name("wrk.lua")
_BEFORE_ITS_END = 0.1  # seconds; its threads cannot be looked at once they have ended
_LONGEST_SECONDS = 30  # for one answer; beyond it, wrk counts a fault


@dataclass(frozen=True)
class Counted:
    """What wrk saw: answers, seconds, latencies in µs from a request's first byte to its answer's last.

    `waited` is for what part of the time wrk itself had to wait for its core.
    """

    requests: int
    seconds: float
    p50_us: int
    p99_us: int
    waited: float = 0.0


def require() -> None:
    """Raise BenchError where wrk is not installed."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed (Debian's package wrk)")


def post(
    url: str,
    body: Path,
    *,
    connections: int,
    seconds: int,
    headers: Mapping[str, str] | None = None,
) -> Counted:
    """Send `body` to `url` for so long, as JSON unless `headers` name another type. Raises BenchError where an answer was none, or not 200."""
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
        f"--timeout={_LONGEST_SECONDS}s", "--latency", "-s", str(_SCRIPT), url,
    ]  # fmt: skip
    fields = "\n".join(f"{name}: {value}" for name, value in (headers or {}).items())
    with subprocess.Popen(
        command,
        env={**os.environ, "BENCH_BODY": str(body), "BENCH_HEADERS": fields},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        time.sleep(seconds - _BEFORE_ITS_END)
        waited = waiting.of_all_threads(process.pid) / seconds
        output, errors = process.communicate()
    return replace(read(output, errors), waited=waited)


def read(output: str, errors: str = "") -> Counted:
    """The figures in wrk's output. Raises BenchError where there are none, or an answer was not 2xx."""
    found = _LINE.search(output)
    if found is None:
        raise BenchError(f"wrk printed no figures: {(errors or output)[-500:]}")
    requests, microseconds, p50, p99, status, faults = map(int, found.groups())
    if status or faults or not requests:
        raise BenchError(f"of {requests} requests, {status} got no 2xx and {faults} no answer")
    return Counted(requests, microseconds / 1e6, p50, p99)
