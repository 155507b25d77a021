"""Start, wait for, and stop real MLflow servers and predictors as child processes.

The demo, the end-to-end tests and the benchmarks use them.
"""

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Job execution would start nine more processes.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONUNBUFFERED": "1",
}
_RESERVED_PORTS: list[socket.socket] = []


class StartError(RuntimeError):
    """A child process ended, or did not answer in time; the message contains the end of its log."""


@dataclass(frozen=True)
class Child:
    """One running child process, its address and its log file."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def wait_until_answers(self, path: str, *, seconds: float = 90) -> None:
        """Wait until `GET path` answers 200. Raises StartError if the child ends or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StartError(f"{self._command()} ended at once:\n{self._log_end()}")
            if answers(self.url + path):
                return
            time.sleep(0.05)
        raise StartError(f"{self._command()} did not answer in {seconds:.0f} s:\n{self._log_end()}")

    def stop(self, *, seconds: float = 20) -> int:
        """Stop the child with SIGTERM, then kill its process group; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        # A server's workers are in its process group, and must not outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def kill(self) -> None:
        """Kill the child and its process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _command(self) -> str:
        return " ".join(str(part) for part in self.process.args[:3])  # type: ignore[index]

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


class Guard:
    """Stops the watched process groups after this process has ended, even by SIGKILL.

    The guard is a process in a separate session, so signals of the terminal do not reach it. It reads a
    pipe that only this process holds open; the kernel closes the pipe when this process ends. (Linux
    can signal a parent's death to its children, but not to their children.)
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Add a process group."""
        assert self._process.stdin is not None  # noqa: S101  for the type checker
        self._process.stdin.write(b"%d\n" % group)
        self._process.stdin.flush()


def _stop_groups_at_eof(seconds: float = 10) -> None:
    """Read process groups from stdin until it is closed, and stop them: the program of the guard."""
    groups = {int(line) for line in sys.stdin}
    deadline = time.monotonic() + seconds
    for number in (signal.SIGTERM, signal.SIGKILL):
        groups = {group for group in groups if _signal_group(group, number)}
        while groups and number == signal.SIGTERM and time.monotonic() < deadline:
            time.sleep(0.1)
            groups = {group for group in groups if _signal_group(group, 0)}


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return whether the group exists."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def answers(url: str) -> bool:
    """Whether a GET of `url` answers 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Reserve a TCP port on 127.0.0.1 for a child of this process.

    The port stays bound as long as this process lives, so the kernel assigns it to no other process. On
    Linux a server can still listen on it, because both sockets set SO_REUSEADDR; on other systems the
    port is not reserved.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _RESERVED_PORTS.append(holder)
    else:
        holder.close()
    return port


def port_in_use(port: int) -> bool:
    """Whether a process listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spawn(command: Sequence[str], url: str, log: Path, env: Mapping[str, str]) -> Child:
    """Start `command` in a process group of its own, and append its output to `log`.

    Not in a session of its own: Linux shares processor time between sessions, and niceness would count for nothing.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **QUIET, **env},
            process_group=0,
        )
    return Child(process, url, log)


def webhook_settings(folder: Path) -> dict[str, str]:
    """Environment variables that let an MLflow server send webhooks to a local service, without delay.

    The server encrypts the webhooks' secrets in its database; the key is stored in `folder`.
    """
    key = folder / "webhook.key"
    if not key.exists():
        key.touch(0o600)
        key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
    return {
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key.read_text(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    }


def start_mlflow(
    folder: Path,
    port: int | None = None,
    options: Sequence[str] = (),
    *,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
) -> Child:
    """Start an MLflow server with SQLite and artifacts in `folder`; it serves artifacts by its proxy.

    It listens on a free port by default. `options` are further options of `mlflow server`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [
        python, "-m", "mlflow", "server",
        "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination", str(folder / "artifacts"),
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options,
    ]  # fmt: skip
    # `mlflow` looks for its server on the PATH: the same environment must come first.
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, **webhook_settings(folder), **(env or {})}
    return spawn(command, f"http://127.0.0.1:{port}", folder / "mlflow.log", settings)


def predictor_python() -> str:
    """The Python of the predictor's environment, without scikit-learn and mlflow."""
    python = os.environ.get("SERVICE_PYTHON") or str(ROOT / ".venv-predictor" / "bin" / "python")
    if not Path(python).exists():
        raise StartError(
            f"The predictor's environment is missing ({python}); `make environments` builds it."
        )
    return python


def predictor_settings(folder: Path, port: int) -> dict[str, str]:
    """Settings of a predictor's port and cache folder."""
    return {"PREDICTOR_PORT": str(port), "PREDICTOR_CACHE_DIR": str(folder / "cache")}


def start_predictor(
    folder: Path,
    port: int,
    env: Mapping[str, str],
    module: Sequence[str] = ("predictor",),
    *,
    python: str | None = None,
) -> Child:
    """Start a predictor, with its cache and log in `folder`; `python` is that of its own environment by default.

    `module` is the module to run, with its arguments.
    """
    command = [python or predictor_python(), "-m", *module]
    settings = {**predictor_settings(folder, port), **env}
    return spawn(command, f"http://127.0.0.1:{port}", folder / "predictor.log", settings)


@contextlib.contextmanager
def running(child: Child, path: str = "/health") -> Iterator[Child]:
    """Yield the child after `GET path` answers; stop it at the end."""
    try:
        child.wait_until_answers(path)
        yield child
    finally:
        child.stop()


if __name__ == "__main__":
    _stop_groups_at_eof()
