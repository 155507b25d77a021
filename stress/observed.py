"""A running predictor as ops see it: its metrics, its log, its memory, its folder."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from demo.processes import Child

_SERIES = re.compile(r"^(\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)
_LOOK_SECONDS = 0.01
_LONGEST_SECONDS = 60  # so wide that only a hang reaches it


class NotSettledError(Exception):
    """The predictor does not do what the registry says; the message carries what `/model` says."""


@dataclass(frozen=True)
class View:
    """One look at the metrics. Version 0 is none."""

    serving: int
    desired: int
    swaps: int
    polls: int


@dataclass(frozen=True)
class Settling:
    """From the registry's last change: polls until the predictor knew, and until it served."""

    polls_to_know: int
    polls_to_serve: int
    seconds: float


@dataclass(frozen=True)
class Memory:
    """Resident memory in MiB: all of it, and the part that no other process shares."""

    rss: float
    pss: float


@dataclass(frozen=True)
class LogSummary:
    """Counts of superseded and failed loads, and the log lines of errors that are not expected."""

    superseded: int
    failed: int
    faults: tuple[str, ...]


class Predictor:
    """What one predictor process shows."""

    def __init__(self, child: Child, cache: Path) -> None:
        self._child = child
        self._cache = cache
        self._http = httpx.Client(base_url=child.url, timeout=_LONGEST_SECONDS)

    def look(self) -> View:
        """Read the metrics once."""
        sums: Counter[str] = Counter()
        for name, value in _SERIES.findall(self._http.get("/metrics").text):
            sums[name] += float(value)  # type: ignore[assignment]
        return View(
            serving=int(sums["predictor_model_version"]),
            desired=int(sums["predictor_desired_model_version"]),
            swaps=int(sums["predictor_swaps_total"]),
            polls=int(sums["predictor_registry_polls_total"]),
        )

    def until(self, true: Callable[[View], bool], what: str) -> View:
        """The first view for which `true` is. Raises NotSettledError."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        while not true(view := self.look()):
            if time.monotonic() > deadline:
                raise NotSettledError(f"not so: {what}; /model: {self._http.get('/model').text}")
            time.sleep(_LOOK_SECONDS)
        return view

    def settle(self, version: int) -> Settling:
        """Wait until it serves what the registry was just made to name. Raises NotSettledError."""
        started, before = time.perf_counter(), self.look().polls
        knows = self.until(lambda view: view.desired == version, f"it knows of version {version}")
        serves = self.until(lambda view: view.serving == version, f"version {version} serves")
        return Settling(knows.polls - before, serves.polls - before, time.perf_counter() - started)

    def memory(self) -> Memory:
        """Read the kernel's account of the process."""
        text = Path(f"/proc/{self._child.process.pid}/smaps_rollup").read_text()
        kilobytes = {line.split()[0]: line.split()[1] for line in text.splitlines()[1:]}
        return Memory(int(kilobytes["Rss:"]) / 1024, int(kilobytes["Pss:"]) / 1024)

    def log_summary(self) -> LogSummary:
        """Count the events of the log."""
        superseded, failed, faults = 0, 0, []
        for line in self._child.log.read_text().splitlines():
            event = _event(line)
            name, level = event.get("event"), event.get("level")
            superseded += name == "load_superseded"
            failed += name == "load_failed"
            # A version that is deleted while it is fetched may fail so; a fault of ours may not.
            expected = name == "load_failed" and event.get("stage") == "fetch"
            if level not in {"debug", "info", "warning"} and not expected:
                faults.append(line)
        return LogSummary(superseded, failed, tuple(faults))

    def cached(self) -> int:
        """How many files and folders lie at the second level of the cache: one for each thing kept."""
        return len(list(self._cache.glob("*/*")))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def _event(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}  # a traceback, or what a library wrote past the log
