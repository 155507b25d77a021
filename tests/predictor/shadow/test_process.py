"""The process of the shadow as the service starts it: what it may take, and when it ends."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.processes import ROOT
from predictor.shadow.process import OUT_OF_MEMORY, _compute_when_idle
from tests.end_to_end.parts import wait_until

FAR = 120  # seconds; only a hang reaches it
LEAKS = """
import sys, threading, time
from predictor.shadow.process import main
kept = []
def leak():
    while True:
        kept.append(bytearray(10_000_000))
        time.sleep(0.05)
threading.Thread(target=leak, daemon=True).start()
sys.exit(main())
"""


@contextlib.contextmanager
def started(
    folder: Path, *arguments: str, socket: Path | None = None, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """The process, as the service starts it; its registry does not answer."""
    others = {name: each for name, each in os.environ.items() if not name.startswith("PREDICTOR_")}
    asked = {
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
        "PREDICTOR_SHADOW_URI": "models:/m/Staging",
        "PREDICTOR_CACHE_DIR": str(folder),
        "OPENBLAS_NUM_THREADS": "1",
        **settings,
    }
    with subprocess.Popen(
        [sys.executable, *(arguments or ("-m", "predictor.shadow.process"))],
        cwd=ROOT, env=others | asked, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            path = socket or folder / "shadow" / "a.sock"
            process.stdin.write(json.dumps({"socket": str(path)}) + "\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def test_it_takes_what_is_left_and_ends_with_the_service(tmp_path):
    """The lowest priority, the first to end where memory is short; not by signals to the whole group."""
    with started(tmp_path) as process:
        wait_until((tmp_path / "shadow" / "a.sock").exists, "it listens", FAR)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.stdin.close()
        assert process.wait(FAR) == 0


def test_a_leak_ends_it_before_its_limit(tmp_path):
    """At the limit any line of code may fail."""
    with started(tmp_path, "-c", LEAKS, PREDICTOR_SHADOW_MAX_BYTES="300000000") as process:
        assert process.wait(FAR) == OUT_OF_MEMORY


def test_what_it_cannot_use_is_said_in_one_line(tmp_path):
    """A wrong setting, and a folder that is a file."""
    with started(tmp_path, PREDICTOR_SHADOW_PERCENT="200") as process:
        assert process.wait(FAR) == 2
        assert process.stderr.read().startswith("mlflow-hotswap: shadow: PREDICTOR_SHADOW_PERCENT")
    (tmp_path / "file").touch()
    with started(tmp_path, socket=tmp_path / "file" / "a.sock") as process:
        assert process.wait(FAR) == 1
        (line,) = process.stderr.read().splitlines()
        assert line.startswith(f"mlflow-hotswap: shadow: {tmp_path}/file/a.sock: ")


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has this policy")
def test_rows_are_computed_while_no_other_process_wants_the_processor():
    """By the policy of the thread that computes; others keep theirs."""
    found = []

    def compute():
        _compute_when_idle()
        found.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    assert found == [os.SCHED_IDLE]
    assert os.sched_getscheduler(0) != os.SCHED_IDLE
