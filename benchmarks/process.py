"""A started server as the kernel accounts for it: processor time and memory of all its processes."""

import os
from contextlib import suppress
from pathlib import Path

_PARENT = 1  # of the fields behind a process's name in /proc/PID/stat
_GONE = (FileNotFoundError, ProcessLookupError)  # it ended while it was looked at


def cpu_nanoseconds(first: int) -> int:
    """Time on a core, in ns, of every thread that lives in a process and those that it started."""
    total = 0
    for task in _tasks(first):
        with suppress(*_GONE):
            total += int((task / "schedstat").read_text().split()[0])
    return total


def pss_megabytes(first: int) -> float:
    """Memory of these processes in MB (10^6 bytes); what they share with others counts in part."""
    return sum(_pss_kilobytes(process) for process in _family(first)) * 1024 / 1e6


def step_back(first: int) -> None:
    """Let every thread of these processes give way to this one's children, without starving."""
    niceness = min(os.nice(0) + 5, 19)
    for task in _tasks(first):
        with suppress(*_GONE):
            os.setpriority(os.PRIO_PROCESS, int(task.name), niceness)


def _tasks(first: int) -> list[Path]:
    found: list[Path] = []
    for process in _family(first):
        with suppress(*_GONE):
            found += (process / "task").iterdir()
    return found


def _pss_kilobytes(process: Path) -> int:
    with suppress(*_GONE):
        lines = (process / "smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return 0


def _family(first: int) -> list[Path]:
    """A process and its descendants; some servers start their workers in sessions of their own."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(*_GONE):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            parents[int(process.name)] = int(fields[_PARENT])
    family = {first}
    # A parent can have a higher number than its child, so one pass is not enough.
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
    return [Path("/proc") / str(pid) for pid in family]
