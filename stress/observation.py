"""Observe a running predictor: its metrics, log, memory and cache folder."""

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
_POLL_SECONDS = 0.01
_TIMEOUT_SECONDS = 60  # only a hang takes so long


class NotSettledError(Exception):
    """The predictor did not reach the expected state in time; the message contains `/model`."""


@dataclass(frozen=True)
class View:
    """The metrics at one time. Version 0 means no version."""

    serving: int
    desired: int
    swaps: int
    polls: int


@dataclass(frozen=True)
class Settling:
    """Polls and seconds from the registry's last change until the predictor noticed and served it."""

    polls_to_notice: int
    polls_to_serve: int
    seconds: float


@dataclass(frozen=True)
class Memory:
    """Resident (RSS) and proportional (PSS) memory, in MiB."""

    rss: float
    pss: float


@dataclass(frozen=True)
class LogSummary:
    """Counts of superseded and failed loads, and log lines of unexpected errors."""

    superseded: int
    failed: int
    faults: tuple[str, ...]


class Predictor:
    """The observable state of one predictor process."""

    def __init__(self, child: Child, cache: Path) -> None:
        self._child = child
        self._cache = cache
        self._http = httpx.Client(base_url=child.url, timeout=_TIMEOUT_SECONDS)

    def view(self) -> View:
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

    def until(self, condition: Callable[[View], bool], what: str) -> View:
        """Wait until a condition holds. Raises NotSettledError."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while not condition(view := self.view()):
            if time.monotonic() > deadline:
                raise NotSettledError(
                    f"waited in vain until {what}; /model: {self._http.get('/model').text}"
                )
            time.sleep(_POLL_SECONDS)
        return view

    def settle(self, version: int) -> Settling:
        """Wait until the predictor serves the just promoted version. Raises NotSettledError."""
        started, before = time.perf_counter(), self.view().polls
        noticed = self.until(
            lambda view: view.desired == version, f"the predictor notices version {version}"
        )
        served = self.until(lambda view: view.serving == version, f"version {version} serves")
        return Settling(
            noticed.polls - before, served.polls - before, time.perf_counter() - started
        )

    def memory(self) -> Memory:
        """Read the memory of the process."""
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
            # The fetch of a deleted version may fail.
            expected = name == "load_failed" and event.get("stage") == "fetch"
            if level not in {"debug", "info", "warning"} and not expected:
                faults.append(line)
        return LogSummary(superseded, failed, tuple(faults))

    def cached(self) -> int:
        """The number of cache entries: files and folders at its second level."""
        return len(list(self._cache.glob("*/*")))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def _event(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}  # a traceback, or the output of a library
