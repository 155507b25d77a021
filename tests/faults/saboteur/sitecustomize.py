"""Spoils a process's file operations below a folder; Python imports it at start-up.

An audit hook hears of every open, mkdir, rename and removal before it happens, and may forbid it:
https://docs.python.org/3/library/audit_events.html. KILL_AT=n kills the process at the n-th
operation; FAIL_WITH=ENOSPC makes every one that writes fail with that error.
"""

import errno
import os
import signal
import sys

FOLDER = os.environ["SABOTAGE_BELOW"]
KILL_AT = int(os.environ.get("KILL_AT", "0"))
FAIL_WITH = os.environ.get("FAIL_WITH")
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.utime"}
count = 0


def sabotage(event: str, arguments: tuple[object, ...]) -> None:
    global count  # noqa: PLW0603  a hook has nowhere else to count
    if event not in CHANGES | {"open"} or not str(arguments[0]).startswith(FOLDER):
        return
    count += 1
    os.write(2, f"operation {count} {event}\n".encode())
    if count == KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)
    if FAIL_WITH and (event in CHANGES or writes(arguments[2])):
        code = getattr(errno, FAIL_WITH)
        raise OSError(code, os.strerror(code), arguments[0])


def writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(sabotage)
