"""What a server's processes cost is found wherever they are."""

import subprocess
import sys
import time

import pytest

from benchmarks import core_wait, process
from benchmarks.core_wait import CoreWait

# A server whose worker leads a session of its own and computes for a while.
_SERVER = """
import subprocess, sys
worker = "sum(range(10**7)); print('done', flush=True); import time; time.sleep(60)"
subprocess.run([sys.executable, "-c", worker], start_new_session=True)
"""


@pytest.fixture
def server():
    """The server, once its worker has computed."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        yield server
        for member in process._family(server.pid):
            subprocess.run(["kill", "-9", member.name], check=False)


def test_the_workers_time_and_memory_count(server):
    """Else a server with worker processes would seem to cost nothing."""
    alone = int((process.Path(f"/proc/{server.pid}/schedstat")).read_text().split()[0])
    assert process.cpu_nanoseconds(server.pid) > 2 * alone
    assert process.pss_megabytes(server.pid) > 5


def test_a_server_that_sleeps_waits_for_nothing(server):
    """It is not ready to run, so nobody keeps it from running."""
    watched = CoreWait(server.pid)
    time.sleep(0.2)
    assert watched.share() < 0.05
    assert core_wait.waited_seconds(server.pid) >= 0


def test_a_process_that_is_gone_costs_nothing():
    """It may end while it is looked at."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert process.cpu_nanoseconds(ended.pid) == 0
    assert process.pss_megabytes(ended.pid) == 0
