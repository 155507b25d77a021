"""How many connections the system allows, in processes of their own: a limit is a process's."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from predictor.http.listeners import OTHERS
from tests.predictor.test_cli import lines_until, start

SOFT = 200
NEEDED = 1000 + OTHERS


def limited(hard):
    """A command that becomes the one behind it, with these limits."""
    return ["sh", "-c", f'ulimit -Sn {SOFT}; ulimit -Hn {hard}; exec "$@"', "sh"]


def limits(pid):
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


def ended(process):
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    return process.wait(30)


@pytest.mark.whole
def test_what_connections_need_is_allowed(tmp_path):
    """A shell's 1024 would not do for a thousand. Workers have it from their supervisor."""
    process = start(
        tmp_path, limited(4096), PREDICTOR_PORT="0", PREDICTOR_WORKERS="2",
        PREDICTOR_MAX_CONNECTIONS="1000",
    )  # fmt: skip
    lines = lines_until(process, "registry_unreachable")
    assert limits(process.pid) == (NEEDED, 4096)
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    workers = [int(pid) for each in children for pid in each.read_text().split()]
    assert [limits(pid) for pid in workers] == [(NEEDED, 4096)] * 2
    assert "descriptors_limited" not in [line["event"] for line in lines]
    assert ended(process) == 0


def test_what_is_missing_is_told(tmp_path):
    """Both numbers, and what to do; it serves all the same."""
    process = start(tmp_path, limited(300), PREDICTOR_PORT="0", PREDICTOR_MAX_CONNECTIONS="1000")
    (line,) = [
        line
        for line in lines_until(process, "registry_unreachable")
        if line["event"] == "descriptors_limited"
    ]
    assert (line["level"], line["needed"], line["allowed"]) == ("warning", NEEDED, 300)
    assert "PREDICTOR_MAX_CONNECTIONS" in line["next"]
    assert limits(process.pid) == (300, 300)
    assert ended(process) == 0


def test_a_limit_that_will_do_is_left_alone():
    """Also where more would be possible."""
    code = """if True:
        import resource
        from predictor.http.listeners import allow
        allow(10)
        print(*resource.getrlimit(resource.RLIMIT_NOFILE))
    """
    done = subprocess.run(
        [*limited(4096), sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == (f"{SOFT} 4096\n", "")
