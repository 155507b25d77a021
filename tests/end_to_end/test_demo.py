"""The demo, as a person runs it: from nothing to a prediction, and nothing left behind."""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import termios
import uuid
from pathlib import Path

import httpx
import pytest

from demo.__main__ import signals_held
from demo.processes import ROOT, free_port, port_in_use
from tests.end_to_end.parts import wait_until
from tests.shared import Server

pytestmark = pytest.mark.whole


def demo(
    folder: Path, mlflow_port: int, predictor_port: int, *options: str
) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "demo", "--folder", str(folder),
        "--mlflow-port", str(mlflow_port), "--predictor-port", str(predictor_port), *options,
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(f"it ended without {text!r}:\n{seen}")


def test_the_demo_serves_until_ctrl_c_and_starts_again_from_where_it_was(
    own_trained_folder: Path,
) -> None:
    """The curl line that it prints works when pasted; the second start trains nothing again.

    MLflow tells the predictor that runs now of changes, and no other.
    """
    for start in ("first", "second"):
        ports = free_port(), free_port()
        process = demo(own_trained_folder, *ports)
        try:
            seen = read_until(process, "tail -f")
            assert ("Promoting version" in seen) == (start == "first")
            (line,) = re.findall(r"^curl .*$", seen, re.MULTILINE)
            answer = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, check=True
            )
            assert json.loads(answer.stdout)["model_name"] == "breast-cancer"
            told = httpx.get(f"http://127.0.0.1:{ports[0]}/api/2.0/mlflow/webhooks").json()
            receivers = [webhook["url"] for webhook in told["webhooks"]]
            assert receivers == [f"http://127.0.0.1:{ports[1]}/webhooks/mlflow"]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        wait_until(lambda ports=ports: not any(map(port_in_use, ports)), "both ports are free")


def test_the_demo_of_approvals(own_trained_folder: Path) -> None:
    """The first start shows a refusal and two approvals; the second finds them."""
    for start in ("first", "second"):
        ports = free_port(), free_port()
        process = demo(own_trained_folder, *ports, "--approval")
        try:
            seen = read_until(process, "tail -f")
            assert ("0 of 2 approvals" in seen) == (start == "first")
            assert ("bob approved version" in seen) == (start == "first")
            assert ("is approved already" in seen) == (start == "second")
            assert httpx.get(f"http://127.0.0.1:{ports[1]}/ready").status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path, trained: Server) -> None:
    """One line that says what to do; the folder stays empty."""
    taken = int(trained.url.rsplit(":", 1)[1])
    process = demo(tmp_path / "demo", free_port(), taken)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"port {taken} is in use" in printed
    assert "PREDICTOR_PORT=" in printed
    assert not (tmp_path / "demo").exists()


# As the Makefile of this project runs it, but with other folders and ports.
MAKEFILE = ".PHONY: demo\ndemo:\n\t@{}\n"


class Terminal:
    """A terminal in which a shell runs the demo; `close` is what a click on its cross does."""

    def __init__(self, folder: Path, ports: tuple[int, int], make: Path | None = None) -> None:
        self.mark = f"DEMO_OF_TEST={uuid.uuid4()}"
        self._master, slave = os.openpty()
        command = [
            sys.executable, "-m", "demo", "--folder", str(folder),
            "--mlflow-port", str(ports[0]), "--predictor-port", str(ports[1]),
        ]  # fmt: skip
        if make is not None:
            make.write_text(MAKEFILE.format(shlex.join(command)))
            command = ["make", "-f", str(make)]
        self.shell = subprocess.Popen(
            ["sh", "-c", '"$@"; true', "sh", *command], cwd=ROOT,
            env=dict([*os.environ.items(), self.mark.split("=")], PREDICTOR_WORKERS="2"),
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )  # fmt: skip
        os.close(slave)

    def read_until(self, text: str) -> None:
        seen = ""
        while text not in seen:
            try:
                seen += os.read(self._master, 65536).decode(errors="replace")
            except OSError:
                pytest.fail(f"it ended without {text!r}:\n{seen}")

    def close(self) -> None:
        os.close(self._master)

    def child(self) -> int:
        """The process id of what the shell runs: the demo itself, or make."""
        children = Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children")
        return int(children.read_text().split()[0])

    def left(self) -> list[str]:
        """Every process that came of it, in whatever session."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it has ended meanwhile
        return found

    def wait_until_nothing_is_left(self) -> None:
        self.shell.wait(60)
        wait_until(lambda: self.left() == [], "no process is left", seconds=60)


@pytest.mark.parametrize("how", ["the terminal is closed", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("when", ["it trains", "it serves"])
def test_nothing_is_left_however_the_demo_ends(
    own_trained_folder: Path, tmp_path: Path, when: str, how: str
) -> None:
    """Neither MLflow, nor a training, nor the predictor with its workers; both ports are free again."""
    ports = free_port(), free_port()
    folder = own_trained_folder if when == "it serves" else tmp_path / "new"
    terminal = Terminal(folder, ports)
    terminal.read_until("tail -f" if when == "it serves" else "-m trainer train")
    assert len(terminal.left()) >= 4
    if how == "the terminal is closed":
        terminal.close()
    else:
        os.kill(terminal.child(), getattr(signal, how))
    terminal.wait_until_nothing_is_left()
    assert not any(map(port_in_use, ports))


@pytest.mark.parametrize(
    ("receiver", "number"),
    [
        *(("make", getattr(signal, f"SIG{name}")) for name in ("HUP", "TERM", "QUIT", "INT", "KILL")),
        *(("everybody", getattr(signal, f"SIG{name}")) for name in ("HUP", "TERM", "QUIT", "KILL")),
        ("the shell", signal.SIGHUP), ("the shell", signal.SIGKILL), ("the terminal", None),
    ],
)  # fmt: skip
def test_nothing_is_left_of_make_demo(
    tmp_path: Path, receiver: str, number: signal.Signals | None
) -> None:
    """Also if make alone gets the signal, which it passes on only for SIGTERM."""
    terminal = Terminal(tmp_path / "new", (free_port(), free_port()), make=tmp_path / "Makefile")
    terminal.read_until("Starting an MLflow")
    wait_until(lambda: any("mlflow server" in each for each in terminal.left()), "MLflow starts")
    if number is None:
        terminal.close()
    elif receiver == "everybody":
        os.killpg(terminal.shell.pid, number)
    else:
        os.kill(terminal.child() if receiver == "make" else terminal.shell.pid, number)
    terminal.wait_until_nothing_is_left()


def test_nohup_outlives_the_terminal(tmp_path: Path) -> None:
    """As people expect of nohup; SIGTERM ends it."""
    port = free_port()
    command = [
        "nohup", sys.executable, "-m", "demo", "--folder", str(tmp_path / "new"),
        "--mlflow-port", str(port), "--predictor-port", str(free_port()),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        read_until(process, "Starting an MLflow")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: port_in_use(port), "MLflow starts all the same", seconds=90)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0
    wait_until(lambda: not port_in_use(port), "the port is free")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_process_is_started_waits(number: signal.Signals) -> None:
    """Between its start and its watch, nobody would stop it."""
    before = signal.signal(number, signal.default_int_handler)
    watched = []
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012, SIM117
            with signals_held():
                os.kill(os.getpid(), number)
                watched.append("a process")
        assert watched
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
