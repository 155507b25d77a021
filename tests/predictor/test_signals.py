"""A signal while the process starts ends it, whatever runs at that moment."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from predictor import signals

signals.prepare()
try:
    os.kill(os.getpid(), {number})
    os.read(0, 1)
except BaseException:  # as a library does whose import fails
    sys.exit("the signal was lost")
"""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT], ids=lambda n: n.name
)
def test_no_library_takes_it_for_an_error(number):
    """Pydantic turns SystemExit into an error of its own while it is imported."""
    command = [sys.executable, "-c", PROGRAM.format(number=int(number))]
    done = subprocess.run(
        command, stdin=subprocess.PIPE, capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)],
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
