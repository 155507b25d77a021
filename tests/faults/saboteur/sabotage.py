"""Spoils this process's file operations below a folder.

An audit hook hears of every open, mkdir, rename and removal before it happens, and may forbid it:
https://docs.python.org/3/library/audit_events.html. KILL_AT=n kills the process at the n-th
operation; FAIL_WITH=ENOSPC makes every one that writes fail with that error.
"""

import errno
import os
import signal
import sys
from collections.abc import Mapping

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime"}


def begin(environment: Mapping[str, str]) -> None:
    """From now on, as SABOTAGE_BELOW, KILL_AT and FAIL_WITH say."""
    folder = environment["SABOTAGE_BELOW"]
    kill_at = int(environment.get("KILL_AT", "0"))
    fail_with = environment.get("FAIL_WITH")
    count = 0

    def sabotage(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event not in CHANGES | {"open"} or not str(arguments[0]).startswith(folder):
            return
        count += 1
        os.write(2, f"operation {count} {event}\n".encode())
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if fail_with and (event in CHANGES or writes(arguments[2])):
            code = getattr(errno, fail_with)
            raise OSError(code, os.strerror(code), arguments[0])

    sys.addaudithook(sabotage)


def writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
