"""Predictors that need not import anything: forks of this process, which has done so and no more.

Each line of standard input asks for one thing, and gets one line of JSON:
`{"start": {variable: value}, "log": path}` a process identifier, `{"wait": pid}` an exit code, as
subprocess has it, `{"poll": pid}` the same, or null while it runs.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import predictor.service
from predictor.cli import main
from tests.faults.saboteur import sabotage


def answer(asked: dict[str, Any]) -> int | None:
    if "start" in asked:
        return start(asked["start"], asked["log"])
    pid, code = os.waitpid(
        asked.get("wait", asked.get("poll")), 0 if "wait" in asked else os.WNOHANG
    )
    return os.waitstatus_to_exitcode(code) if pid else None


def start(environment: dict[str, str], log: str) -> int:
    # What a thread holds at a fork is held for ever.
    assert threading.active_count() == len(list(Path("/proc/self/task").iterdir())) == 1
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    null, file = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    )
    for source, target in ((null, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    os.environ.update(environment)
    sabotage.begin(os.environ)
    os._exit(main())


if __name__ == "__main__":
    assert predictor.service  # what `main` imports late
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
