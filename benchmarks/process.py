"""A started server as the kernel accounts for it: processor time and memory of all its processes."""

import os
from contextlib import suppress
from pathlib import Path

_SESSION = 3  # of the fields behind a process's name in /proc/PID/stat


def cpu_nanoseconds(leader: int) -> int:
    """Time on a core, in ns, of every thread that lives in the session that `leader` leads."""
    return sum(
        int(file.read_text().split()[0])
        for process in _members(leader)
        for file in process.glob("task/*/schedstat")
    )


def pss_megabytes(leader: int) -> float:
    """Memory of the session's processes in MB (10^6 bytes); what they share with others counts in part."""
    return sum(_pss_kilobytes(process) for process in _members(leader)) * 1024 / 1e6


def step_back(leader: int) -> None:
    """Let every thread of the session run only while nothing else wants its core."""
    for process in _members(leader):
        for task in (process / "task").iterdir():
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(task.name), 19)


def _pss_kilobytes(process: Path) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _members(leader: int) -> list[Path]:
    return [each for each in Path("/proc").glob("[0-9]*") if _session(each) == leader]


def _session(process: Path) -> int | None:
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended meanwhile
        return None
    return int(fields[_SESSION])
