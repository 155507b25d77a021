"""The demo, as a person runs it: from nothing to a prediction, and nothing left behind."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import uuid
from pathlib import Path

import httpx
import pytest

from demo.processes import ROOT, free_port, port_in_use
from tests.end_to_end.parts import wait_until
from tests.shared import Server

pytestmark = pytest.mark.whole


def demo(folder: Path, mlflow_port: int, predictor_port: int) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "demo", "--folder", str(folder),
        "--mlflow-port", str(mlflow_port), "--predictor-port", str(predictor_port),
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


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path, trained: Server) -> None:
    """One line that says what to do; the folder stays empty."""
    taken = int(trained.url.rsplit(":", 1)[1])
    process = demo(tmp_path / "demo", free_port(), taken)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"port {taken} is in use" in printed
    assert "PREDICTOR_PORT=" in printed
    assert not (tmp_path / "demo").exists()


class Terminal:
    """A terminal in which a shell runs the demo; `close` is what a click on its cross does."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.mark = f"DEMO_OF_TEST={uuid.uuid4()}"
        self._master, slave = os.openpty()
        command = [
            sys.executable, "-m", "demo", "--folder", str(folder),
            "--mlflow-port", str(ports[0]), "--predictor-port", str(ports[1]),
        ]  # fmt: skip
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
            seen += os.read(self._master, 65536).decode(errors="replace")

    def close(self) -> None:
        os.close(self._master)

    def demo(self) -> int:
        """The process id of the demo itself."""
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


@pytest.mark.whole
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
        os.kill(terminal.demo(), getattr(signal, how))
    terminal.shell.wait(60)
    wait_until(lambda: terminal.left() == [], "no process is left", seconds=60)
    assert not any(map(port_in_use, ports))
