"""The real parts as child processes: an MLflow server and a predictor, each started, awaited and stopped.

The demo runs them for a person, the end-to-end tests run them for a machine.
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
    # Job execution starts nine more processes, which nothing here needs.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONUNBUFFERED": "1",
}
_HELD: list[socket.socket] = []


class StartError(RuntimeError):
    """A child process ended, or did not answer in time; the message carries the end of its log."""


@dataclass(frozen=True)
class Child:
    """One running child process, its address and its log file."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def wait_until_answers(self, path: str, *, seconds: float = 90) -> None:
        """Return once `GET path` answers 200; raise StartError if the child ends or the time is up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise StartError(f"{self._command()} ended at once:\n{self._log_end()}")
            if answers(self.url + path):
                return
            time.sleep(0.05)
        raise StartError(f"{self._command()} did not answer in {seconds:.0f} s:\n{self._log_end()}")

    def stop(self, *, seconds: float = 20) -> int:
        """End the child and all that it started, politely first; return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        # What it started is in its process group: a server's workers must not outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def kill(self) -> None:
        """End the child and all that it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _command(self) -> str:
        return " ".join(str(part) for part in self.process.args[:3])  # type: ignore[index]

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


class Guard:
    """Ends the process groups that it was told of once this process has ended, in whatever way.

    It is a process of its own session, so that neither a signal of the terminal nor a SIGKILL of
    this process reaches it. It reads a pipe whose other end this process alone holds: the system
    closes that when this process is gone. (Linux could tell a child of its parent's death, but not
    the children of that child.)
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """End this process group, too."""
        assert self._process.stdin is not None  # noqa: S101  for the type checker
        self._process.stdin.write(b"%d\n" % group)
        self._process.stdin.flush()


def _end_orphans(seconds: float = 10) -> None:
    """What a guard does: read process groups until the other end of the pipe is gone, and end them."""
    groups = {int(line) for line in sys.stdin}
    deadline = time.monotonic() + seconds
    for number in (signal.SIGTERM, signal.SIGKILL):
        groups = {group for group in groups if _signal_group(group, number)}
        while groups and number == signal.SIGTERM and time.monotonic() < deadline:
            time.sleep(0.1)
            groups = {group for group in groups if _signal_group(group, 0)}


def _signal_group(group: int, number: int) -> bool:
    """Whether there is such a group to send it to."""
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
    """A TCP port on 127.0.0.1 for a child of this process, and for nobody else.

    It stays bound for as long as this process lives, so the kernel gives it to no one who asks for
    any port. Linux lets a server listen on it all the same, because both allow the address to be
    used again; elsewhere it is only a port that was free a moment ago.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        _HELD.append(holder)
    else:
        holder.close()
    return port


def port_in_use(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port` already."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spawn(command: Sequence[str], url: str, log: Path, env: Mapping[str, str]) -> Child:
    """Start `command` in a process group of its own, with its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **QUIET, **env},
            start_new_session=True,
        )
    return Child(process, url, log)


def webhook_settings(folder: Path) -> dict[str, str]:
    """What lets an MLflow server tell a service on this machine of changes, and at once.

    The secrets of webhooks are in its database, encrypted with a key that is kept in `folder`.
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
    """A real MLflow server: SQLite and artifacts in `folder`, artifacts served through its proxy.

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
    # `mlflow` starts its server by name: the one of the same environment must be found first.
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, **webhook_settings(folder), **(env or {})}
    return spawn(command, f"http://127.0.0.1:{port}", folder / "mlflow.log", settings)


def predictor_python() -> str:
    """The interpreter of the predictor's own environment, which has neither scikit-learn nor mlflow."""
    own = os.environ.get("PREDICTOR_PYTHON") or str(ROOT / ".venv-predictor" / "bin" / "python")
    if not Path(own).exists():
        raise StartError(
            f"The predictor's environment is missing ({own}); `make environments` builds it."
        )
    return own


def predictor_settings(folder: Path, port: int) -> dict[str, str]:
    """The settings that keep a predictor's port and cache to itself."""
    return {"PREDICTOR_PORT": str(port), "PREDICTOR_CACHE_DIR": str(folder / "cache")}


def start_predictor(
    folder: Path, port: int, env: Mapping[str, str], module: Sequence[str] = ("predictor",)
) -> Child:
    """A real predictor in its own environment, with its cache and its log in `folder`.

    `module` is what Python runs, with its arguments.
    """
    command = [predictor_python(), "-m", *module]
    settings = {**predictor_settings(folder, port), **env}
    return spawn(command, f"http://127.0.0.1:{port}", folder / "predictor.log", settings)


@contextlib.contextmanager
def running(child: Child, path: str = "/health") -> Iterator[Child]:
    """The child once `GET path` answers; it is stopped on the way out."""
    try:
        child.wait_until_answers(path)
        yield child
    finally:
        child.stop()


if __name__ == "__main__":
    _end_orphans()
