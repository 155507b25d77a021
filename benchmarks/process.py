"""CPU time, memory and priority of a process and its descendants."""

import os
from contextlib import suppress
from itertools import chain
from pathlib import Path

_PARENT = 1  # index of the parent among the fields after the name in /proc/PID/stat
_GONE = (FileNotFoundError, ProcessLookupError)  # the process ended during the measurement


def cpu_nanoseconds(first: int) -> int:
    """CPU time, in ns, of all live threads of a process and its descendants."""
    return sum(cpu_by_process(first).values())


def cpu_by_process(first: int) -> dict[int, int]:
    """CPU time, in ns, of all live threads, for a process and each of its descendants."""
    return {int(each.name): sum(map(_cpu_nanoseconds, _tasks(each))) for each in _family(first)}


def pss_megabytes(first: int) -> float:
    """Proportional set size of a process and its descendants, in MB (10^6 bytes)."""
    return sum(_pss_kilobytes(process) for process in _family(first)) * 1024 / 1e6


def lower_priority(first: int) -> None:
    """Let a process and its descendants run only while no other process of this session needs their core.

    Niceness would not do: a process that has the core keeps it for up to 3 ms, which would be the p99.
    """
    for task in chain.from_iterable(map(_tasks, _family(first))):
        with suppress(*_GONE):
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))


def _tasks(process: Path) -> list[Path]:
    with suppress(*_GONE):
        return [*(process / "task").iterdir()]
    return []


def _cpu_nanoseconds(task: Path) -> int:
    with suppress(*_GONE):
        return int((task / "schedstat").read_text().split()[0])
    return 0


def _pss_kilobytes(process: Path) -> int:
    with suppress(*_GONE):
        lines = (process / "smaps_rollup").read_text().splitlines()
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return 0


def _family(first: int) -> list[Path]:
    """A process and its descendants, also those in other sessions."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(*_GONE):
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            parents[int(process.name)] = int(fields[_PARENT])
    family = {first}
    # A parent can have a higher PID than its child, so repeat until nothing is added.
    while found := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= found
    return [Path("/proc") / str(pid) for pid in family]
