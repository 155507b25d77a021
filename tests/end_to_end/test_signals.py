"""What a terminal, a log rotation or an orchestrator sends: the end is graceful, and the rest harms nobody."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from demo.processes import Child, free_port, predictor_python, predictor_settings, spawn
from tests.end_to_end.parts import wait_until
from tests.hostile.wire import receive, request

pytestmark = pytest.mark.whole  # it starts a process for each

Start = Callable[..., Child]
NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "PREDICTOR_SHUTDOWN_SECONDS": "10"}
SECONDS = 40  # so wide that only a hang reaches it
CLIENTS = 8


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a predictor without a registry, which answers `/health` all the same."""
    children = []

    def start(workers: int, *, until_answers: bool = True, nohup: bool = False) -> Child:
        port = free_port()
        command = [predictor_python(), "-m", "predictor"]
        command = ["nohup", *command] if nohup else command
        env = NOWHERE | predictor_settings(tmp_path, port) | {"PREDICTOR_WORKERS": str(workers)}
        child = spawn(command, f"http://127.0.0.1:{port}", tmp_path / "log", env)
        children.append(child)
        if until_answers:
            child.wait_until_answers("/health")
        return child

    yield start
    for child in children:
        child.stop()
        assert "Traceback" not in child.log.read_text()


class Client:
    """Asks without a pause on one connection, until it is told that an answer is the last."""

    def __init__(self, child: Child) -> None:
        port = int(child.url.rpartition(":")[2])
        self._client = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self.answered = 0
        self.fault = ""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with closing(self._client):
                last = False
                while not last:
                    self._client.sendall(request())
                    answer = receive(self._client)
                    assert answer.status == 200
                    self.answered += 1
                    last = answer.headers.get("connection") == "close"
        except Exception as error:  # noqa: BLE001  a request that was lost, however
            self.fault = repr(error)


def of_service(child: Child) -> list[int]:
    """All processes of a service: those with its port in their environment."""
    port = f"PREDICTOR_PORT={child.url.rpartition(':')[2]}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if port in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return sorted(found)


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    ("number", "workers", "everybody"),
    [
        (signal.SIGHUP, 1, False), (signal.SIGHUP, 2, False), (signal.SIGHUP, 2, True),
        (signal.SIGQUIT, 1, False), (signal.SIGQUIT, 2, True), (signal.SIGTERM, 2, True),
    ],
)  # fmt: skip
def test_the_end_is_graceful(
    start: Start, number: signal.Signals, workers: int, everybody: bool
) -> None:
    """Every request under way is answered, the last with `Connection: close`; nobody is left; code 0."""
    child = start(workers)
    clients = [Client(child) for _ in range(CLIENTS)]
    wait_until(lambda: all(each.answered > 5 or each.fault for each in clients), "all are served")
    pids = of_service(child)
    assert len(pids) == (1 if workers == 1 else 1 + workers)
    for pid in pids if everybody else [child.process.pid]:
        os.kill(pid, number)
    assert child.process.wait(SECONDS) == 0
    for each in clients:
        each.thread.join(SECONDS)
    assert [each.fault for each in clients if each.fault] == []
    assert of_service(child) == []


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGHUP, 1), (signal.SIGHUP, 2), (signal.SIGQUIT, 1), (signal.SIGTERM, 1),
        (signal.SIGINT, 1),
    ],
)  # fmt: skip
def test_an_end_in_the_first_moments(start: Start, number: signal.Signals, workers: int) -> None:
    """As soon as its own code runs: nothing is in flight, so it ends at once, in no disorder."""
    child = start(workers, until_answers=False)
    pid = child.process.pid
    wait_until(lambda: catches(pid, signal.SIGQUIT), "it handles signals", seconds=SECONDS)
    child.process.send_signal(number)
    assert child.process.wait(SECONDS) == 0
    wait_until(lambda: of_service(child) == [], "nobody is left", seconds=SECONDS)


@pytest.mark.parametrize("workers", [1, 2])
def test_signals_of_a_log_rotation_are_ignored(start: Start, workers: int) -> None:
    """SIGUSR1 and SIGUSR2, to every process: the same ones go on answering."""
    child = start(workers)
    pids = of_service(child)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        for pid in pids:
            os.kill(pid, number)
    time.sleep(0.5)
    child.wait_until_answers("/health")
    assert of_service(child) == pids


@pytest.mark.parametrize("workers", [1, 2])
def test_under_nohup_a_closed_terminal_is_ignored(start: Start, workers: int) -> None:
    """What was ignored when it started stays ignored, by its workers too; SIGTERM ends it."""
    child = start(workers, nohup=True)
    pids = of_service(child)
    for pid in pids:
        os.kill(pid, signal.SIGHUP)
    time.sleep(0.5)
    child.wait_until_answers("/health")
    assert of_service(child) == pids
    child.process.terminate()
    assert child.process.wait(SECONDS) == 0
